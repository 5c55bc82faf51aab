//! What fuzzers call, and tests with the corpora of `fuzz/`: whatever the bytes are, a header that can be what it says,
//! or an error of one line.

use super::header::Header;
use super::{npy, safetensors};

#[cfg(test)]
#[path = "../../../fuzz/mutate.rs"]
mod mutate;

/// The header of a `.npy` file.
pub fn read_npy(bytes: &[u8]) {
    check(npy::read(&mut &bytes[..]), None);
}

/// The header of a `.safetensors` file, by name and by pipe.
pub fn read_safetensors(bytes: &[u8]) {
    for tensor in [None, Some("a"), Some("")] {
        for length in [None, Some(bytes.len() as u64)] {
            check(safetensors::read(&mut &bytes[..], tensor, length), length);
        }
    }
}

fn check(header: Result<Header, String>, length: Option<u64>) {
    let header = match header {
        Ok(header) => header,
        Err(why) => return assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
    };
    assert_eq!(Some(header.elements), header.shape.iter().try_fold(1usize, |all, &one| all.checked_mul(one)));
    let bytes = (header.elements as u64).checked_mul(header.stored.bytes()).unwrap();
    assert_eq!(bytes, header.array_bytes());
    assert!(header.skipped.checked_add(bytes).unwrap() <= header.data_bytes);
    assert!(header.data_start.checked_add(header.data_bytes).is_some());
    // The header itself lies within the file.
    assert!(length.is_none_or(|length| header.data_start <= length));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::arrays::{ArrayFile, Incoming};

    fn corpus(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
    }

    #[test]
    fn headers_of_strangers() {
        mutate::run(&corpus("npy"), read_npy);
        mutate::run(&corpus("safetensors"), read_safetensors);
    }

    /// To the last element, out of files.
    #[test]
    fn arrays_of_strangers() {
        let folder = tempfile::tempdir().unwrap();
        for format in ["npy", "safetensors"] {
            let path = folder.path().join("in").with_extension(format);
            mutate::run(&corpus(format), |bytes| {
                std::fs::write(&path, bytes).unwrap();
                let file = ArrayFile::of(path.clone()).unwrap();
                let Ok(incoming) = Incoming::open(&file) else { return };
                let elements: usize = incoming.shape().iter().product();
                if let Ok(values) = incoming.read::<f64>() {
                    assert_eq!(values.len(), elements);
                    assert!(values.len() <= bytes.len());
                }
            });
        }
    }

    #[test]
    #[should_panic]
    fn a_header_that_promises_too_much_is_found() {
        let file = b"\x93NUMPY\x01\x00\x3a\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n";
        let mut header = npy::read(&mut &file[..]).unwrap();
        header.elements += 1;
        check(Ok(header), None);
    }
}
