//! Where tables of what was measured lie: a file for each adapter, in the user's folder for caches.
//!
//! A file's name goes by the adapter and the backend, not by the driver: a new driver's table takes the place of the old
//! one's, and until it does, whoever asks for a table is told what has changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use wgpu_softmax::{AdapterKey, Tuning};

use crate::failure::{Failure, Outcome};
use crate::output::{Destination, shown};

/// A table has some hundred lines; what is longer than this is none.
const MOST_BYTES: u64 = 1 << 20;

/// Why there is no place for a table.
const NO_FOLDER: &str = "there is no folder for caches: set XDG_CACHE_HOME or HOME";

/// A table, and the file it lies in.
#[derive(Debug)]
pub struct Stored {
    pub path: PathBuf,
    pub table: Tuning,
}

/// The table that was measured on this adapter with this driver.
///
/// # Errors
/// [`Failure::Usage`] where there is none, or that of another driver; [`Failure::Input`] where it cannot be read.
pub fn load(adapter: &AdapterKey) -> Outcome<Stored> {
    let path = path_of(adapter).ok_or_else(|| Failure::Usage(NO_FOLDER.into()))?;
    let again = format!("`wgpu-softmax tune --device {:?}` measures one, or leave --tuned out", adapter.name);
    let unreadable = |why: String| Failure::Input(format!("cannot read the table {}: {why}", shown(&path)));
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let place = shown(&path);
            return Err(Failure::Usage(format!("{place} is not there, no table for {adapter}: {again}")));
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let table: Tuning = text.parse().map_err(|error: wgpu_softmax::Error| unreadable(error.to_string()))?;
    if table.adapter() != adapter {
        let (place, other) = (shown(&path), table.adapter());
        return Err(Failure::Usage(format!(
            "{place} was measured on {other}, and this is {adapter}: {again}"
        )));
    }
    Ok(Stored { path, table })
}

/// Where an adapter's table goes.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
    destination: Destination,
}

impl Place {
    /// The place for this adapter's table; what can be known to fail is refused here, before anything is measured.
    pub fn of(adapter: &AdapterKey) -> Outcome<Place> {
        let path = path_of(adapter).ok_or_else(|| Failure::Output(NO_FOLDER.into()))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Failure::writing(&shown(folder), &error))?;
        }
        let destination = Destination::of(&path)?;
        Ok(Place { path, destination })
    }

    /// Stores a table in place of the one that was there. The file appears whole or not at all.
    pub fn store(&self, table: &Tuning) -> Outcome {
        let text = table.to_string();
        self.destination.write(|writer| writer.write_all(text.as_bytes()))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn path_of(adapter: &AdapterKey) -> Option<PathBuf> {
    let caches = etcetera::choose_base_strategy().ok()?.cache_dir();
    Some(caches.join("wgpu-softmax").join("tuning").join(file_name(adapter)))
}

/// Letters and digits of what the adapter is called.
fn file_name(adapter: &AdapterKey) -> String {
    let told = format!("{} {}", adapter.name, adapter.backend).to_ascii_lowercase();
    let words = told.split(|character: char| !character.is_ascii_alphanumeric());
    let mut name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    // File systems allow 255 bytes.
    name.truncate(200);
    name + ".txt"
}

#[cfg(test)]
mod tests {
    use wgpu_softmax::wgpu::{AdapterInfo, Backend, DeviceType};

    use super::*;

    #[test]
    fn file_names_are_plain_words() {
        let named = |name: &str| {
            let mut info = AdapterInfo::new(DeviceType::Cpu, Backend::Vulkan);
            info.name = name.into();
            file_name(&AdapterKey::of(&info))
        };
        assert_eq!(named("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-llvm-15-0-6-256-bits-vulkan.txt");
        assert_eq!(named("../../é\0\\"), "vulkan.txt");
        assert_eq!(named(&"x".repeat(1000)).len(), 204);
    }
}
