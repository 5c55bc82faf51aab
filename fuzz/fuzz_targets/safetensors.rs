#![no_main]

#[path = "readers.rs"]
mod arrays;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| arrays::strangers::read_safetensors(bytes));
