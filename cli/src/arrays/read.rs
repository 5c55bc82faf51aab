//! An array on its way in: from a file or a pipe to C-ordered numbers in memory.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use npyz::NpyFile;

use super::header::Header;
use super::types::{Computed, Number, Stored, with_type_of};
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
    reader: BufReader<Box<dyn Read>>,
    /// Whether the elements are known to be there, so that memory for all of them may be asked for at once.
    complete: bool,
}

impl Incoming {
    /// Opens `path`, or standard input for `-`, and reads the header.
    pub fn open(path: &Path) -> Outcome<Incoming> {
        let (name, reader, file_bytes) = if path == Path::new("-") {
            ("standard input".to_string(), Box::new(io::stdin()) as Box<dyn Read>, None)
        } else {
            let refuse = |error: io::Error| unreadable(&shown(path), &reason(&error));
            let there = fs::metadata(path).map_err(refuse)?;
            if there.is_dir() {
                return Err(unreadable(&shown(path), "it is a directory"));
            }
            let file = File::open(path).map_err(refuse)?;
            (shown(path), Box::new(file) as Box<dyn Read>, there.is_file().then_some(there.len()))
        };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let header = Header::read(&mut reader).map_err(|why| unreadable(&name, &why))?;
        if let Some(file_bytes) = file_bytes {
            let (expected, actual) = (header.data_bytes(), file_bytes.saturating_sub(header.bytes));
            if actual < expected {
                return Err(unreadable(&name, &cut_off(expected, actual)));
            }
            if actual > expected {
                return Err(unreadable(&name, &too_long(actual - expected)));
            }
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

    /// The elements, C-ordered, as numbers of type `T`.
    pub fn read<T: Computed>(self) -> Outcome<Vec<T>> {
        let (name, shape, fortran) = (self.name.clone(), self.header.shape.clone(), self.header.fortran);
        let values = with_type_of!(self.header.stored, N => self.read_as::<N, T>())?;
        if fortran { c_ordered(&values, &shape, &name) } else { Ok(values) }
    }

    /// The elements in the file's order.
    fn read_as<N: Number, T: Computed>(self) -> Outcome<Vec<T>> {
        let Incoming { name, header, mut reader, complete } = self;
        let expected = header.elements;
        let data_bytes = header.data_bytes();
        let phase = Phase::new("reading", expected as u64);
        let mut values = Vec::new();
        if complete {
            reserve::<T>(&mut values, expected, &name)?;
        }
        let mut numbers = NpyFile::with_header(header.npy, &mut reader)
            .data::<N>()
            .map_err(|error| unreadable(&name, &error.to_string()))?;
        while values.len() < expected {
            let batch = BATCH.min(expected - values.len());
            if !complete {
                // What has not arrived yet may never do: memory grows with what has.
                values.try_reserve(batch).map_err(|_| too_little_memory::<T>(values.len(), &name))?;
            }
            for number in numbers.by_ref().take(batch) {
                let number = number.map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => {
                        let arrived = data_bytes / expected as u64 * values.len() as u64;
                        unreadable(&name, &cut_off(data_bytes, arrived))
                    }
                    _ => unreadable(&name, &reason(&error)),
                })?;
                values.push(T::nearest(number));
            }
            phase.at(values.len() as u64);
        }
        drop(numbers);
        match reader.read(&mut [0]) {
            Ok(0) => Ok(values),
            Ok(more) => Err(unreadable(&name, &too_long(more as u64))),
            Err(error) => Err(unreadable(&name, &reason(&error))),
        }
    }
}

/// The elements of a Fortran-ordered array in C order.
fn c_ordered<T: Computed>(values: &[T], shape: &[usize], name: &str) -> Outcome<Vec<T>> {
    let mut ordered = Vec::new();
    reserve::<T>(&mut ordered, values.len(), name)?;
    let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
    let mut position = vec![0; shape.len()];
    let mut place = 0;
    for _ in 0..values.len() {
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
        let ordered = c_ordered(&fortran, &[2, 3, 4], "array").unwrap();
        assert!(ordered.is_sorted());
        assert_eq!(ordered[..5], [0.0, 1.0, 2.0, 3.0, 10.0]);
        assert_eq!(c_ordered(&[5.0f32], &[], "scalar").unwrap(), [5.0]);
    }
}
