//! Sizes at which others break: more rows than a grid's side, more bytes than a binding, rows longer than one.

mod common;

use common::device::{gpu, plain_gpu};
use common::judge::judge;
use common::rows_of_interest::Random;
use wgpu_softmax::{Gpu, Kernel, Op, Options, Precision, Rows};

fn logits(count: usize) -> Vec<f32> {
    let random = &mut Random::new(count as u64);
    (0..count).map(|_| (random.bits() >> 40) as f32 * (24.0 / (1 << 24) as f32) - 12.0).collect()
}

fn check(op: Op, logits: &[f32], rows: &Rows, result: &[f32]) {
    judge(op, Precision::Accurate, logits, rows, result, &Options::default()).unwrap();
}

#[test]
fn more_rows_than_one_side_of_a_grid() {
    for gpu in [gpu(), plain_gpu()].into_iter().flatten() {
        for (count, classes) in [(65_535, 3), (65_536, 3), (1_000_000, 4), (70_000, 33)] {
            let logits = logits(count * classes);
            let rows = Rows::batch(count as u64, classes as u64).unwrap();
            for op in Op::ROW_WISE {
                let result =
                    gpu.compute_blocking(op, &logits, &[count, classes], 1, &Options::default()).unwrap();
                check(op, &logits, &rows, &result);
            }
        }
    }
}

#[test]
fn a_workgroup_for_each_of_many_rows() {
    let Some(gpu) = gpu() else { return };
    let (count, classes) = (66_000, 5);
    let logits = logits(count * classes);
    let rows = Rows::batch(count as u64, classes as u64).unwrap();
    for kernel in Kernel::ROW_WISE {
        let options = Options::default().kernel(kernel);
        let result = gpu.compute_blocking(Op::Softmax, &logits, &[count, classes], 1, &options).unwrap();
        check(Op::Softmax, &logits, &rows, &result);
    }
}

/// A tensor of more than 128 MiB on the device, worked on in one call of the second level.
fn resident(gpu: &Gpu, op: Op, shape: [usize; 3], windows: u64) {
    let logits = logits(shape.iter().product());
    let rows = Rows::new(shape[0] as u64, shape[1] as u64, shape[2] as u64).unwrap();
    assert!(logits.len() * 4 > 128 << 20);
    let plan =
        wgpu_softmax::Plan::new(op, wgpu_softmax::Dtype::F32, &rows, &Options::default(), gpu.capabilities());
    assert!(plan.unwrap().windows() >= windows.min(rows.elements() * 4 / gpu.capabilities().binding_bytes));
    let tensor = gpu.upload(&logits, &shape).unwrap();
    let result = tensor.compute(op, 1, &Options::default()).unwrap().read_blocking().unwrap();
    check(op, &logits, &rows, &result);
}

#[test]
fn a_batch_of_more_than_a_binding() {
    let Some(gpu) = gpu() else { return };
    resident(gpu, Op::Softmax, [35_001, 1000, 1], 2);
    resident(gpu, Op::LogSumExp, [700, 50_257, 1], 2);
}

#[test]
fn one_row_over_several_bindings() {
    let Some(gpu) = gpu() else { return };
    resident(gpu, Op::LogSoftmax, [1, 35_000_003, 1], 2);
}

#[test]
fn columns_of_more_than_a_binding() {
    let Some(gpu) = gpu() else { return };
    resident(gpu, Op::Softmax, [1, 101, 350_003], 2);
    resident(gpu, Op::LogSumExp, [3, 35, 350_003], 2);
}

#[test]
fn one_call_over_more_than_a_window() {
    let Some(gpu) = gpu() else { return };
    for (shape, axis) in [([35_001usize, 1000, 1], 1), ([1, 1000, 35_001], 1), ([1, 35_000_003, 1], 1)] {
        let logits = logits(shape.iter().product());
        let rows = Rows::new(shape[0] as u64, shape[1] as u64, shape[2] as u64).unwrap();
        let result = gpu.softmax_blocking(&logits, &shape, axis).unwrap();
        check(Op::Softmax, &logits, &rows, &result);
    }
}
