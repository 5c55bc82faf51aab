//! (N, K) → (N, K, K): the Jacobians of softmax and of log-softmax.
//!
//! * Needs the last axis.
//! * A workgroup takes the statistics of a row and writes a block of up to [`BLOCK_ROWS`] rows of its Jacobian,
//!   every element once.
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

/// Lanes side by side in a row of the Jacobian: all of them, unless the row has fewer columns.
pub(crate) fn across(classes: u64, lanes: u32) -> u32 {
    let columns = classes.next_power_of_two().min(u64::from(lanes));
    columns as u32
}
