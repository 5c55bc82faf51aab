//! What a file says of its array before the elements come, in either format.

use std::io::{self, Read};

use super::types::Stored;

/// NumPy's limit on the number of dimensions.
pub const MOST_DIMENSIONS: usize = 64;

/// An array that a file announces.
#[derive(Debug)]
pub struct Header {
    pub stored: Stored,
    pub shape: Vec<usize>,
    /// Whether the first index varies fastest.
    pub fortran: bool,
    /// Whether an element's most significant byte comes first.
    pub big_endian: bool,
    /// Elements in all.
    pub elements: usize,
    /// Bytes before the data.
    pub data_start: u64,
    /// Bytes of data, to the end of the file.
    pub data_bytes: u64,
    /// Bytes of data before the array's own.
    pub skipped: u64,
}

impl Header {
    /// Bytes of the elements.
    pub fn array_bytes(&self) -> u64 {
        self.elements as u64 * self.stored.bytes()
    }

    /// Whether the file ends with the array.
    pub fn is_last(&self) -> bool {
        self.skipped + self.array_bytes() == self.data_bytes
    }
}

/// Elements in all, once the lengths are such as an array can have: counted as if none were zero, so that no
/// product of some of them overflows either.
pub fn elements_of(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > MOST_DIMENSIONS {
        return Err(format!("it has {} dimensions, where NumPy allows {MOST_DIMENSIONS}", shape.len()));
    }
    let widest_bytes = 16usize;
    let bytes = shape.iter().try_fold(widest_bytes, |bytes, &length| bytes.checked_mul(length.max(1)));
    match bytes {
        Some(_) => Ok(shape.iter().product()),
        None => Err(too_large()),
    }
}

pub fn too_large() -> String {
    "its header claims more elements than any memory holds".into()
}

pub fn cut_off_in_header() -> String {
    "it ends within its header: it is cut off".into()
}

/// Fills `buffer` as far as there is something to read.
pub fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
