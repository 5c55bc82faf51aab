//! An array on its way out: C-ordered and little-endian, in the format that its file's ending asks for.

use std::io::{self, Write};

use super::file::Format;
use super::types::Written;
use super::{npy, safetensors};
use crate::progress::Phase;

/// Elements between two looks at the progress bar.
const BATCH: usize = 1 << 16;

/// Writes `values` of `shape`.
pub fn write<W: Written>(
    mut writer: &mut dyn Write,
    format: &Format,
    shape: &[usize],
    values: &[W],
) -> io::Result<()> {
    let phase = Phase::new("writing", values.len() as u64);
    match format {
        Format::Npy => npy::write(&mut writer, shape, W::FLOAT)?,
        Format::Safetensors { tensor } => {
            safetensors::write(&mut writer, tensor.as_deref(), shape, W::FLOAT)?;
        }
    }
    let mut bytes = Vec::new();
    for (batch, values) in values.chunks(BATCH).enumerate() {
        bytes.clear();
        for &value in values {
            value.encode(&mut bytes);
        }
        writer.write_all(&bytes)?;
        phase.at((batch * BATCH) as u64);
    }
    writer.flush()
}
