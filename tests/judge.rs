//! The judge on trial: answers that are right must pass, answers that are wrong on purpose must not.

mod common;

use common::double_double::DoubleDouble;
use common::judge::{judge, judge_f64};
use common::rows_of_interest::Character;
use wgpu_softmax::{FullyMasked, Op, Options, Precision, Rows, reference};

const U: f32 = 1.0 / (1u32 << 24) as f32;

/// The right answer for one row of f32, rounded once.
fn right(op: Op, logits: &[f32]) -> Vec<f32> {
    let widened: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    let rows = Rows::batch(1, logits.len() as u64).unwrap();
    let canonical = |value: f64| if value.is_nan() { f32::from_bits(0x7fc0_0000) } else { value as f32 };
    reference::compute(op, &widened, &rows, &Options::default()).into_iter().map(canonical).collect()
}

fn verdict(op: Op, logits: &[f32], result: &[f32]) -> Result<f64, String> {
    let rows = Rows::batch(1, logits.len() as u64).unwrap();
    judge(op, Precision::Accurate, logits, &rows, result, &Options::default()).map(|worst| worst.units)
}

#[track_caller]
fn accepted(op: Op, logits: &[f32], result: &[f32]) {
    if let Err(fault) = verdict(op, logits, result) {
        panic!("refused: {fault}");
    }
}

#[track_caller]
fn refused(op: Op, logits: &[f32], result: &[f32]) {
    if let Ok(units) = verdict(op, logits, result) {
        panic!("accepted, with {units} u");
    }
}

/// `result` with one element replaced.
fn with(result: &[f32], at: usize, value: f32) -> Vec<f32> {
    let mut changed = result.to_vec();
    changed[at] = value;
    changed
}

#[test]
fn right_answers_pass() {
    for character in Character::ALL {
        for classes in [1, 2, 33, 1000] {
            let logits: Vec<f32> = character.row(classes, 5);
            for op in Op::ROW_WISE {
                let units = verdict(op, &logits, &right(op, &logits)).unwrap();
                assert!(units <= 1.001, "{units} u for a correctly rounded {op}");
            }
        }
    }
}

#[test]
fn an_element_off_by_twenty_units_is_refused() {
    let logits: Vec<f32> = Character::Normal.row(1000, 2);
    let softmax = right(Op::Softmax, &logits);
    for at in [0, 17, 999] {
        accepted(Op::Softmax, &logits, &with(&softmax, at, softmax[at] * (1.0 + 12.0 * U)));
        refused(Op::Softmax, &logits, &with(&softmax, at, softmax[at] * (1.0 + 20.0 * U)));
        refused(Op::Softmax, &logits, &with(&softmax, at, softmax[at] * (1.0 - 20.0 * U)));
    }
    let log_softmax = right(Op::LogSoftmax, &logits);
    accepted(Op::LogSoftmax, &logits, &with(&log_softmax, 17, log_softmax[17] * (1.0 + 6.0 * U)));
    refused(Op::LogSoftmax, &logits, &with(&log_softmax, 17, log_softmax[17] * (1.0 + 10.0 * U)));
    let log_sum_exp = right(Op::LogSumExp, &logits)[0];
    accepted(Op::LogSumExp, &logits, &[log_sum_exp * (1.0 + 4.0 * U)]);
    refused(Op::LogSumExp, &logits, &[log_sum_exp * (1.0 + 12.0 * U)]);
}

#[test]
fn a_row_that_does_not_sum_to_one_is_refused() {
    // Each element within its own bound, but all on the same side: 1 + 15 u passes, 1 + 16.5 u does not.
    let logits = [0.0f32; 64];
    let scaled = |units: f32| [(1.0 + units * U) / 64.0; 64];
    accepted(Op::Softmax, &logits, &scaled(14.0));
    refused(Op::Softmax, &logits, &scaled(18.0));
    let softmax = right(Op::Softmax, &Character::Normal.row::<f32>(64, 3));
    let sums_to_more: Vec<f32> = softmax.iter().map(|p| p * 1.0013).collect();
    refused(Op::Softmax, &Character::Normal.row::<f32>(64, 3), &sums_to_more);
}

#[test]
fn swapped_classes_are_refused() {
    let logits: Vec<f32> = Character::Normal.row(33, 4);
    for op in [Op::Softmax, Op::LogSoftmax] {
        let mut result = right(op, &logits);
        result.swap(3, 20);
        refused(op, &logits, &result);
    }
}

