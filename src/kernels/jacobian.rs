//! (N, K) → (N, K, K): the Jacobians of softmax and of log-softmax.
//!
//! * Needs the last axis.
//! * A workgroup takes the statistics of a row and writes a block of up to [`BLOCK_ROWS`] rows of its Jacobian,
//!   every element once.
//! * Writes quads of columns where rows consist of such, and otherwise, where workgroup memory keeps the classes of a row
//!   ([`kept`]), from one element to the next across the rows of the block: quads of these where blocks consist of such
//!   (K is even, so that K² is a multiple of four), else words. What is longer goes column by column, which leaves at most
//!   a fifth of the lanes idle.
//! * Writes 4·N·K² bytes. Each block reads its row of logits twice where a lane holds at most
//!   [`MOST_HELD`](super::MOST_HELD) of them, otherwise three times; all but the first reading of a row come
//!   from the cache.

use super::{Entry, Geometry, Role, workgroup_per_row};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "jacobian",
    source: include_str!("../../shaders/kernels/jacobian.wgsl"),
    role: Role::Whole,
};

/// Rows of a Jacobian that one workgroup writes, at most.
pub(crate) const BLOCK_ROWS: u64 = 64;

pub(crate) fn geometry(classes: u64, capabilities: &Capabilities) -> Result<Geometry, String> {
    workgroup_per_row::geometry(classes, capabilities)
}

/// The longest row whose classes workgroup memory keeps: 4 KiB, so that several workgroups still share what a processor
/// has. Of longer rows columns leave few lanes idle.
const MOST_KEPT: u64 = 1024;

/// Rows have room for this many classes at least: few numbers, so that few pipelines serve all lengths.
const LEAST_KEPT: u64 = 32;

/// Room in workgroup memory for the classes of a row, if it is to have any.
pub(crate) fn kept(classes: u64, lanes: u32, capabilities: &Capabilities) -> Option<u32> {
    let kept = classes.next_power_of_two().max(LEAST_KEPT);
    // Beside the rows of the block and a sum of terms for each lane (`jacobian.wgsl`, `sums_of_terms.wgsl`).
    let bytes = 4 * kept + 4 * 3 * BLOCK_ROWS + 4 * 2 * u64::from(lanes);
    (classes <= MOST_KEPT && bytes <= capabilities.workgroup_bytes).then_some(kept as u32)
}

/// Lanes side by side in a row of the Jacobian: all of them, unless the row has fewer columns.
pub(crate) fn across(classes: u64, lanes: u32) -> u32 {
    let columns = classes.next_power_of_two().min(u64::from(lanes));
    columns as u32
}
