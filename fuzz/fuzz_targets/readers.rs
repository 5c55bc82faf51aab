//! The program's readers of headers, which have no library of their own.

#![allow(dead_code, unused_imports, unused_macros)]

#[path = "../../cli/src/arrays/header.rs"]
pub mod header;
#[path = "../../cli/src/arrays/npy.rs"]
pub mod npy;
#[path = "../../cli/src/arrays/safetensors.rs"]
pub mod safetensors;
#[path = "../../cli/src/arrays/strangers.rs"]
pub mod strangers;
#[path = "../../cli/src/arrays/types.rs"]
pub mod types;
