//! Arrays in and out, in NumPy's `.npy` format and as tensors in `.safetensors` files.
//!
//! [`file`] tells from a path which of the two it names. [`npy`] and [`safetensors`] know the formats' headers,
//! and decide whether a file can be what it says before anything as large as that is allocated. [`read`] turns
//! elements of any type and order into C-ordered ones of the type that is wanted, [`write()`] is the way back,
//! and [`types`] knows what becomes of which type in between.

mod file;
mod header;
mod npy;
mod read;
mod safetensors;
mod types;
mod write;

pub use file::ArrayFile;
pub use read::{Incoming, broadcast, can_broadcast, reserve};
pub use types::{Decimal, Float, Numbers, Stored, Written};
pub use write::write;
