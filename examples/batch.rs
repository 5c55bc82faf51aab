//! Softmax of a batch in one call, on a GPU where there is one.
//!
//!     cargo run --release --example batch

use wgpu_softmax::{Device, Dtype, Result};

fn main() -> Result<()> {
    let device = Device::Auto.open_blocking()?;
    println!("on {}, since {}", device.name(Dtype::F32), device.why(Dtype::F32));

    // Three rows of four classes, one after the other.
    let logits = [1.25_f32, 2.44, 0.78, 0.12, 6.0, 3.0, 0.0, 1.0, 555.0, 999.0, 111.0, -40.0];
    let probabilities = device.softmax_blocking(&logits, &[3, 4], -1)?;
    for (row, probabilities) in probabilities.chunks(4).enumerate() {
        println!("row {row}: {probabilities:?}");
    }

    // The same memory along the other axis: each column is a row of three classes.
    let columns = device.softmax_blocking(&logits, &[3, 4], 0)?;
    println!("along axis 0: {columns:?}");
    println!("log-sum-exp of each row: {:?}", device.log_sum_exp_blocking(&logits, &[3, 4], -1)?);
    Ok(())
}