#[test]
fn a_nan_must_be_there_with_its_very_bits() {
    let logits = [1.0, f32::NAN, 3.0];
    let nan = f32::from_bits(0x7fc0_0000);
    for op in [Op::Softmax, Op::LogSoftmax] {
        accepted(op, &logits, &[nan; 3]);
        refused(op, &logits, &[nan, 0.5, nan]);
        refused(op, &logits, &[nan, nan, f32::from_bits(0x7fc0_0001)]);
        refused(op, &logits, &[f32::from_bits(0xffc0_0000), nan, nan]);
        refused(op, &[1.0, 2.0, f32::INFINITY], &[0.0, 0.0, 1.0]);
        refused(op, &[1.0, 2.0, 3.0], &[nan; 3]);
    }
    accepted(Op::LogSumExp, &logits, &[nan]);
    refused(Op::LogSumExp, &logits, &[f32::from_bits(0x7fc0_0001)]);
    refused(Op::LogSumExp, &logits, &[3.1]);
    refused(Op::LogSumExp, &[1.0, 2.0], &[nan]);
    accepted(Op::LogSumExp, &[1.0, f32::INFINITY], &[f32::INFINITY]);
    refused(Op::LogSumExp, &[1.0, f32::INFINITY], &[f32::MAX]);
    refused(Op::LogSumExp, &[f32::NAN, f32::INFINITY], &[f32::INFINITY]);
}

#[test]
fn wholly_masked_rows_are_what_the_options_say() {
    let logits = [f32::NEG_INFINITY; 2];
    let nan = f32::from_bits(0x7fc0_0000);
    let rows = Rows::batch(1, 2).unwrap();
    for (op, zero) in [(Op::Softmax, 0.0), (Op::LogSoftmax, f32::NEG_INFINITY)] {
        for (choice, right, wrong) in [(FullyMasked::Nan, nan, zero), (FullyMasked::Zero, zero, nan)] {
            let options = Options::default().fully_masked(choice);
            assert!(judge(op, Precision::Accurate, &logits, &rows, &[right; 2], &options).is_ok());
            assert!(judge(op, Precision::Accurate, &logits, &rows, &[wrong; 2], &options).is_err());
            assert!(judge(op, Precision::Accurate, &logits, &rows, &[right, wrong], &options).is_err());
        }
    }
    accepted(Op::LogSumExp, &logits, &[f32::NEG_INFINITY]);
    refused(Op::LogSumExp, &logits, &[f32::MIN]);
}

