//! What the page for browsers computes with: JavaScript draws, everything that is a number comes from here.
//!
//!     logits ─► calculator ─► answer ─► npy
//!     (file,    (GPU or CPU)  (row by row)
//!      text)         └─► speed

#![cfg(target_arch = "wasm32")]

#[cfg(feature = "agreement")]
mod agreement;
mod answer;
mod arrays;
mod calculator;
mod failure;
mod logits;
mod speed;

use wasm_bindgen::prelude::wasm_bindgen;

/// Panics are bugs; the console tells where.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}
