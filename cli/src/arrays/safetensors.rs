//! The header of a `.safetensors` file: eight bytes that count the bytes of a JSON object, and the object,
//! which tells each tensor's type, shape and place in the data behind it.
//!
//! The safetensors crate parses the object and holds the places against the shapes and against each other.
//! What it cannot know, because it never sees the whole file here, is whether the header is there to its end
//! before memory is spent on it.

use std::io::{self, Read, Write};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::header::{Header, cut_off_in_header, elements_of, read_up_to};
use super::types::{Float, Stored};

/// As many as the format's own reader takes.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// The header's length, which comes first.
const LENGTH_BYTES: u64 = 8;

/// Names told to somebody who has to choose among them.
const MOST_NAMES: usize = 12;

/// The name of a tensor that was given none.
const DEFAULT_NAME: &str = "result";

/// Reads the header, and no further, and finds the tensor that is asked for in it.
pub fn read(reader: &mut impl Read, tensor: Option<&str>, file_bytes: Option<u64>) -> Result<Header, String> {
    let mut length = [0; LENGTH_BYTES as usize];
    match read_up_to(reader, &mut length).map_err(|error| error.to_string())? {
        0 => return Err("it is empty".into()),
        got if got < length.len() => return Err(cut_off_in_header()),
        _ => {}
    }
    let length = u64::from_le_bytes(length);
    if length > MOST_HEADER_BYTES {
        return Err(format!("it is no .safetensors file: its header claims to be {length} bytes long"));
    }
    if file_bytes.is_some_and(|there| length > there.saturating_sub(LENGTH_BYTES)) {
        return Err(cut_off_in_header());
    }
    // Memory grows with what arrives, not with what is claimed.
    let mut text = Vec::new();
    reader.take(length).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if (text.len() as u64) < length {
        return Err(cut_off_in_header());
    }
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|error| format!("its header is damaged: {error}"))?;
    let info = chosen(&metadata, tensor)?;
    Ok(Header {
        stored: stored(info.dtype)?,
        elements: elements_of(&info.shape)?,
        shape: info.shape.clone(),
        fortran: false,
        big_endian: false,
        data_start: LENGTH_BYTES + length,
        data_bytes: metadata.data_len() as u64,
        skipped: info.data_offsets.0 as u64,
    })
}

/// The tensor of that name, or the only one.
fn chosen<'a>(metadata: &'a Metadata, tensor: Option<&str>) -> Result<&'a TensorInfo, String> {
    let names = metadata.offset_keys();
    let listed = || {
        let mut listed = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        if names.len() > MOST_NAMES {
            listed.push_str(&format!(" and {} more", names.len() - MOST_NAMES));
        }
        listed
    };
    let name = match (tensor, &names[..]) {
        (_, []) => return Err("it holds no tensor".into()),
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, several) => {
            let count = several.len();
            return Err(format!(
                "it holds {count} tensors: name one as FILE.safetensors:NAME, of {}",
                listed()
            ));
        }
    };
    metadata.info(name).ok_or_else(|| format!("it holds no tensor named {name}; there is {}", listed()))
}

fn stored(dtype: Dtype) -> Result<Stored, String> {
    Ok(match dtype {
        Dtype::BOOL => Stored::Bool,
        Dtype::I8 => Stored::I8,
        Dtype::I16 => Stored::I16,
        Dtype::I32 => Stored::I32,
        Dtype::I64 => Stored::I64,
        Dtype::U8 => Stored::U8,
        Dtype::U16 => Stored::U16,
        Dtype::U32 => Stored::U32,
        Dtype::U64 => Stored::U64,
        Dtype::F16 => Stored::Float(Float::F16),
        Dtype::BF16 => Stored::Float(Float::Bf16),
        Dtype::F32 => Stored::Float(Float::F32),
        Dtype::F64 => Stored::Float(Float::F64),
        other => {
            return Err(format!(
                "its elements are of type {other}; what is read here is F16, BF16, F32, F64, integers and BOOL"
            ));
        }
    })
}

/// Writes the header of a file of one tensor.
pub fn write(writer: &mut impl Write, tensor: Option<&str>, shape: &[usize], float: Float) -> io::Result<()> {
    let dtype = match float {
        Float::F16 => Dtype::F16,
        Float::Bf16 => Dtype::BF16,
        Float::F32 => Dtype::F32,
        Float::F64 => Dtype::F64,
    };
    let bytes = shape.iter().product::<usize>() * float.bytes() as usize;
    let info = TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (0, bytes) };
    let name = tensor.unwrap_or(DEFAULT_NAME).to_string();
    let metadata = Metadata::new(None, vec![(name, info)]).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&metadata)?;
    // So that the elements lie aligned for whoever maps the file into memory.
    text.resize(text.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    writer.write_all(&(text.len() as u64).to_le_bytes())?;
    writer.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
    }

    const TWO: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]}}"#;

    #[test]
    fn a_tensor_is_found_by_its_name_or_alone() {
        let two = file(TWO);
        let header = read(&mut &two[..], Some("b"), None).unwrap();
        assert_eq!((&header.shape[..], header.stored.name()), (&[1, 2][..], "bf16"));
        assert_eq!((header.data_start, header.skipped, header.data_bytes), (two.len() as u64, 8, 12));
        assert!(read(&mut &two[..], None, None).unwrap_err().ends_with("of a, b"));
        assert!(read(&mut &two[..], Some("c"), None).unwrap_err().ends_with("there is a, b"));
        let one =
            file(r#"{"__metadata__":{"by":"hand"},"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}"#);
        assert_eq!(read(&mut &one[..], None, None).unwrap().elements, 1);
    }

    /// Whatever a byte is changed to, and wherever the file ends: an answer, never a panic.
    #[test]
    fn damaged_headers_are_answered() {
        let whole = file(TWO);
        for end in 0..whole.len() {
            assert!(read(&mut &whole[..end], Some("a"), Some(end as u64)).is_err());
            assert!(read(&mut &whole[..end], Some("a"), None).is_err());
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[end] = byte;
                let _ = read(&mut &changed[..], Some("a"), None);
            }
        }
        let deep = format!("{}{}", "[".repeat(1 << 16), "]".repeat(1 << 16));
        for header in [
            "",
            "{",
            "{}",
            "[]",
            "7",
            &deep,
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            r#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#,
            r#"{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#,
        ] {
            assert!(read(&mut &file(header)[..], None, None).is_err(), "{header:.80}");
        }
    }
}
