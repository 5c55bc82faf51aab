//! Arrays in and out, in NumPy's `.npy` format and as tensors in `.safetensors` files.
//!
//! [`file`] tells from a path which of the two it names. [`npy`] and [`safetensors`] know the formats' headers,
//! and decide whether a file can be what it says before anything as large as that is allocated. [`region`] knows where
//! a box cut out of an array lies in its file, and [`places`] counts along its axes. [`read`] turns such
//! a box, of elements of any type and order, into C-ordered ones of the type that is wanted, by way of stretches that are
//! [`mapped`]; [`write`] is the way back, and [`types`] knows what becomes of which type in between.

mod file;
mod header;
#[cfg(unix)]
mod mapped;
mod npy;
mod places;
mod read;
mod region;
mod safetensors;
#[cfg(test)]
mod strangers;
mod types;
mod write;

pub use file::ArrayFile;
pub use read::{Incoming, broadcast, can_broadcast, reserve};
pub use region::Region;
pub use types::{Decimal, Float, Numbers, Stored, Written};
pub use write::Outgoing;
