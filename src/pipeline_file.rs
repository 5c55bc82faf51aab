//! The device's own form of pipelines, kept in a file from one run of a program to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Gpu;

/// What the file starts with. Another layout is another number.
const MAGIC: &[u8; 16] = b"wgpu-softmax p 1";

/// A device's cache, and the file that it is read from and written to.
pub(crate) struct PipelineFile {
    pub(crate) cache: wgpu::PipelineCache,
    path: PathBuf,
    /// The adapter and its driver, as wgpu tells them apart.
    adapter: String,
}

/// What a file says: the magic, the checksum of the rest, the length of the adapter's name, the name, the data.
fn packed(adapter: &str, data: &[u8]) -> Vec<u8> {
    let rest = [&(adapter.len() as u64).to_le_bytes()[..], adapter.as_bytes(), data].concat();
    [&MAGIC[..], &checksum(&rest).to_le_bytes(), &rest].concat()
}

/// The data in a file, where it is whole and this adapter's.
fn unpacked<'a>(file: &'a [u8], adapter: &str) -> Option<&'a [u8]> {
    let (sum, rest) = file.strip_prefix(MAGIC)?.split_first_chunk()?;
    if checksum(rest) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (named, data) = rest.split_at_checked(length)?;
    (named == adapter.as_bytes()).then_some(data)
}

/// FNV-1a in 64 bits: against damage, not against malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Gpu {
    /// Builds pipelines from now on with the help of what `file` has kept of an earlier run, and says whether it had
    /// anything for this adapter and driver. [`Gpu::save_pipelines`] writes it.
    ///
    /// Many drivers keep a cache of their own, and gain nothing by this. Where the file is missing, damaged or another
    /// adapter's, it is as if there were none. Nothing happens where the device has no pipeline caches
    /// ([`PIPELINE_CACHE`](wgpu::Features::PIPELINE_CACHE), which is Vulkan's), nor when it is called a second time.
    ///
    /// Drivers take the contents at their word: the file has to lie where only those can write whom the program
    /// trusts with its own memory, such as the user's cache directory.
    pub fn keep_pipelines_in(&self, file: impl AsRef<Path>) -> bool {
        let adapter = wgpu::util::pipeline_cache_key(self.info());
        let has_caches = self.device().features().contains(wgpu::Features::PIPELINE_CACHE);
        let Some(adapter) = adapter.filter(|_| has_caches) else { return false };
        let path = file.as_ref().to_path_buf();
        let contents = fs::read(&path).unwrap_or_default();
        let data = unpacked(&contents, &adapter);
        let made = self.guarded(|| {
            let label = Some("wgpu-softmax");
            let descriptor = wgpu::PipelineCacheDescriptor { label, data, fallback: true };
            // SAFETY: the data has to be what `PipelineCache::get_data` gave. Only `save_pipelines` writes files that
            // start and add up as this one does, and it writes nothing else in them. It writes whole files, and the
            // checksum leaves out those that were damaged since; the adapter's key, and wgpu's own header behind it,
            // those of other adapters, drivers and versions. That nobody has forged one is the caller's part, as the
            // documentation says.
            Ok(unsafe { self.device().create_pipeline_cache(&descriptor) })
        });
        let Ok(cache) = made else { return false };
        let kept = self.pipelines().keep_in(PipelineFile { cache, path, adapter });
        kept && data.is_some()
    }

    /// Writes what the device knows of the pipelines that were built since [`Gpu::keep_pipelines_in`], and of those
    /// that were in the file already, to that file. It is replaced whole, or not at all. Says whether there was
    /// anything to write.
    ///
    /// # Errors
    /// What the file system has against it.
    pub fn save_pipelines(&self) -> io::Result<bool> {
        let Some(PipelineFile { cache, path, adapter }) = self.pipelines().file() else { return Ok(false) };
        let Some(data) = cache.get_data() else { return Ok(false) };
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = fs::write(&beside, packed(adapter, &data)).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // What is left of it is of no use; the first error says more than another one could.
            let _ = fs::remove_file(&beside);
        }
        written.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_anothers_is_nothing() {
        let file = packed("an adapter", &[1, 2, 3]);
        assert_eq!(unpacked(&file, "an adapter"), Some(&[1, 2, 3][..]));
        assert_eq!(unpacked(&file, "another one"), None);
        for length in 0..file.len() {
            assert_eq!(unpacked(&file[..length], "an adapter"), None);
        }
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 4;
            assert_eq!(unpacked(&damaged, "an adapter"), None, "{place}");
        }
    }
}
