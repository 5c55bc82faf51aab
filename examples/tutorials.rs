//! The worked cases of beginners' softmax articles, beside the reference's answer.
//!
//!     cargo run --release --example tutorials

use wgpu_softmax::{Device, Dtype, Result, reference};

fn main() -> Result<()> {
    let device = Device::Auto.open_blocking()?;
    println!("computed on {}\n", device.name(Dtype::F64));

    let cases: [(&str, &[f64]); 6] = [
        ("cat, dog, tiger, none", &[1.25, 2.44, 0.78, 0.12]),
        ("two classes: the logistic function of their difference", &[6.0, 3.0]),
        ("three classes far apart", &[2.0, 11.0, 7.0]),
        ("where exp(x) overflows", &[555.0, 999.0, 111.0]),
        ("three classes close together", &[1.0, 2.0, 0.0]),
        ("0 to 10", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]),
    ];
    for (title, logits) in cases {
        println!("{title}: softmax of {logits:?}");
        println!("  computed   {:?}", device.softmax_blocking(logits, &[logits.len()], -1)?);
        println!("  reference  {:?}", reference::softmax(logits));
        let naive = reference::naive_softmax(logits);
        if naive.iter().any(|p| p.is_nan()) {
            println!("  exp(x)/Σexp(x), taken literally, gives {naive:?}");
        }
    }

    let batch = [1.0, 2.0, 0.0, 0.5, 1.5, 2.5];
    println!("the batch [[1, 2, 0], [0.5, 1.5, 2.5]] along axis 1");
    for (logits, p) in batch.chunks(3).zip(device.softmax_blocking(&batch, &[2, 3], 1)?.chunks(3)) {
        println!("  computed   {p:?}");
        println!("  reference  {:?}", reference::softmax(logits));
    }

    // (K) → (K, K). The tutorials build it from two einsums and a subtraction, in which the diagonal of a
    // confident row cancels to 0.
    let logits = [40.0, 0.0];
    let p = device.softmax_blocking(&logits, &[2], -1)?;
    println!("the Jacobian of softmax at {logits:?}");
    println!("  computed   {:?}", device.jacobian_blocking(&logits, &[2], -1)?);
    println!("  reference  {:?}", reference::jacobian(&logits));
    println!("  p − p·p, on the diagonal, gives {:?}", [p[0] - p[0] * p[0], p[1] - p[1] * p[1]]);
    Ok(())
}
