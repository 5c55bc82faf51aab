//! .npy files, read and written by the program's own code, which distrusts what a header says.

#![allow(dead_code, reason = "the program's modules know more than a page asks of them")]

#[path = "../../cli/src/arrays/header.rs"]
pub mod header;
#[path = "../../cli/src/arrays/npy.rs"]
pub mod npy;
#[path = "../../cli/src/arrays/places.rs"]
mod places;
#[path = "../../cli/src/arrays/types.rs"]
pub mod types;

use header::Header;
use types::{Number, with_type_of};

/// The array in a file's bytes, in C order, each number rounded to f32.
pub fn read(bytes: &[u8]) -> Result<(Header, Vec<f32>), String> {
    let mut data = bytes;
    let header = npy::read(&mut data)?;
    let (expected, actual) = (header.data_bytes, data.len() as u64);
    if actual < expected {
        return Err(format!(
            "its header announces {expected} bytes of data, and there are {actual}: it is cut off"
        ));
    }
    if actual > expected {
        return Err(format!(
            "it goes on for {} byte(s) after its array: it is damaged, or holds several arrays",
            actual - expected
        ));
    }
    let values = with_type_of!(header.stored, N => numbers::<N>(data, &header))?;
    let values = if header.fortran { in_c_order(&values, &header.shape) } else { values };
    Ok((header, values))
}

/// The file of an array.
pub fn written(shape: &[usize], values: &[f32]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128 + size_of_val(values));
    npy::write(&mut bytes, shape, types::Float::F32)?;
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    Ok(bytes)
}

fn numbers<N: Number>(data: &[u8], header: &Header) -> Result<Vec<f32>, String> {
    let mut values = Vec::new();
    let elements = header.elements;
    values.try_reserve_exact(elements).map_err(|_| format!("there is no memory for {elements} numbers"))?;
    for element in data.chunks_exact(size_of::<N>()) {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..size_of::<N>()];
        bytes.copy_from_slice(element);
        if header.big_endian {
            bytes.reverse();
        }
        let number = N::decoded(bytes)
            .ok_or_else(|| format!("its element {} is no {}", values.len(), header.stored))?;
        values.push(number.single());
    }
    Ok(values)
}

/// An array of which the first index varies fastest, with the last one varying fastest.
fn in_c_order(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let strides = (0..shape.len()).map(|axis| shape[..axis].iter().map(|&length| length as u64).product());
    let axes = shape.iter().copied().zip(strides).collect();
    places::places(0, axes).map(|place| values[place as usize]).collect()
}
