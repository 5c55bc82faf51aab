//! What the machine's caches hold.

use std::sync::OnceLock;

/// Results of at least so many bytes are written past the caches: they would not stay there anyway, and need not be
/// read before they are overwritten.
pub(super) fn streamed_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    // Until then, some of what is written is still there for whoever reads it next.
    *BYTES.get_or_init(|| last_level_bytes().unwrap_or(0).max(ORDINARY_BYTES) / 2 * 3)
}

/// A last level of a server's or a desktop's, where the machine tells of none, or of those above it alone.
const ORDINARY_BYTES: usize = 32 << 20;

/// Bytes of the largest cache, which is the last before memory.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn last_level_bytes() -> Option<usize> {
    let caches = raw_cpuid::CpuId::new().get_cache_parameters()?;
    let bytes = caches.map(|cache| {
        cache.sets() * cache.associativity() * cache.coherency_line_size() * cache.physical_line_partitions()
    });
    bytes.max()
}

/// Only x86-64 is written to past the caches, and Miri's has none.
#[cfg(any(not(target_arch = "x86_64"), miri))]
fn last_level_bytes() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_of_this_world() {
        let bytes = streamed_bytes();
        assert!((48..3 << 13).contains(&(bytes >> 20)), "{bytes}");
        assert!(bytes / 3 * 2 >= last_level_bytes().unwrap_or(0));
    }
}
