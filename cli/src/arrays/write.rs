//! An array on its way out: box by box, C-ordered and little-endian, in the format that its file's ending asks for.

use std::io::{Seek, SeekFrom, Write};

use super::file::Format;
use super::region::Region;
use super::types::{Float, Written};
use super::{npy, safetensors};
use crate::failure::Outcome;
use crate::output::Unfinished;
use crate::progress::Work;

/// Elements between two looks at the progress bar.
const BATCH: usize = 1 << 16;

/// An array whose header is written, and whose elements may come in any order.
pub struct Outgoing {
    file: Unfinished,
    shape: Vec<usize>,
    /// Bytes before the elements.
    data_start: u64,
    /// Of the file.
    bytes: u64,
}

impl Outgoing {
    /// An array of `shape` that is about to be written.
    pub fn begin(mut file: Unfinished, format: &Format, shape: &[usize], float: Float) -> Outcome<Outgoing> {
        let mut header = Vec::new();
        let written = match format {
            Format::Npy => npy::write(&mut header, shape, float),
            Format::Safetensors { tensor } => {
                safetensors::write(&mut header, tensor.as_deref(), shape, float)
            }
        };
        let data_start = header.len() as u64;
        let bytes = shape.iter().product::<usize>() as u64 * float.bytes();
        let bytes = data_start.saturating_add(bytes);
        let written = written.and_then(|()| file.extend_to(bytes)).and_then(|()| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)
        });
        written.map_err(|error| file.refused(&error))?;
        Ok(Outgoing { file, shape: shape.to_vec(), data_start, bytes })
    }

    /// Writes the elements of a box of an array of `shape`, which lies in memory as this one does.
    pub fn write_region<W: Written>(
        &mut self,
        shape: &[usize],
        region: &Region,
        values: &[W],
        work: &Work,
    ) -> Outcome {
        debug_assert_eq!(shape.iter().product::<usize>(), self.shape.iter().product::<usize>());
        let (starts, run) = region.runs(shape);
        let mut values = values.chunks(run.max(1));
        let mut bytes = Vec::new();
        for start in starts {
            let place = self.data_start + start * W::FLOAT.bytes();
            let written = self.file.seek(SeekFrom::Start(place)).map(drop);
            written.map_err(|error| self.file.refused(&error))?;
            for batch in values.next().unwrap_or_default().chunks(BATCH) {
                let written = self.file.write_all(little_endian(batch, &mut bytes));
                written.map_err(|error| self.file.refused(&error))?;
                work.go_on()?;
            }
        }
        Ok(())
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sees to it that what is written stays, even where the machine stops.
    pub fn secure(&mut self) -> Outcome {
        self.file.secure().map_err(|error| self.file.refused(&error))
    }

    /// The file, complete.
    pub fn end(self) -> Unfinished {
        self.file
    }
}

/// The bytes of numbers, the least significant of each first, as most machines have them already.
fn little_endian<'a, W: Written>(values: &'a [W], bytes: &'a mut Vec<u8>) -> &'a [u8] {
    if cfg!(target_endian = "little") {
        return bytemuck::cast_slice(values);
    }
    bytes.clear();
    bytes.extend(values.iter().flat_map(|value| bytemuck::bytes_of(value).iter().rev()));
    bytes
}
