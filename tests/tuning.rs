//! Tables of what was measured, on a device: whatever one has, answers are right; and unasked it changes no bit.

mod common;

use common::device::{gpu, plain_gpu};
use common::judge::judge;
use common::rows_of_interest::{Character, special_rows};
use wgpu_softmax::{Candidate, Dtype, Gpu, Kernel, Op, Options, Output, Rows, Tuning};

fn with_entry(gpu: &Gpu, output: Output, classes: u64, candidate: Candidate) -> Gpu {
    let mut table = Tuning::new(gpu.capabilities().adapter.clone().unwrap());
    assert!(table.set(output, Dtype::F32, classes, candidate));
    gpu.with_tuning(table)
}

#[test]
fn every_candidate_agrees_with_the_reference() {
    for gpu in [gpu(), plain_gpu()].into_iter().flatten() {
        for classes in [1usize, 3, 7, 33, 100, 781, 4097, 20_000] {
            let rows: Vec<Vec<f32>> = (Character::ALL.iter().map(|character| character.row(classes, 5)))
                .chain(special_rows(classes).into_iter().map(|(_, row)| row).step_by(3))
                .collect();
            let (logits, count) = (rows.concat(), rows.len());
            let layout = Rows::batch(count as u64, classes as u64).unwrap();
            for op in [Op::Softmax, Op::LogSumExp] {
                for candidate in Tuning::candidates(op, Dtype::F32, classes as u64, gpu.capabilities()) {
                    let tuned = with_entry(gpu, op.output(), classes as u64, candidate);
                    let options = Options::default().tuned(true);
                    let result = tuned.compute_blocking(op, &logits, &[count, classes], 1, &options).unwrap();
                    if let Err(fault) = judge(op, options.precision, &logits, &layout, &result, &options) {
                        panic!("{candidate} for {op} of {classes} classes: {fault}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_a_batch_by_a_table_too() {
    let Some(gpu) = gpu() else { return };
    let classes = 1000;
    let row: Vec<f32> = Character::Normal.row(classes, 11);
    let options = Options::default().tuned(true);
    for candidate in Tuning::candidates(Op::Softmax, Dtype::F32, classes as u64, gpu.capabilities()) {
        let tuned = with_entry(gpu, Output::PerElement, classes as u64, candidate);
        let compute = |count: usize| {
            let result = tuned
                .compute_blocking(Op::Softmax, &row.repeat(count), &[count, classes], 1, &options)
                .unwrap();
            result[(count - 1) * classes..].iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        assert!(compute(1) == compute(67), "{candidate}");
    }
}

#[test]
fn unasked_and_for_another_adapter_a_table_changes_no_bit() {
    let Some(gpu) = gpu() else { return };
    let (count, classes) = (7, 1000);
    let logits: Vec<f32> = Character::Normal.row(count * classes, 11);
    let other = Candidate::Kernel { kernel: Kernel::WorkgroupPerRow, lanes: 64 };
    let compute = |gpu: &Gpu, options: Options| {
        let result = gpu.compute_blocking(Op::Softmax, &logits, &[count, classes], 1, &options).unwrap();
        result.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let plain = compute(gpu, Options::default());
    assert!(compute(gpu, Options::default().tuned(true)) == plain);
    let table = with_entry(gpu, Output::PerElement, classes as u64, other);
    assert!(compute(&table, Options::default()) == plain);

    let mut adapter = gpu.capabilities().adapter.clone().unwrap();
    adapter.driver.push_str(" of tomorrow");
    let mut table = Tuning::new(adapter);
    table.set(Output::PerElement, Dtype::F32, classes as u64, other);
    assert!(compute(&gpu.with_tuning(table), Options::default().tuned(true)) == plain);
}
