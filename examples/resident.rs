//! Staying on the device across operations: log-probabilities, then attention-like weights along another
//! axis, and only the end is read back.
//!
//!     cargo run --release --example resident

use wgpu_softmax::{Gpu, Op, Options, Result};

fn main() -> Result<()> {
    let gpu = Gpu::new_blocking()?;
    println!("on {}", gpu.info().name);
    let (batch, rows, classes) = (8, 64, 1000);
    let data: Vec<f32> = (0..batch * rows * classes).map(|place| (place as f32 * 0.37).sin() * 8.0).collect();

    let options = Options::default();
    let logits = gpu.upload(&data, &[batch, rows, classes])?;
    let log_probabilities = logits.compute(Op::LogSoftmax, -1, &options)?;
    let weights = log_probabilities.compute(Op::Softmax, 1, &options)?;
    // The weights may go where the log-probabilities were, when those are no longer wanted.
    let again = log_probabilities.compute_in_place(Op::Softmax, 1, &options)?;

    let weights = weights.read_blocking()?;
    assert_eq!(weights, again.read_blocking()?);
    let column: f32 = (0..rows).map(|row| weights[row * classes]).sum();
    println!("{} weights; the first column of the first batch sums to {column}", weights.len());
    Ok(())
}
