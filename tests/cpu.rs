//! The CPU path against the judge: every length, every operation, every character of row, f32 and f64; and
//! what a row's answer may not depend on.

mod common;

use common::judge::{Worst, judge, judge_f64};
use common::rows_of_interest::{CLASSES, Character, Logit, Random, special_rows, transposed};
use proptest::prelude::*;
use wgpu_softmax::{Axes, Cpu, Element, FullyMasked, Op, Options, Precision, Rows};

/// A type that the CPU computes in and that there is a judge for.
trait Subject: Element + Logit {
    fn judge(
        op: Op,
        logits: &[Self],
        rows: &Rows,
        result: &[Self],
        options: &Options,
    ) -> Result<Worst, String>;
    fn bits(self) -> u64;
}

impl Subject for f32 {
    fn judge(
        op: Op,
        logits: &[f32],
        rows: &Rows,
        result: &[f32],
        options: &Options,
    ) -> Result<Worst, String> {
        judge(op, Precision::Accurate, logits, rows, result, options)
    }

    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}

impl Subject for f64 {
    fn judge(
        op: Op,
        logits: &[f64],
        rows: &Rows,
        result: &[f64],
        options: &Options,
    ) -> Result<Worst, String> {
        judge_f64(op, Precision::Accurate, logits, rows, result, options)
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }
}

fn compute<T: Element>(op: Op, logits: &[T], shape: &[usize], axes: impl Into<Axes>) -> Vec<T> {
    Cpu::new().compute(op, logits, shape, axes, &Options::default()).unwrap()
}

/// Computes, and has the answer judged.
#[track_caller]
fn judged<T: Subject>(op: Op, logits: &[T], shape: &[usize], axis: isize, what: &str) -> (Vec<T>, Worst) {
    let rows = Rows::of_shape(shape, &axis.into()).unwrap();
    let result = compute(op, logits, shape, axis);
    match T::judge(op, logits, &rows, &result, &Options::default()) {
        Ok(worst) => (result, worst),
        Err(fault) => panic!("{what}: {fault}"),
    }
}

#[track_caller]
fn same_bits<T: Subject>(left: &[T], right: &[T], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}");
    for (at, (&left, &right)) in left.iter().zip(right).enumerate() {
        assert_eq!(left.bits(), right.bits(), "{what}: {left:?} and {right:?} at {at}");
    }
}

fn every_length_and_character<T: Subject>() {
    for op in Op::ROW_WISE {
        let mut worst: f64 = 0.0;
        for classes in CLASSES {
            for character in Character::ALL {
                let logits: Vec<T> = character.row(classes, 1);
                let what = format!("{character:?}, {classes} classes");
                worst = worst.max(judged(op, &logits, &[1, classes], -1, &what).1.units);
            }
        }
        println!("{op} in {:?}: {worst:.2} u at worst", T::DTYPE);
    }
}

#[test]
fn every_length_and_character_in_f32() {
    every_length_and_character::<f32>();
}

#[test]
fn every_length_and_character_in_f64() {
    every_length_and_character::<f64>();
}

fn many_rows<T: Subject>() {
    for op in Op::ROW_WISE {
        let mut worst: f64 = 0.0;
        for (rows, classes) in [(3000, 2), (1001, 5), (300, 33), (200, 100), (64, 1000), (5, 5000)] {
            for character in Character::ALL {
                let logits: Vec<T> = (0..rows).flat_map(|row| character.row(classes, row as u64)).collect();
                let what = format!("{character:?}, {rows} rows of {classes}");
                worst = worst.max(judged(op, &logits, &[rows, classes], -1, &what).1.units);
            }
        }
        println!("{op} in {:?}: {worst:.2} u at worst", T::DTYPE);
    }
}

#[test]
fn many_rows_in_f32() {
    many_rows::<f32>();
}

#[test]
fn many_rows_in_f64() {
    many_rows::<f64>();
}

fn special_rows_follow_the_contract<T: Subject>() {
    for classes in [1, 2, 3, 4, 15, 16, 17, 33, 64, 65, 1000, 4095, 4097, 8200, 70_001] {
        let named = special_rows::<T>(classes);
        for op in Op::ROW_WISE {
            for fully_masked in [FullyMasked::Nan, FullyMasked::Zero] {
                let options = Options::default().fully_masked(fully_masked);
                for (name, row) in &named {
                    let result = Cpu::new().compute(op, row, &[classes], -1, &options).unwrap();
                    let rows = Rows::batch(1, classes as u64).unwrap();
                    if let Err(fault) = T::judge(op, row, &rows, &result, &options) {
                        panic!("{name}, {fully_masked:?}: {fault}");
                    }
                }
            }
            if classes <= 4097 {
                // All of them in one batch, as rows and as columns: none spoils another.
                let rows: Vec<Vec<T>> = named.iter().map(|(_, row)| row.clone()).collect();
                judged(op, &rows.concat(), &[rows.len(), classes], -1, "special rows together");
                judged(op, &transposed(&rows), &[classes, rows.len()], 0, "special columns together");
            }
        }
    }
}

