//! The `.npy` format by hand, for files that the program is given and for those it gives.

use half::f16;

/// A file of format version 1.
pub fn file(descr: &str, fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let lengths: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
    let fortran = if fortran { "True" } else { "False" };
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({}), }}", lengths.join(" "));
    with_header(1, &header, data)
}

/// A file with any text as its header.
pub fn with_header(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let length_bytes = if version == 1 { 2 } else { 4 };
    let unpadded = 8 + length_bytes + header.len() + 1;
    let padded = format!("{header}{}\n", " ".repeat(unpadded.next_multiple_of(64) - unpadded));
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    file.extend(&(padded.len() as u32).to_le_bytes()[..length_bytes]);
    file.extend(padded.as_bytes());
    file.extend(data);
    file
}

/// Little-endian f32.
pub fn f32_file(shape: &[usize], values: &[f32]) -> Vec<u8> {
    file("<f4", false, shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Little-endian f64.
pub fn f64_file(shape: &[usize], values: &[f64]) -> Vec<u8> {
    file("<f8", false, shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Little-endian i64.
pub fn i64_file(shape: &[usize], values: &[i64]) -> Vec<u8> {
    file("<i8", false, shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Booleans.
pub fn bool_file(shape: &[usize], values: &[bool]) -> Vec<u8> {
    file("|b1", false, shape, &values.iter().map(|&value| value.into()).collect::<Vec<_>>())
}

/// An array that the program wrote.
#[derive(Debug, PartialEq)]
pub struct Array {
    pub descr: String,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

/// Reads what the program writes: version 1, C order, little-endian floats.
#[track_caller]
pub fn parse(file: &[u8]) -> Array {
    assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..10 + length]).unwrap();
    assert!(header.ends_with('\n') && header.contains("'fortran_order': False"), "{header}");
    let between = |start: &str, end: &str| {
        let rest = &header[header.find(start).unwrap() + start.len()..];
        rest[..rest.find(end).unwrap()].to_string()
    };
    let descr = between("'descr': '", "'");
    let shape: Vec<usize> = (between("'shape': (", ")").split(','))
        .map(str::trim)
        .filter(|length| !length.is_empty())
        .map(|length| length.parse().unwrap())
        .collect();
    let data = &file[10 + length..];
    let values: Vec<f64> = match descr.as_str() {
        "<f2" => data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        "<f4" => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        "<f8" => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        _ => panic!("{header}"),
    };
    let bytes: usize = descr[2..].parse().unwrap();
    assert_eq!(data.len(), values.len() * bytes);
    assert_eq!(values.len(), shape.iter().product::<usize>());
    Array { descr, shape, values }
}

/// Reads a C-ordered little-endian file of the examples.
pub fn example(name: &str) -> Vec<u8> {
    let file = std::fs::read(super::example(name)).unwrap();
    let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
    file[10 + length..].to_vec()
}