#[test]
fn masked_classes_are_exact() {
    let logits = [1.0, f32::NEG_INFINITY];
    accepted(Op::Softmax, &logits, &[1.0, 0.0]);
    refused(Op::Softmax, &logits, &[1.0, 1e-45]);
    accepted(Op::LogSoftmax, &logits, &[0.0, f32::NEG_INFINITY]);
    refused(Op::LogSoftmax, &logits, &[0.0, f32::MIN]);
    // Beyond the range of f32, but not by being masked.
    let extremes = [3e38, 3e38, -3e38];
    let log_half = -std::f32::consts::LN_2;
    accepted(Op::LogSoftmax, &extremes, &[log_half, log_half, f32::NEG_INFINITY]);
    refused(Op::LogSoftmax, &extremes, &[log_half, log_half, f32::MIN]);
    refused(Op::LogSoftmax, &extremes, &[log_half, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    refused(Op::LogSoftmax, &[0.0, -1e30], &[0.0, f32::NEG_INFINITY]);
}

#[test]
fn negative_zero_is_refused() {
    accepted(Op::LogSoftmax, &[4.0], &[0.0]);
    refused(Op::LogSoftmax, &[4.0], &[-0.0]);
    refused(Op::LogSoftmax, &[4.0, f32::NEG_INFINITY], &[-0.0, f32::NEG_INFINITY]);
}

#[test]
fn the_small_end_is_not_rounded_away() {
    let logits = [0.0, -20.0];
    accepted(Op::LogSumExp, &logits, &[2.061_153_6e-9]);
    refused(Op::LogSumExp, &logits, &[0.0]);
    accepted(Op::LogSoftmax, &logits, &[-2.061_153_6e-9, -20.0]);
    refused(Op::LogSoftmax, &logits, &[0.0, -20.0]);
    refused(Op::LogSoftmax, &logits, &[-2.061_16e-9, -20.0]);
    accepted(Op::Softmax, &logits, &[1.0, 2.061_153_6e-9]);
    refused(Op::Softmax, &logits, &[1.0, 0.0]);
    // What is less than the least normal number may be flushed, and what is not may not.
    accepted(Op::Softmax, &[0.0, -87.5], &[1.0, 0.0]);
    refused(Op::Softmax, &[0.0, -87.0], &[1.0, 0.0]);
}

#[test]
fn the_plain_exponential_of_a_rounded_difference_is_refused() {
    let logits: Vec<f32> = Character::Deep.row(1000, 6);
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let terms: Vec<f32> = logits.iter().map(|x| (x - maximum).exp()).collect();
    let sum: f64 = terms.iter().map(|&term| f64::from(term)).sum();
    let plain: Vec<f32> = terms.iter().map(|&term| (f64::from(term) / sum) as f32).collect();
    refused(Op::Softmax, &logits, &plain);
    // It is what the fast promise leaves room for.
    let rows = Rows::batch(1, 1000).unwrap();
    let fast = judge(Op::Softmax, Precision::Fast, &logits, &rows, &plain, &Options::default()).unwrap();
    assert!(fast.units > 16.0, "{} u", fast.units);
}

#[test]
fn the_fast_bounds_end_somewhere() {
    let logits = [0.0, -10.0];
    let rows = Rows::batch(1, 2).unwrap();
    let softmax = right(Op::Softmax, &logits);
    let verdict = |units: f32| {
        let result = [softmax[0], softmax[1] * (1.0 + units * U)];
        judge(Op::Softmax, Precision::Fast, &logits, &rows, &result, &Options::default())
    };
    assert!(verdict(68.0).is_ok());
    assert!(verdict(72.0).is_err());
}

#[test]
fn single_classes_are_exact() {
    for x in [0.0, 0.1, -3e38, 1e-45] {
        accepted(Op::Softmax, &[x], &[1.0]);
        refused(Op::Softmax, &[x], &[1.0 - U]);
        accepted(Op::LogSumExp, &[x], &[x]);
    }
    refused(Op::LogSoftmax, &[0.1], &[1e-45]);
    refused(Op::LogSumExp, &[0.1], &[0.100_000_01]);
}

#[test]
fn the_fault_is_named() {
    let rows = Rows::new(2, 2, 2).unwrap();
    let logits = [0.0f32; 8];
    let mut result = [0.5f32; 8];
    assert!(judge(Op::Softmax, Precision::Accurate, &logits, &rows, &result, &Options::default()).is_ok());
    result[7] = 0.6;
    let fault =
        judge(Op::Softmax, Precision::Accurate, &logits, &rows, &result, &Options::default()).unwrap_err();
    assert!(fault.contains("row (1, 1), class 1") && fault.contains("5e-1"), "{fault}");
    assert!(
        judge(Op::Softmax, Precision::Accurate, &logits, &rows, &result[..7], &Options::default()).is_err()
    );
}

#[test]
fn padding_between_the_rows_is_passed_over() {
    let rows = Rows::batch(2, 2).unwrap().with_pitch(3).unwrap().with_offset(1).unwrap();
    let logits = [9.0f32, 0.0, 0.0, f32::NAN, 5.0, 5.0];
    assert!(judge(Op::Softmax, Precision::Accurate, &logits, &rows, &[0.5; 4], &Options::default()).is_ok());
}

#[test]
fn f64_is_held_to_its_own_units() {
    let rows = Rows::batch(1, 3).unwrap();
    let logits = [0.0f64, -1.0, -2.0];
    // exp(−1) / (1 + exp(−1) + exp(−2)) and the others, from their known digits.
    let softmax = [0.665_240_955_774_821_9, 0.244_728_471_054_797_64, 0.090_030_573_170_380_46];
    let verdict = |result: [f64; 3]| {
        judge_f64(Op::Softmax, Precision::Accurate, &logits, &rows, &result, &Options::default())
    };
    assert!(verdict(softmax).is_ok_and(|worst| worst.units < 1.1));
    assert!(verdict([softmax[0], softmax[1], softmax[2] * (1.0 + 20.0 * f64::EPSILON / 2.0)]).is_err());
    assert!(verdict([softmax[0], softmax[1], f64::from(softmax[2] as f32)]).is_err());
    assert!(verdict([f64::NAN; 3]).is_err());
    let verdict = |result: f64| {
        judge_f64(
            Op::LogSumExp,
            Precision::Accurate,
            &[0.0, -40.0],
            &Rows::batch(1, 2).unwrap(),
            &[result],
            &Options::default(),
        )
    };
    assert!(verdict(4.248_354_255_291_589e-18).is_ok());
    assert!(verdict(0.0).is_err());
    let nan = [f64::from_bits(0x7ff8_0000_0000_0001)];
    let one = Rows::batch(1, 1).unwrap();
    assert!(
        judge_f64(Op::Softmax, Precision::Accurate, &[f64::NAN], &one, &nan, &Options::default()).is_err()
    );
}

#[test]
fn double_double_knows_its_digits() {
    let close = |value: DoubleDouble, high: f64, low: f64| {
        let error = ((value.high - high) + (value.low - low)).abs();
        assert!(error <= 1e-30 * high.abs(), "{value:?} for {high:e} + {low:e}");
    };
    // e, 1/e, exp(−0.5) and ln 2, each as the nearest f64 and the nearest f64 to the rest.
    close(DoubleDouble::ONE.exp(), std::f64::consts::E, 1.445_646_891_729_250_2e-16);
    close(DoubleDouble::ONE.ln_1p(), std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
    let inverse = DoubleDouble::from(-1.0).exp();
    close(inverse, 0.367_879_441_171_442_33, -1.242_875_367_278_836_2e-17);
    close(inverse * DoubleDouble::ONE.exp(), 1.0, 0.0);
    close(DoubleDouble::from(3.0).recip() * DoubleDouble::from(3.0), 1.0, 0.0);
    for x in [1e-300, 1e-20, 1e-9, 0.99e-8, 1.01e-8, 0.1, 0.7, 3.0, 1e5] {
        let there_and_back = DoubleDouble::from(x).ln_1p().exp() - DoubleDouble::ONE;
        let error = ((there_and_back.high - x) + there_and_back.low).abs();
        assert!(error <= 1e-29 * x.max(1.0), "{x}: {error:e}");
    }
    assert_eq!(DoubleDouble::from(-1000.0).exp(), DoubleDouble::ZERO);
}
