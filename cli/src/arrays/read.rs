//! An array on its way in: box by box, from a file or a pipe to C-ordered elements in memory.
//!
//! Files are mapped where the box lies, a short stretch at a time, and read where they cannot be. What comes by a pipe
//! comes once and in order, so it is held first: in memory while it is small, then in a file without a name.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Stdin, Write};
use std::iter;

use tempfile::SpooledTempFile;

use super::file::{ArrayFile, Format};
use super::header::{Header, read_up_to};
#[cfg(unix)]
use super::mapped::Mapped;
use super::places::places;
use super::region::Region;
use super::types::{Float, Number, Numbers, Stored, Taken, with_type_of};
use super::{npy, safetensors};
use crate::failure::{Failure, Outcome};
use crate::output::{held, holding, shown};
use crate::progress::Work;

/// Elements that are decoded at a time, at most.
const BATCH: usize = 1 << 16;

const BUFFER_BYTES: usize = 1 << 20;

/// What is mapped or read at a time, at most. Maps count as address space.
const STRETCH_BYTES: u64 = 1 << 20;

/// Runs of neighbours that lie closer than this are in one stretch, with what lies between them. What is shorter and
/// lies alone is read: a map takes longer to make.
const CLOSE_BYTES: u64 = 1 << 14;

/// An array whose header has been read, and whose elements wait.
pub struct Incoming {
    name: String,
    header: Header,
    source: Source,
    /// The file's, where it is one that can be read again.
    metadata: Option<Metadata>,
}

/// Where bytes come from.
enum Source {
    /// From any place, at any time.
    File(File),
    /// Once, and in order.
    Stream(BufReader<Stream>),
    /// The elements of a stream.
    Held(SpooledTempFile),
}

enum Stream {
    Named(File),
    Standard(Stdin),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Named(file) => file.read(buffer),
            Stream::Standard(stream) => stream.read(buffer),
        }
    }
}

