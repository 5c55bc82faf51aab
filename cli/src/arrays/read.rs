//! An array on its way in: from a file or a pipe to C-ordered elements in memory.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Stdin};

use super::file::{ArrayFile, Format};
use super::header::{Header, read_up_to};
use super::types::{Float, Number, Numbers, Stored, Taken, with_type_of};
use super::{npy, safetensors};
use crate::failure::{Failure, Outcome};
use crate::output::shown;
use crate::progress::Phase;

/// Elements between two looks at the memory and the progress bar.
const BATCH: usize = 1 << 16;

const BUFFER_BYTES: usize = 1 << 20;

/// An array whose header has been read, and whose elements wait.
pub struct Incoming {
    name: String,
    header: Header,
    reader: BufReader<Source>,
    /// Whether the elements are known to be there, so that memory for all of them may be asked for at once.
    complete: bool,
}

/// Where bytes come from.
enum Source {
    File(File),
    Stream(Stdin),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::File(file) => file.read(buffer),
            Source::Stream(stream) => stream.read(buffer),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Source::File(file) => file.seek(to),
            Source::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

impl Incoming {
    /// Opens an array's file, or standard input, and reads the header.
    pub fn open(from: &ArrayFile) -> Outcome<Incoming> {
        let path = &from.path;
        let (mut name, source, file_bytes) = if from.is_stream() {
            ("standard input".to_string(), Source::Stream(io::stdin()), None)
        } else {
            let refuse = |error: io::Error| unreadable(&shown(path), &reason(&error));
            let there = fs::metadata(path).map_err(refuse)?;
            if there.is_dir() {
                return Err(unreadable(&shown(path), "it is a directory"));
            }
            let file = File::open(path).map_err(refuse)?;
            (shown(path), Source::File(file), there.is_file().then_some(there.len()))
        };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, source);
        let header = match &from.format {
            Format::Npy => npy::read(&mut reader),
            Format::Safetensors { tensor } => safetensors::read(&mut reader, tensor.as_deref(), file_bytes),
        };
        let header = header.map_err(|why| unreadable(&name, &why))?;
        if let Some(file_bytes) = file_bytes {
            let (expected, actual) = (header.data_bytes, file_bytes.saturating_sub(header.data_start));
            if actual < expected {
                return Err(unreadable(&name, &cut_off(expected, actual)));
            }
            if actual > expected {
                return Err(unreadable(&name, &too_long(actual - expected)));
            }
        }
        if let Format::Safetensors { tensor: Some(tensor) } = &from.format {
            name = format!("{name}:{tensor}");
        }
        Ok(Incoming { name, header, reader, complete: file_bytes.is_some() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    pub fn stored(&self) -> Stored {
        self.header.stored
    }

    pub fn fortran(&self) -> bool {
        self.header.fortran
    }

    /// The elements, C-ordered, as numbers of a type that is known at run time.
    pub fn read_as(self, float: Float) -> Outcome<Numbers> {
        Ok(match float {
            Float::F16 => Numbers::F16(self.read()?),
            Float::Bf16 => Numbers::Bf16(self.read()?),
            Float::F32 => Numbers::F32(self.read()?),
            Float::F64 => Numbers::F64(self.read()?),
        })
    }

    /// The elements, C-ordered, as values of type `T`.
    pub fn read<T: Taken>(self) -> Outcome<Vec<T>> {
        let (name, shape, fortran) = (self.name.clone(), self.header.shape.clone(), self.header.fortran);
        let values = with_type_of!(self.header.stored, N => self.read_stored::<N, T>())?;
        if !fortran {
            return Ok(values);
        }
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
        gathered(&values, &shape, &strides, &name)
    }

    /// The elements in the file's order.
    fn read_stored<N: Number, T: Taken>(self) -> Outcome<Vec<T>> {
        let Incoming { name, header, mut reader, complete } = self;
        let refuse = |why: String| unreadable(&name, &why);
        let failed = |error: io::Error| refuse(reason(&error));
        if header.skipped > 0 {
            if complete {
                reader.seek(SeekFrom::Start(header.data_start + header.skipped)).map_err(failed)?;
            } else {
                let skipped = io::copy(&mut reader.by_ref().take(header.skipped), &mut io::sink());
                if skipped.map_err(failed)? < header.skipped {
                    return Err(refuse("it ends before the tensor: it is cut off".into()));
                }
            }
        }
        let expected = header.elements;
        let phase = Phase::new("reading", expected as u64);
        let mut values = Vec::new();
        if complete {
            reserve::<T>(&mut values, expected, &name)?;
        }
        let mut bytes = vec![0; BATCH.min(expected) * size_of::<N>()];
        while values.len() < expected {
            let batch = BATCH.min(expected - values.len());
            if !complete {
                // What has not arrived yet may never do: memory grows with what has.
                values.try_reserve(batch).map_err(|_| too_little_memory::<T>(values.len(), &name))?;
            }
            let bytes = &mut bytes[..batch * size_of::<N>()];
            let got = read_up_to(&mut reader, bytes).map_err(failed)?;
            if got < bytes.len() {
                let arrived = (values.len() * size_of::<N>() + got) as u64;
                return Err(refuse(cut_off(header.array_bytes(), arrived)));
            }
            if header.big_endian {
                bytes.chunks_exact_mut(size_of::<N>()).for_each(<[u8]>::reverse);
            }
            for bytes in bytes.chunks_exact(size_of::<N>()) {
                let Some(number) = N::decoded(bytes) else {
                    let (place, stored) = (values.len(), header.stored);
                    return Err(refuse(format!(
                        "its element {place} is no {stored}: its byte is {}",
                        bytes[0]
                    )));
                };
                let Some(value) = T::taken(number) else {
                    let place = values.len();
                    return Err(refuse(format!(
                        "its element {place} is {number}, where {} is needed",
                        T::WANTED
                    )));
                };
                values.push(value);
            }
            phase.at(values.len() as u64);
        }
        if header.is_last() {
            match reader.read(&mut [0]) {
                Ok(0) => {}
                Ok(more) => return Err(refuse(too_long(more as u64))),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(values)
    }
}

/// Whether an array of `from` can be broadcast to `to` as NumPy does it: aligned at the last axis, lengths of 1
/// repeated.
pub fn can_broadcast(from: &[usize], to: &[usize]) -> bool {
    let pairs = from.iter().rev().zip(to.iter().rev());
    from.len() <= to.len() && pairs.into_iter().all(|(&length, &wanted)| length == 1 || length == wanted)
}

/// The elements of an array of `from`, which [can be broadcast](can_broadcast) to `to`, as an array of `to`.
pub fn broadcast<T: Copy>(values: Vec<T>, from: &[usize], to: &[usize], name: &str) -> Outcome<Vec<T>> {
    if from == to {
        return Ok(values);
    }
    let mut strides = vec![0; to.len()];
    for axis in (0..from.len()).filter(|&axis| from[axis] != 1) {
        strides[to.len() - from.len() + axis] = from[axis + 1..].iter().product();
    }
    gathered(&values, to, &strides, name)
}

/// An array of `shape` in C order, whose elements are the ones that so many steps on each axis lead to.
fn gathered<T: Copy>(values: &[T], shape: &[usize], strides: &[usize], name: &str) -> Outcome<Vec<T>> {
    let elements = shape.iter().product();
    let mut ordered = Vec::new();
    reserve::<T>(&mut ordered, elements, name)?;
    let mut position = vec![0; shape.len()];
    let mut place = 0;
    for _ in 0..elements {
        ordered.push(values[place]);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            place += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    Ok(ordered)
}

/// Room for `elements`, or a failure where a plain allocation would abort.
pub fn reserve<T>(values: &mut Vec<T>, elements: usize, name: &str) -> Outcome {
    values.try_reserve_exact(elements).map_err(|_| too_little_memory::<T>(elements, name))
}

fn too_little_memory<T>(elements: usize, name: &str) -> Failure {
    let bytes = elements as u128 * size_of::<T>() as u128;
    Failure::Input(format!("cannot hold {name}: there is no memory for {elements} elements ({bytes} bytes)"))
}

fn unreadable(name: &str, why: &str) -> Failure {
    Failure::Input(format!("cannot read {name}: {why}"))
}

/// The system's reason, without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        _ => error.to_string(),
    }
}

fn cut_off(expected: u64, actual: u64) -> String {
    format!("its header announces {expected} bytes of data, and there are {actual}: it is cut off")
}

fn too_long(more: u64) -> String {
    format!("it goes on for at least {more} byte(s) after its array: it is damaged, or holds several arrays")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_becomes_c_order() {
        // Element (i, j, k) of 2 × 3 × 4 is 100 i + 10 j + k.
        let fortran: Vec<f64> = (0..24).map(|at| (at % 2 * 100 + at / 2 % 3 * 10 + at / 6) as f64).collect();
        let ordered = gathered(&fortran, &[2, 3, 4], &[1, 2, 6], "array").unwrap();
        assert!(ordered.is_sorted());
        assert_eq!(ordered[..5], [0.0, 1.0, 2.0, 3.0, 10.0]);
        assert_eq!(gathered(&[5.0f32], &[], &[], "scalar").unwrap(), [5.0]);
    }

    #[test]
    fn lengths_of_one_are_repeated() {
        let spread = |from: &[usize], to: &[usize]| {
            assert!(can_broadcast(from, to));
            broadcast((0..from.iter().product::<usize>()).collect(), from, to, "array").unwrap()
        };
        assert_eq!(spread(&[2, 1], &[2, 3]), [0, 0, 0, 1, 1, 1]);
        assert_eq!(spread(&[3], &[2, 3]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(spread(&[], &[1, 2]), [0, 0]);
        assert_eq!(spread(&[2, 1, 2], &[2, 2, 2]), [0, 1, 0, 1, 2, 3, 2, 3]);
        assert!(spread(&[1, 1], &[0, 3]).is_empty());
        for (from, to) in [(&[2][..], &[3][..]), (&[1, 3], &[3]), (&[3, 1], &[2, 3])] {
            assert!(!can_broadcast(from, to));
        }
    }
}
