//! The header of a `.npy` file, written, and read with suspicion: whoever wrote it may have meant harm, or slept.
//!
//! npyz parses the header, but trusts it in three ways that a damaged file turns into a crash: it allocates
//! whatever length the header claims for itself, multiplies the array's lengths unchecked, and recurses into
//! nested literals. So the text is screened first. A header of a plain array is a flat dictionary of one
//! string, one boolean and one tuple of whole numbers; nothing else can be logits.

use std::io::{self, Read, Write};

use npyz::{Endianness, NpyHeader, Order};

use super::header::{Header, cut_off_in_header, elements_of, read_up_to, too_large};
use super::types::{Float, Stored};

/// More than any plain array's header, and no more than version 1 of the format can express.
const MOST_BYTES: usize = 65_535;

/// Brackets within brackets: the dictionary, a list of fields, a field, its shape.
const MOST_DEPTH: usize = 4;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The data begins at a multiple of this.
const ALIGNMENT: usize = 64;

/// Reads the header, and no further.
pub fn read(reader: &mut impl Read) -> Result<Header, String> {
    let mut start = [0; 8];
    let got = read_up_to(reader, &mut start).map_err(|error| error.to_string())?;
    if got == 0 {
        return Err("it is empty".into());
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Err("it is a .npz (zip) archive: take the .npy of one array out of it".into());
    }
    if !MAGIC.starts_with(&start[..got.min(MAGIC.len())]) {
        return Err("it is not a .npy file: it does not start as one".into());
    }
    let version = start[6];
    let length_bytes = match version {
        _ if got < start.len() => return Err(cut_off_in_header()),
        1 => 2,
        2 | 3 => 4,
        _ => return Err(format!("its format version is {version}, where 1, 2 and 3 are known")),
    };
    let mut length = [0; 4];
    exactly(reader, &mut length[..length_bytes])?;
    let text_bytes = u32::from_le_bytes(length) as usize;
    if text_bytes > MOST_BYTES {
        return Err(format!("its header claims to be {text_bytes} bytes long, which no plain array's is"));
    }
    let mut text = vec![0; text_bytes];
    exactly(reader, &mut text)?;
    screen(&text)?;

    let whole = [&start[..], &length[..length_bytes], &text].concat();
    let npy = NpyHeader::from_reader(&whole[..]).map_err(|error| damaged(&error))?;
    let (stored, endianness) = Stored::declared(&npy.dtype())?;
    let shape = (npy.shape().iter())
        .map(|&length| usize::try_from(length).map_err(|_| too_large()))
        .collect::<Result<Vec<usize>, String>>()?;
    let elements = elements_of(&shape)?;
    Ok(Header {
        stored,
        elements,
        shape,
        fortran: npy.order() == Order::Fortran,
        big_endian: endianness == Endianness::Big,
        data_start: whole.len() as u64,
        data_bytes: elements as u64 * stored.bytes(),
        skipped: 0,
    })
}

/// Writes the header of a C-ordered array of little-endian elements.
pub fn write(writer: &mut impl Write, shape: &[usize], float: Float) -> io::Result<()> {
    let bytes = match float {
        Float::F16 => 2,
        Float::F32 => 4,
        Float::F64 => 8,
        Float::Bf16 => return Err(io::Error::other("the .npy format has no bf16: .safetensors has")),
    };
    // A comma behind each, so that one length is a tuple too.
    let lengths: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
    let mut text =
        format!("{{'descr': '<f{bytes}', 'fortran_order': False, 'shape': ({}), }}", lengths.join(" "));
    let unpadded = MAGIC.len() + 4 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len()).map_err(io::Error::other)?;
    writer.write_all(&[&MAGIC[..], &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat())
}

/// Refuses texts that are no plain array's header, or whose lengths multiply to more than 64 bits hold.
fn screen(text: &[u8]) -> Result<(), String> {
    let malformed =
        || "its header is damaged: it is no dictionary of descr, fortran_order and shape".to_string();
    let mut depth = 0usize;
    let mut quote = None;
    let mut bytes_in_all = 16u64; // of the widest element
    let mut places = text.iter().copied().peekable();
    while let Some(byte) = places.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(places.next()),
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{' | b'(' | b'[') => depth += 1,
            (None, b'}' | b')' | b']') => depth = depth.checked_sub(1).ok_or_else(malformed)?,
            (None, b'0'..=b'9') => {
                let mut number = Some(u64::from(byte - b'0'));
                while let Some(digit) = places.next_if(u8::is_ascii_digit) {
                    number = number
                        .and_then(|number| number.checked_mul(10))
                        .and_then(|number| number.checked_add(u64::from(digit - b'0')));
                }
                // Counted as if none were zero, so that no product of some of them overflows either.
                bytes_in_all = number
                    .and_then(|number| bytes_in_all.checked_mul(number.max(1)))
                    .ok_or_else(too_large)?;
            }
            (None, b':' | b',' | b' ' | b'\n' | b'\r' | b'\t') => {}
            // What True and False are made of.
            (None, b'T' | b'r' | b'u' | b'e' | b'F' | b'a' | b'l' | b's') => {}
            (None, b'-') => return Err("its header is damaged: a length is negative".into()),
            (None, _) => return Err(malformed()),
        }
        if depth > MOST_DEPTH {
            return Err(malformed());
        }
    }
    Ok(())
}

/// npyz's reason, without the parser's drawing of where it stopped.
fn damaged(error: &io::Error) -> String {
    let message = error.to_string();
    let reason = message.lines().next().unwrap_or_default();
    let reason = reason.split(" -->").next().unwrap_or_default().trim_end_matches([':', ' ']);
    format!("its header is damaged: {reason}")
}

fn exactly(reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), String> {
    match read_up_to(reader, buffer) {
        Ok(got) if got == buffer.len() => Ok(()),
        Ok(_) => Err(cut_off_in_header()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_headers_pass() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1797, 10), }          \n";
        assert_eq!(screen(good.as_bytes()), Ok(()));
        for wrong in [
            "{'shape': (4294967296, 4294967296), }".to_string(),
            "{'shape': (0, 4294967296, 4294967296), }".into(),
            "{'shape': (99999999999999999999999999999,), }".into(),
            "{'shape': (0xffffffffffffffff,), }".into(),
            "{'shape': (-3,), }".into(),
            "{'shape': (1+1,), }".into(),
            "}{".into(),
            "(".repeat(60_000),
            "{'a': b'x'}".into(),
        ] {
            assert!(screen(wrong.as_bytes()).is_err(), "{wrong:.60}");
        }
    }

    /// Whatever a byte is changed to, and wherever the file ends: an answer, never a panic.
    #[test]
    fn damaged_headers_are_answered() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
        assert_eq!(read(&mut &file[..]).unwrap().shape, [3, 4]);
        for end in 0..file.len() {
            assert!(read(&mut &file[..end]).is_err());
            for byte in 0..=255 {
                let mut changed = file.clone();
                changed[end] = byte;
                if let Err(message) = read(&mut &changed[..]) {
                    assert!(!message.contains('\n'), "{message}");
                }
            }
        }
    }
}