impl Incoming {
    /// Opens an array's file, or standard input, and reads the header.
    pub fn open(from: &ArrayFile) -> Outcome<Incoming> {
        let path = &from.path;
        let (mut name, stream, metadata) = if from.is_stream() {
            ("standard input".to_string(), Stream::Standard(io::stdin()), None)
        } else {
            let refuse = |error: io::Error| unreadable(&shown(path), &reason(&error));
            let there = fs::metadata(path).map_err(refuse)?;
            if there.is_dir() {
                return Err(unreadable(&shown(path), "it is a directory"));
            }
            let file = File::open(path).map_err(refuse)?;
            // Of the file that is open, whatever has its name by now.
            let there = file.metadata().map_err(refuse)?;
            (shown(path), Stream::Named(file), there.is_file().then_some(there))
        };
        let file_bytes = metadata.as_ref().map(Metadata::len);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
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
        let source = match (&metadata, reader) {
            (None, reader) => Source::Stream(reader),
            (Some(_), reader) => match reader.into_inner() {
                Stream::Named(file) => Source::File(file),
                standard => Source::Stream(BufReader::new(standard)),
            },
        };
        Ok(Incoming { name, header, source, metadata })
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

    /// What the system knows of the file; none for what can be read only once.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// All elements, C-ordered.
    pub fn read<T: Taken>(mut self) -> Outcome<Vec<T>> {
        self.arrive()?;
        let whole = Region::whole(self.shape());
        self.read_region(&whole, &Work::unseen())
    }

    /// The elements of a box, C-ordered, as numbers of a type that is known at run time.
    pub fn read_region_as(&mut self, float: Float, region: &Region, work: &Work) -> Outcome<Numbers> {
        Ok(match float {
            Float::F16 => Numbers::F16(self.read_region(region, work)?),
            Float::Bf16 => Numbers::Bf16(self.read_region(region, work)?),
            Float::F32 => Numbers::F32(self.read_region(region, work)?),
            Float::F64 => Numbers::F64(self.read_region(region, work)?),
        })
    }

    /// The elements of a box, C-ordered, as values of type `T`.
    pub fn read_region<T: Taken>(&mut self, region: &Region, work: &Work) -> Outcome<Vec<T>> {
        if !self.header.fortran {
            let shape = self.header.shape.clone();
            return self.read_stored(&shape, region, work);
        }
        let backwards: Vec<usize> = self.header.shape.iter().rev().copied().collect();
        let turned = region.reversed();
        let values = self.read_stored(&backwards, &turned, work)?;
        let lengths = &region.lengths;
        let strides: Vec<usize> = (0..lengths.len()).map(|axis| lengths[..axis].iter().product()).collect();
        gathered(&values, lengths, &strides, &self.name)
    }

    /// The elements of a box in the file's order, in which the array has `shape`.
    fn read_stored<T: Taken>(&mut self, shape: &[usize], region: &Region, work: &Work) -> Outcome<Vec<T>> {
        self.arrive()?;
        let Incoming { name, header, source, .. } = self;
        let mut values = Vec::new();
        reserve::<T>(&mut values, region.elements(), name)?;
        let mut pieces = pieces(header, shape, region).peekable();
        let mut buffer = Vec::new();
        while let Some(&Piece { from, length, reach }) = pieces.peek() {
            let most = STRETCH_BYTES.min(reach - from) as usize;
            let taken = source.look(header, from, length.max(most), &mut buffer, |bytes| {
                let end = from + bytes.len() as u64;
                if end < from + length as u64 {
                    return Err(cut_off(header.array_bytes(), end));
                }
                while let Some(piece) = pieces.next_if(|piece| piece.from + piece.length as u64 <= end) {
                    let elements = &bytes[(piece.from - from) as usize..][..piece.length];
                    with_type_of!(header.stored, N => take::<N, T>(header, piece.from, elements, &mut values))?;
                }
                Ok(())
            });
            taken.map_err(|error| reason(&error)).flatten().map_err(|why| unreadable(name, &why))?;
            work.go_on()?;
        }
        Ok(values)
    }

    /// Waits for what comes by a pipe, to its last byte.
    pub fn arrive(&mut self) -> Outcome {
        let Incoming { name, header, source, .. } = self;
        let Source::Stream(reader) = source else { return Ok(()) };
        let refuse = |why: String| Err(unreadable(name, &why));
        let mut held = held();
        if header.skipped > 0 {
            match io::copy(&mut reader.by_ref().take(header.skipped), &mut io::sink()) {
                Ok(skipped) if skipped < header.skipped => {
                    return refuse("it ends before the tensor: it is cut off".into());
                }
                Ok(_) => {}
                Err(error) => return refuse(reason(&error)),
            }
        }
        let expected = header.array_bytes();
        let work = Work::new("reading", expected / header.stored.bytes());
        let mut batch = vec![0; BUFFER_BYTES.min(expected as usize)];
        let mut arrived = 0;
        while arrived < expected {
            let wanted = batch.len().min((expected - arrived) as usize);
            let got = match read_up_to(reader, &mut batch[..wanted]) {
                Ok(got) => got,
                Err(error) => return refuse(reason(&error)),
            };
            arrived += got as u64;
            if got < wanted {
                return refuse(cut_off(expected, arrived));
            }
            held.write_all(&batch[..got]).map_err(|error| holding(name, &error))?;
            work.did(got as u64 / header.stored.bytes())?;
        }
        if header.is_last() {
            match reader.read(&mut [0]) {
                Ok(0) => {}
                Ok(more) => return refuse(too_long(more as u64)),
                Err(error) => return refuse(reason(&error)),
            }
        }
        *source = Source::Held(held);
        Ok(())
    }
}

/// Neighbouring elements that are wanted.
struct Piece {
    /// Their first byte in the array's data, and how many there are.
    from: u64,
    length: usize,
    /// Up to where what follows is wanted, too, or as good as.
    reach: u64,
}

/// The box of an array of `shape`, in the file's order.
fn pieces(header: &Header, shape: &[usize], region: &Region) -> impl Iterator<Item = Piece> + use<> {
    let width = header.stored.bytes();
    let end = header.array_bytes();
    let (starts, run) = region.runs(shape);
    let mut starts = starts.map(move |start| start * width).peekable();
    let runs = iter::from_fn(move || {
        let start = starts.next()?;
        let is_close = starts.peek().is_some_and(|next| next - start < CLOSE_BYTES);
        Some((start, if is_close { end } else { start + run as u64 * width }))
    });
    runs.flat_map(move |(start, reach)| {
        (0..run).step_by(BATCH).map(move |batch| {
            let (from, count) = (start + batch as u64 * width, BATCH.min(run - batch));
            Piece { from, length: count * width as usize, reach }
        })
    })
}

impl Source {
    /// What `see` makes of `length` bytes of the array's data from a place on; of fewer where there are not so many.
    fn look<R>(
        &mut self,
        header: &Header,
        place: u64,
        length: usize,
        buffer: &mut Vec<u8>,
        see: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<R> {
        let in_file = header.data_start + header.skipped + place;
        #[cfg(unix)]
        if let Source::File(file) = self
            && length as u64 >= CLOSE_BYTES
            && let Ok(mapped) = Mapped::of(file, in_file, length)
        {
            return mapped.look(see);
        }
        buffer.resize(length, 0);
        let got = match self {
            Source::File(file) => {
                file.seek(SeekFrom::Start(in_file))?;
                read_up_to(file, buffer)
            }
            Source::Held(held) => {
                held.seek(SeekFrom::Start(place))?;
                read_up_to(held, buffer)
            }
            Source::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        };
        Ok(see(&buffer[..got?]))
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
    let axes = shape.iter().copied().zip(strides.iter().map(|&stride| stride as u64)).collect();
    ordered.extend(places(0, axes).map(|place| values[place as usize]));
    Ok(ordered)
}

/// Decodes elements that begin at byte `from` of the array's data, or tells why one of them cannot be taken.
fn take<N: Number, T: Taken>(
    header: &Header,
    from: u64,
    elements: &[u8],
    values: &mut Vec<T>,
) -> Result<(), String> {
    let width = size_of::<N>();
    let first = values.len();
    // Not pushed one by one: where every number can be taken, this is a loop over vectors.
    values.resize(first + elements.len() / width, T::default());
    for (place, (value, bytes)) in values[first..].iter_mut().zip(elements.chunks_exact(width)).enumerate() {
        let place = || from / width as u64 + place as u64;
        let number = match header.big_endian {
            true => N::decoded_backwards(bytes),
            false => N::decoded(bytes),
        };
        let Some(number) = number else {
            return Err(format!("its element {} is no {}: its byte is {}", place(), header.stored, bytes[0]));
        };
        let Some(taken) = T::taken(number) else {
            return Err(format!("its element {} is {number}, where {} is needed", place(), T::WANTED));
        };
        *value = taken;
    }
    Ok(())
}

/// Room for `elements`, or a failure where a plain allocation would abort.
pub fn reserve<T>(values: &mut Vec<T>, elements: usize, name: &str) -> Outcome {
    values.try_reserve_exact(elements).map_err(|_| too_little_memory::<T>(elements, name))
}

fn too_little_memory<T>(elements: usize, name: &str) -> Failure {
    let bytes = elements as u128 * size_of::<T>() as u128;
    Failure::Device(format!("cannot hold {name}: there is no memory for {elements} elements ({bytes} bytes)"))
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