#[test]
fn special_rows_follow_the_contract_in_f32() {
    special_rows_follow_the_contract::<f32>();
}

#[test]
fn special_rows_follow_the_contract_in_f64() {
    special_rows_follow_the_contract::<f64>();
}

#[test]
fn the_contract_in_numbers() {
    let log_half = -std::f32::consts::LN_2;
    let extremes = [3e38f32, 3e38, -3e38];
    assert_eq!(compute(Op::Softmax, &extremes, &[3], -1), [0.5, 0.5, 0.0]);
    assert_eq!(compute(Op::LogSoftmax, &extremes, &[3], -1), [log_half, log_half, f32::NEG_INFINITY]);
    assert_eq!(compute(Op::LogSumExp, &extremes, &[3], -1), [3e38]);

    assert_eq!(compute(Op::LogSumExp, &[0.0f32, -20.0], &[2], -1), [2.061_153_6e-9]);
    assert_eq!(compute(Op::LogSoftmax, &[0.0f32, -20.0], &[2], -1), [-2.061_153_6e-9, -20.0]);

    for x in [0.3f32, -1e30, f32::MAX, f32::MIN, 1e-45] {
        assert_eq!(compute(Op::Softmax, &[x], &[1], -1), [1.0]);
        assert_eq!(compute(Op::LogSoftmax, &[x], &[1], -1)[0].to_bits(), 0);
        assert_eq!(compute(Op::LogSumExp, &[x], &[1], -1), [x]);
        assert_eq!(compute(Op::Softmax, &[x; 781], &[781], -1), [1.0 / 781.0; 781]);
    }
}

#[test]
fn nothing_in_nothing_out() {
    for op in [Op::Softmax, Op::LogSoftmax] {
        for (shape, axis) in [([3, 0], 1), ([0, 3], 1), ([0, 3], 0), ([3, 0], 0), ([0, 0], 0)] {
            assert_eq!(compute::<f32>(op, &[], &shape, axis), [], "{op} of {shape:?} along {axis}");
        }
    }
    assert_eq!(compute::<f32>(Op::LogSumExp, &[], &[3, 0], 1), [f32::NEG_INFINITY; 3]);
    assert_eq!(compute::<f64>(Op::LogSumExp, &[], &[0, 3], 0), [f64::NEG_INFINITY; 3]);
    assert_eq!(compute::<f32>(Op::LogSumExp, &[], &[0, 3], 1), []);
    assert_eq!(compute::<f32>(Op::LogSumExp, &[], &[2, 0, 3], 1), [f32::NEG_INFINITY; 6]);
}

fn every_axis<T: Subject>() {
    let shapes: [&[usize]; 8] = [
        &[3, 5, 7],
        &[2, 33, 17],
        &[1, 100, 31],
        &[4, 65, 1],
        &[7, 3, 2],
        &[2, 4097, 3],
        &[1, 9000, 19],
        &[3, 2, 129],
    ];
    for shape in shapes {
        for character in [Character::Normal, Character::Deep, Character::Masked, Character::Ascending] {
            let logits: Vec<T> = character.row(shape.iter().product(), 7);
            for op in Op::ROW_WISE {
                for axis in -3..3 {
                    judged(op, &logits, shape, axis, &format!("{character:?}, axis {axis} of {shape:?}"));
                }
            }
        }
    }
}

#[test]
fn every_axis_in_f32() {
    every_axis::<f32>();
}

#[test]
fn every_axis_in_f64() {
    every_axis::<f64>();
}

/// A row's bits are the same wherever it stands: alone, in a batch of any size, and as a column of one.
fn a_row_is_the_same_in_all_company<T: Subject>() {
    for classes in [1, 2, 7, 16, 33, 63, 64, 65, 100, 781, 1000, 4096, 4097, 8192, 10_000, 70_001, 140_000] {
        let count = (200_000 / classes).clamp(3, 70);
        let characters = Character::ALL.iter().cycle().take(count);
        let rows: Vec<Vec<T>> =
            characters.enumerate().map(|(row, character)| character.row(classes, row as u64)).collect();
        for op in Op::ROW_WISE {
            let alone: Vec<T> = rows.iter().flat_map(|row| compute(op, row, &[classes], -1)).collect();
            let per_row = alone.len() / count;
            let what = format!("{op}, {classes} classes");

            let batch = compute(op, &rows.concat(), &[count, classes], -1);
            same_bits(&batch, &alone, &format!("{what}, in a batch"));

            let shifted = compute(op, &rows[1..].concat(), &[count - 1, classes], -1);
            same_bits(&shifted, &alone[per_row..], &format!("{what}, elsewhere in a smaller batch"));

            let answers: Vec<Vec<T>> = alone.chunks(per_row).map(<[T]>::to_vec).collect();
            for columns in [1, 2, count - 1, count] {
                let strided = compute(op, &transposed(&rows[..columns]), &[classes, columns], 0);
                same_bits(&strided, &transposed(&answers[..columns]), &format!("{what}, {columns} columns"));
            }
        }
    }
}

