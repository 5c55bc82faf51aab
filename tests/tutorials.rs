//! The worked cases of beginners' softmax articles, with the digits that they print.

mod common;

use approx::assert_relative_eq;
use wgpu_softmax::{Cpu, reference};

/// Logits, and the digits of their softmax with how many of them are given.
const CASES: [(&[f64], &[f64], f64); 5] = [
    (
        &[1.25, 2.44, 0.78, 0.12],
        &[0.19101770813831334, 0.627890718698843, 0.11938650086860875, 0.061705072294234845],
        1e-15,
    ),
    (&[6.0, 3.0], &[0.95257413, 0.04742587], 1e-7),
    (&[2.0, 11.0, 7.0], &[1.21175444e-04, 9.81894794e-01, 1.79840305e-02], 1e-8),
    (&[555.0, 999.0, 111.0], &[0.0, 1.0, 0.0], 1e-100),
    (&[1.0, 2.0, 0.0], &[0.24472847, 0.66524096, 0.09003057], 1e-7),
];

#[test]
fn the_articles_digits() {
    for (logits, digits, tolerance) in CASES {
        let narrow: Vec<f32> = logits.iter().map(|&logit| logit as f32).collect();
        let shape = [logits.len()];
        for answer in [reference::softmax(logits), Cpu::new().softmax(logits, &shape, 0).unwrap()] {
            for (p, digit) in answer.iter().zip(digits) {
                assert_relative_eq!(p, digit, max_relative = tolerance, epsilon = 1e-100);
            }
        }
        let on_cpu = Cpu::new().softmax(&narrow, &shape, 0).unwrap();
        let on_gpu = common::device::gpu().map(|gpu| gpu.softmax_blocking(&narrow, &shape, 0).unwrap());
        for answer in [Some(on_cpu), on_gpu].into_iter().flatten() {
            for (p, digit) in answer.iter().zip(digits) {
                assert_relative_eq!(f64::from(*p), digit, max_relative = 1e-6, epsilon = 1e-38);
            }
        }
    }
}

#[test]
fn the_batch_and_the_ramp() {
    let batch = [1.0, 2.0, 0.0, 0.5, 1.5, 2.5];
    let p = Cpu::new().softmax(&batch, &[2, 3], 1).unwrap();
    for (p, digit) in p[3..].iter().zip([0.09003057, 0.24472847, 0.66524096]) {
        assert_relative_eq!(*p, digit, max_relative = 1e-7);
    }
    let ramp: Vec<f64> = (0..=10).map(f64::from).collect();
    assert_relative_eq!(Cpu::new().softmax(&ramp, &[11], 0).unwrap()[10], 0.632, max_relative = 1e-3);
}

#[test]
fn the_naive_form_fails_where_the_stable_one_does_not() {
    let naive = reference::naive_softmax(&[555.0, 999.0, 111.0]);
    assert!(naive[1].is_nan());
    assert_eq!(reference::softmax(&[555.0, 999.0, 111.0])[1], 1.0);
    assert_relative_eq!(reference::naive_softmax(&[1.0, 2.0, 0.0])[1], 0.66524096, max_relative = 1e-7);
}
