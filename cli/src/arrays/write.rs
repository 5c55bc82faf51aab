//! An array on its way out: C-ordered, in the machine's byte order, as `.npy`.

use std::io::{self, BufWriter, Write};

use npyz::WriterBuilder;

use super::types::Written;
use crate::progress::Phase;

const BUFFER_BYTES: usize = 1 << 20;

/// Elements between two looks at the progress bar.
const BATCH: usize = 1 << 16;

/// Writes `values` of `shape`.
pub fn write<W: Written>(writer: &mut dyn Write, shape: &[usize], values: &[W]) -> io::Result<()> {
    let phase = Phase::new("writing", values.len() as u64);
    let shape: Vec<u64> = shape.iter().map(|&length| length as u64).collect();
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, writer);
    let mut file =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut buffered).begin_nd()?;
    for (batch, values) in values.chunks(BATCH).enumerate() {
        file.extend(values.iter().copied())?;
        phase.at((batch * BATCH) as u64);
    }
    file.finish()?;
    buffered.flush()
}