#[test]
fn a_row_is_the_same_in_all_company_in_f32() {
    a_row_is_the_same_in_all_company::<f32>();
}

#[test]
fn a_row_is_the_same_in_all_company_in_f64() {
    a_row_is_the_same_in_all_company::<f64>();
}

#[test]
fn precision_has_no_bearing_on_the_cpu() {
    let logits: Vec<f32> = Character::Deep.row(1000, 3);
    for op in Op::ROW_WISE {
        let fast = Options::default().precision(Precision::Fast);
        let fast = Cpu::new().compute(op, &logits, &[1000], -1, &fast).unwrap();
        same_bits(&fast, &compute(op, &logits, &[1000], -1), op.name());
    }
}

/// A million terms of which none is a normal number add up to one that is.
fn the_vanishing_are_counted<T: Subject>() {
    for classes in [2, 20, 63, 64, 1000, 5000, 100_000] {
        for deep in [T::DEPTH - 0.2, T::DEPTH + 0.5, T::DEPTH + 3.0, T::DEPTH + 9.0] {
            for place in [0, classes - 1, classes / 2] {
                let mut row = vec![T::nearest(-deep); classes];
                row[place] = T::nearest(0.0);
                for op in Op::ROW_WISE {
                    judged(op, &row, &[classes], -1, &format!("all but one at −{deep}, {classes} classes"));
                }
            }
        }
    }
}

#[test]
fn the_vanishing_are_counted_in_f32() {
    the_vanishing_are_counted::<f32>();
}

#[test]
fn the_vanishing_are_counted_in_f64() {
    the_vanishing_are_counted::<f64>();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A shift that changes no logit by rounding changes no more than the last places of the answer, however large it
    /// is: the exponential sees the differences unrounded.
    #[test]
    fn an_exact_shift_changes_only_the_last_places(
        quarters in prop::collection::vec(-400i32..400, 1..300),
        shift in -1_000_000i32..1_000_000,
    ) {
        let shape = [quarters.len()];
        let logits: Vec<f32> = quarters.iter().map(|&x| x as f32 / 4.0).collect();
        let shifted: Vec<f32> = quarters.iter().map(|&x| (x + shift) as f32 / 4.0).collect();
        for op in [Op::Softmax, Op::LogSoftmax] {
            let (answers, of_shifted) = (compute(op, &logits, &shape, -1), compute(op, &shifted, &shape, -1));
            for (&answer, &of_shifted) in answers.iter().zip(&of_shifted) {
                approx::assert_relative_eq!(answer, of_shifted, max_relative = 6e-7, epsilon = 1e-37);
            }
        }
    }

    /// Permuted logits give permuted answers, but for what the order of summation does to the last places;
    /// log-softmax of a row that is a permutation of itself stays ordered as the logits are.
    #[test]
    fn permuted_logits_give_permuted_answers(
        logits in prop::collection::vec(-90f32..90.0, 1..300),
        seed in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let random = &mut Random::new(seed);
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        let permuted: Vec<f32> = order.iter().map(|&from| logits[from]).collect();
        let shape = [logits.len()];
        for op in [Op::Softmax, Op::LogSoftmax] {
            let (answers, of_permuted) = (compute(op, &logits, &shape, -1), compute(op, &permuted, &shape, -1));
            for (&from, &answer) in order.iter().zip(&of_permuted) {
                approx::assert_relative_eq!(answer, answers[from], max_relative = 4e-7, epsilon = 1e-37);
            }
        }
    }

    /// Whoever has more logit has no less probability.
    #[test]
    fn order_is_kept(logits in prop::collection::vec(-90f32..90.0, 2..300)) {
        let shape = [logits.len()];
        for op in [Op::Softmax, Op::LogSoftmax] {
            let answers = compute(op, &logits, &shape, -1);
            for pair in 1..logits.len() {
                let (left, right) = (pair - 1, pair);
                if logits[left] == logits[right] {
                    prop_assert_eq!(answers[left].to_bits(), answers[right].to_bits());
                } else {
                    // Two ulp of slack: the exponential is not monotone to the last place.
                    let (less, more) = if logits[left] < logits[right] { (left, right) } else { (right, left) };
                    prop_assert!(answers[less] <= answers[more] + answers[more].abs() * 2.5e-7);
                }
            }
        }
    }

    /// Any bits at all are logits, and are judged.
    #[test]
    fn any_bits_are_logits(bits in prop::collection::vec(any::<u32>(), 1..200)) {
        let logits: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        for op in Op::ROW_WISE {
            judged(op, &logits, &[logits.len()], -1, "any bits");
        }
    }
}
