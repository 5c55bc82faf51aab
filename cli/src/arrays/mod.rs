//! Arrays in and out, in NumPy's `.npy` format.
//!
//! [`header`] decides whether a file can be what it says before anything as large as that is allocated,
//! [`read`] turns elements of any type and order into C-ordered f32 or f64, [`write()`] is the way back, and
//! [`types`] knows what becomes of which type in between.

mod header;
mod read;
mod types;
mod write;

pub use read::{Incoming, reserve};
pub use types::{Computed, Float, Stored, Written};
pub use write::write;

/// NumPy's limit on the number of dimensions.
pub const MOST_DIMENSIONS: usize = 64;
