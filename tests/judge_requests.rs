//! The judges of requests and of losses on trial: right answers must pass, and answers that are wrong on
//! purpose, each in a way that somebody has computed them once, must not.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::Processor;
use common::loss::{Answer, Loss, Target};
use common::question::Question;
use common::rows_of_interest::{Character, Random};
use common::stored::Stored;
use wgpu_softmax::{Cpu, Dtype, FullyMasked, Op, Operand, Options, Output, Reduction, reference};

const U: f64 = 1.0 / (1u64 << 24) as f64;

#[track_caller]
fn accepted(question: &Question, answer: &Stored) {
    if let Err(fault) = question.judge(answer) {
        panic!("refused: {fault}");
    }
}

#[track_caller]
fn refused(question: &Question, answer: &Stored) {
    if let Ok(worst) = question.judge(answer) {
        panic!("accepted, with {} u", worst.units);
    }
}

/// `answer` with one element moved by `distance`.
fn moved(answer: &Stored, place: usize, distance: f64) -> Stored {
    answer.replaced([place], answer.get(place) + distance)
}

fn vector(dtype: Dtype, elements: usize) -> Stored {
    let random = &mut Random::new(elements as u64);
    Stored::of(dtype, (0..elements).map(|_| 3.0 * random.normal()))
}

fn question(op: Op, logits: &Stored, shape: &[usize], axis: usize) -> Question {
    let question = Question::new(op, logits.clone(), shape, axis);
    let v = vector(logits.dtype(), logits.len());
    match op.operand() {
        None => question,
        // Positive, so that no sum is negative and its logarithm NaN.
        Some(Operand::Weights) => {
            question.operand(Stored::of(v.dtype(), v.widened().into_iter().map(f64::abs)))
        }
        Some(_) => question.operand(v),
    }
}

fn everything() -> Adjusted {
    Adjusted {
        temperature: Some(Temperatures::PerRow(Stored::of(Dtype::F32, [0.5, 1.0, 2.0, 0.7, 1.3, 3.0]))),
        mask: Some(([true, true, false, true, true].repeat(2), vec![2, 1, 5])),
        additive_mask: Some((Stored::of(Dtype::F32, [0.5, -1.0, f64::NEG_INFINITY]), vec![3, 1])),
        causal: Some((3, None)),
        lengths: Some(vec![5, 4, 5, 2, 0, 5]),
    }
}

#[test]
fn right_answers_pass() {
    for dtype in Dtype::ALL {
        for op in Op::ALL {
            for character in Character::ALL {
                for classes in [1, 2, 9, 40] {
                    let logits = Stored::row(dtype, character, 3 * classes, 5);
                    let question = question(op, &logits, &[3, classes], 1);
                    for result in Dtype::ALL {
                        let question = question.clone().result(result);
                        accepted(&question, &question.right());
                    }
                }
            }
            let logits = Stored::row(dtype, Character::Normal, 30, 5);
            for choice in [FullyMasked::Nan, FullyMasked::Zero] {
                let question = question(op, &logits, &[2, 3, 5], 2).adjusted(everything());
                let question = question.options(Options::default().fully_masked(choice));
                accepted(&question, &question.right());
            }
        }
    }
}

/// ¼ each and |v| ≤ 2: 40 u·pᵢ·max|v| is 20 u, and so on.
#[test]
fn the_bounds_end_where_they_should() {
    let logits = Stored::of(Dtype::F32, [1.0; 4]);
    let v = Stored::of(Dtype::F32, [2.0, -1.0, 0.25, 0.5]);
    for (op, place, units) in [
        (Op::Vjp, 1, 20.0),
        (Op::Jvp, 3, 20.0),
        (Op::LogSoftmaxVjp, 1, 40.0 * (1.0 + 3.75 / 4.0)),
        (Op::LogSoftmaxJvp, 2, 40.0 * (0.25 + 3.75 / 4.0)),
    ] {
        let plain = Question::new(op, logits.clone(), &[4], 0).operand(v.clone());
        let right = plain.right();
        for sign in [1.0, -1.0] {
            accepted(&plain, &moved(&right, place, sign * 0.95 * units * U));
            refused(&plain, &moved(&right, place, sign * 1.05 * units * U));
        }
        // Over T, and with 3 u·max|z| besides for what comes of z: z is ½, and Σ p|v| as above.
        let temperature = Some(Temperatures::Same(2.0));
        let tempered = plain.adjusted(Adjusted { temperature, ..Adjusted::default() });
        let right = tempered.right();
        refused(&tempered, &moved(&right, place, 0.55 * units * U));
        accepted(&tempered, &moved(&right, place, 0.48 * units * U));
    }
    // Magnitudes of 100 in z add 300 u to a probability's error.
    let logits = Stored::of(Dtype::F32, [200.0, 200.0]);
    let temperature = Some(Temperatures::Same(2.0));
    let tempered = Question::new(Op::LogSumExp, logits, &[2], 0)
        .adjusted(Adjusted { temperature, ..Adjusted::default() });
    let right = tempered.right();
    let bound = 4.0 * (100.0 + 100.7 + 0.7) + 300.0;
    accepted(&tempered, &moved(&right, 0, 0.95 * bound * U));
    refused(&tempered, &moved(&right, 0, 1.05 * bound * U));
}

#[test]
fn other_products_are_refused() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16] {
        let logits = Stored::row(dtype, Character::Normal, 24, 2);
        for op in Op::PRODUCTS {
            let question = question(op, &logits, &[3, 8], 1);
            let right = question.right();
            for other in [Op::Softmax, Op::Vjp, Op::LogSoftmaxVjp, Op::LogSoftmaxJvp] {
                // Softmax's Jacobian is symmetric: its two products are one.
                if other == op || (op, other) == (Op::Jvp, Op::Vjp) {
                    continue;
                }
                let mut asked = question.clone();
                asked.op = other;
                refused(&question, &asked.right());
            }
            // Another row's vector, two classes swapped, the sign, nothing subtracted.
            let operand = question.operand.clone().unwrap();
            let shifted = Question {
                operand: Some(operand.taken((0..24).map(|at| (at + 8) % 24))),
                ..question.clone()
            };
            refused(&question, &shifted.right());
            let swapped = right.taken((0..24).map(|at| match at {
                9 => 10,
                10 => 9,
                _ => at,
            }));
            refused(&question, &swapped);
            refused(&question, &Stored::of(dtype, right.widened().into_iter().map(|value| -value)));
            refused(&question, &operand);
            refused(&question, &right.taken(0..23));
            refused(&question, &Stored::of(Dtype::Bf16, right.widened()));
        }
    }
}

#[test]
fn forgotten_adjustments_are_refused() {
    // No class is so improbable that nobody would miss it.
    let logits = Stored::of(Dtype::F32, vector(Dtype::F64, 30).widened().into_iter().map(|x| 0.1 * x));
    for op in Op::ALL {
        let question = question(op, &logits, &[2, 3, 5], 2).adjusted(everything());
        let forgetful = |forget: fn(&mut Adjusted)| {
            let mut adjusted = everything();
            forget(&mut adjusted);
            question.clone().adjusted(adjusted).right()
        };
        refused(&question, &forgetful(|adjusted| adjusted.temperature = None));
        refused(&question, &forgetful(|adjusted| adjusted.mask = None));
        refused(&question, &forgetful(|adjusted| adjusted.additive_mask = None));
        refused(&question, &forgetful(|adjusted| adjusted.causal = None));
        refused(&question, &forgetful(|adjusted| adjusted.lengths = None));
        refused(&question, &forgetful(|adjusted| adjusted.causal = Some((2, None))));
        refused(&question, &forgetful(|adjusted| adjusted.causal = Some((3, Some(2)))));
        // A mask over the texts, read as if the first text's were all.
        let first =
            |adjusted: &mut Adjusted| adjusted.mask = Some((vec![true, false, true, true, true], vec![5]));
        refused(&question, &forgetful(first));
    }
    // Derivatives by z in place of x.
    let temperature = Some(Temperatures::Same(1.0 + 1e-4));
    let adjusted = Adjusted { temperature, ..Adjusted::default() };
    for op in Op::ALL.into_iter().filter(|op| Op::PRODUCTS.contains(op) || op.output() == Output::PerPair) {
        let tempered = question(op, &logits, &[6, 5], 1).adjusted(adjusted.clone());
        let by_z =
            Stored::of(Dtype::F32, tempered.right().widened().iter().map(|value| value * (1.0 + 1e-4)));
        refused(&tempered, &by_z);
    }
}

#[test]
fn masked_places_are_exact() {
    let logits = Stored::of(Dtype::F32, [1.0, f64::NAN, 2.0]);
    let adjusted = Adjusted { mask: Some((vec![true, false, true], vec![3])), ..Adjusted::default() };
    for op in [Op::Softmax, Op::LogSoftmax, Op::Vjp, Op::LogSoftmaxVjp, Op::LogSoftmaxJvp] {
        let question = question(op, &logits, &[3], 0).adjusted(adjusted.clone());
        let right = question.right();
        accepted(&question, &right);
        for wrong in [1e-45, f64::NAN, -1.0, f64::INFINITY, f64::from(f32::MIN)] {
            refused(&question, &right.replaced([1], wrong));
        }
        let other = if op == Op::LogSoftmax { 0.0 } else { f64::NEG_INFINITY };
        refused(&question, &right.replaced([1], other));
        refused(&question, &right.replaced([0, 1, 2], f64::NAN));
    }
    let jacobian = question(Op::Jacobian, &logits, &[3], 0).adjusted(adjusted);
    let right = jacobian.right();
    for masked in [1, 3, 4, 5, 7] {
        refused(&jacobian, &right.replaced([masked], 1e-40));
    }
    // Nothing left: what the options say, and not the other.
    for op in [Op::Softmax, Op::LogSoftmax, Op::Vjp, Op::Jacobian] {
        let nothing = Adjusted { lengths: Some(vec![0]), ..Adjusted::default() };
        let question = question(op, &logits, &[3], 0).adjusted(nothing);
        let [nan, zero] = [FullyMasked::Nan, FullyMasked::Zero]
            .map(|choice| question.clone().options(Options::default().fully_masked(choice)));
        refused(&nan, &zero.right());
        refused(&zero, &nan.right());
    }
}

#[test]
fn a_nan_has_one_pattern() {
    for (odd, dtype) in [
        (Stored::F16(vec![half::f16::from_bits(0x7e01)]), Dtype::F16),
        (Stored::F16(vec![half::f16::from_bits(0xfe00)]), Dtype::F16),
        (Stored::Bf16(vec![half::bf16::from_bits(0xffc0)]), Dtype::Bf16),
        (Stored::F32(vec![f32::from_bits(0xffc0_0000)]), Dtype::F32),
        (Stored::F64(vec![f64::from_bits(0x7ff8_0000_0000_0001)]), Dtype::F64),
    ] {
        let question = Question::new(Op::LogSumExp, Stored::of(dtype, [f64::NAN]), &[1], 0);
        accepted(&question, &question.right());
        refused(&question, &odd);
        refused(&question, &Stored::of(dtype, [1.0]));
    }
}

#[test]
fn sixteen_bits_are_held_to_their_last_place() {
    for (dtype, last_place) in [(Dtype::F16, 2f64.powi(-12)), (Dtype::Bf16, 2f64.powi(-9))] {
        // 0.2689 and 0.7311: the last place is 2⁻¹² (2⁻⁹) of the first.
        let question = Question::new(Op::Softmax, Stored::of(dtype, [0.0, 1.0]), &[2], 0);
        let right = question.right();
        accepted(&question, &right);
        refused(&question, &moved(&right, 0, 2.0 * last_place));
        refused(&question, &moved(&right, 0, -2.0 * last_place));
        refused(&question.clone().result(Dtype::F32), &Stored::of(Dtype::F32, right.widened()));
    }
    // A subnormal f16 is not to be flushed, and half of one may go either way.
    let question = Question::new(Op::Softmax, Stored::of(Dtype::F16, [0.0, -14.0, -17.5]), &[3], 0);
    let right = question.right();
    accepted(&question, &right);
    refused(&question, &right.replaced([1], 0.0));
    accepted(&question, &right.replaced([2], 0.0));
    // Beyond the range of f16 it is infinite; within it is not.
    let hot = Adjusted { temperature: Some(Temperatures::Same(0.5)), ..Adjusted::default() };
    let beyond = Question::new(Op::LogSumExp, Stored::of(Dtype::F16, [40_000.0]), &[1], 0).adjusted(hot);
    accepted(&beyond, &Stored::of(Dtype::F16, [f64::INFINITY]));
    refused(&beyond, &Stored::of(Dtype::F16, [65_504.0]));
    refused(&beyond, &Stored::of(Dtype::F16, [f64::NEG_INFINITY]));
    let within = Question::new(Op::LogSumExp, Stored::of(Dtype::F16, [60_000.0]), &[1], 0);
    refused(&within, &Stored::of(Dtype::F16, [f64::INFINITY]));
}

#[test]
fn weighted_sums_have_their_sign_and_their_small_end() {
    let of = |op, row: &[f64], weights: &[f64]| {
        Question::new(op, Stored::of(Dtype::F32, row.iter().copied()), &[row.len()], 0)
            .operand(Stored::of(Dtype::F32, weights.iter().copied()))
    };
    let single = |values: &[f64]| Stored::of(Dtype::F32, values.iter().copied());
    let small = of(Op::SignedLogSumExp, &[0.0, -20.0], &[1.0, 1.0]);
    accepted(&small, &single(&[2.061_153_6e-9, 1.0]));
    refused(&small, &single(&[0.0, 1.0]));
    refused(&small, &single(&[2.061_153_6e-9, -1.0]));
    refused(&small, &single(&[2.061_153_6e-9, 0.0]));
    refused(&small, &single(&[2.0612e-9, 1.0]));
    let negative = of(Op::WeightedLogSumExp, &[0.0, 1.0], &[1.0, -1.0]);
    refused(&negative, &single(&[0.541]));
    accepted(&negative, &single(&[f64::NAN]));
    let removed = of(Op::WeightedLogSumExp, &[2.0, f64::NAN], &[1.0, 0.0]);
    accepted(&removed, &single(&[2.0]));
    refused(&removed, &single(&[f64::NAN]));
    // 0 removes from the maximum, too: exp(−1000 − 0) would be nothing.
    let beside = of(Op::WeightedLogSumExp, &[0.0, -1000.0], &[0.0, 1.0]);
    accepted(&beside, &single(&[-1000.0]));
    refused(&beside, &single(&[f64::NEG_INFINITY]));
}

/// What the CPU answers, to be made wrong.
fn answered(loss: &Loss) -> Answer {
    let answer = loss.ask(&Processor::Cpu(Cpu::new())).unwrap();
    if let Err(fault) = loss.judge(&answer) {
        panic!("refused: {fault}");
    }
    answer
}

#[track_caller]
fn loss_refused(loss: &Loss, answer: Answer, what: &str) {
    assert!(loss.judge(&answer).is_err(), "accepted: {what}");
}

fn a_loss(reduction: Reduction) -> Loss {
    let logits = Stored::row(Dtype::F32, Character::Normal, 30, 2);
    let mut loss = Loss::new(logits, &[6, 5], 1, &[0, -1, 4, 2, 2, 3]);
    loss.weights = Some(Stored::of(Dtype::F32, [0.5, 1.0, 2.0, 1.5, 0.25]));
    (loss.ignored, loss.smoothing, loss.z_loss, loss.reduction) = (Some(-1), 0.1, 0.01, reduction);
    loss
}

#[test]
fn wrong_losses_are_refused() {
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
        let loss = a_loss(reduction);
        let right = answered(&loss);
        for units in [40.0, -40.0] {
            let losses = moved(&right.losses, 0, right.losses.get(0).max(1.0) * units * U);
            loss_refused(&loss, Answer { losses, ..right.clone() }, "a loss that is off");
        }
        loss_refused(&loss, Answer { counted: 6, ..right.clone() }, "ignored rows counted");
        // What else the numbers could have meant.
        let meant = |change: fn(&mut Loss)| {
            let mut other = loss.clone();
            change(&mut other);
            answered(&other)
        };
        let with_losses = |answer: Answer| Answer { losses: answer.losses, ..right.clone() };
        let with_gradient = |answer: Answer| Answer { gradient: answer.gradient, ..right.clone() };
        for (what, change) in [
            ("no weights", (|loss| loss.weights = None) as fn(&mut Loss)),
            ("no smoothing", |loss| loss.smoothing = 0.0),
            ("no z-loss", |loss| loss.z_loss = 0.0),
        ] {
            loss_refused(&loss, with_losses(meant(change)), what);
            loss_refused(&loss, with_gradient(meant(change)), what);
        }
    }
    // The mean over all rows that count in place of the sum of their weights.
    let (sum, mean) = (a_loss(Reduction::Sum), a_loss(Reduction::Mean));
    let (of_sum, of_mean) = (answered(&sum), answered(&mean));
    for divisor in [5.0, 6.0] {
        let losses = Stored::of(Dtype::F32, [of_sum.losses.get(0) / divisor]);
        loss_refused(&mean, Answer { losses, ..of_mean.clone() }, "divided by the rows");
        let gradient = of_sum.gradient.as_ref().unwrap().widened().into_iter().map(|slope| slope / divisor);
        let gradient = Some(Stored::of(Dtype::F32, gradient));
        loss_refused(&mean, Answer { gradient, ..of_mean.clone() }, "a gradient divided by the rows");
    }
}

#[test]
fn wrong_gradients_are_refused() {
    let loss = a_loss(Reduction::None);
    let right = answered(&loss);
    let gradient = right.gradient.clone().unwrap();
    let rows = loss.layout.places();
    for place in 0..30 {
        let row: Vec<f64> = rows[place / 5].iter().map(|&place| loss.logits.get(place)).collect();
        let p = reference::softmax(&row)[place % 5];
        for distance in [100.0 * U * (3.0 * p + 2.0), f64::NAN, f64::INFINITY] {
            let gradient = Some(moved(&gradient, place, distance));
            loss_refused(&loss, Answer { gradient, ..right.clone() }, "a slope that is off");
        }
    }
    let ignored = Some(gradient.replaced([6], 1e-45));
    loss_refused(&loss, Answer { gradient: ignored, ..right.clone() }, "a slope in an ignored row");
    loss_refused(&loss, Answer { gradient: None, ..right.clone() }, "no gradient");
    let short = Some(gradient.taken(0..29));
    loss_refused(&loss, Answer { gradient: short, ..right.clone() }, "a short gradient");
}

#[test]
fn wrong_extras_are_refused() {
    let loss = a_loss(Reduction::Mean);
    let right = answered(&loss);
    let off = |values: &Option<Stored>, row: usize, units: f64| {
        let values = values.as_ref().unwrap();
        Some(moved(values, row, units * U * values.get(row).abs().max(1.0)))
    };
    let entropy = off(&right.entropy, 2, 100.0);
    loss_refused(&loss, Answer { entropy, ..right.clone() }, "an entropy");
    let log_sum_exp = off(&right.log_sum_exp, 2, 40.0);
    loss_refused(&loss, Answer { log_sum_exp, ..right.clone() }, "a log-sum-exp");
    let label_log_probabilities = off(&right.label_log_probabilities, 2, 12.0);
    loss_refused(&loss, Answer { label_log_probabilities, ..right.clone() }, "a log-probability");
    let label_log_probabilities = off(&right.label_log_probabilities, 1, 1.0);
    loss_refused(&loss, Answer { label_log_probabilities, ..right.clone() }, "one of an ignored row");
    let mut argmax = right.argmax.clone().unwrap();
    argmax[3] = (argmax[3] + 1) % 5;
    loss_refused(&loss, Answer { argmax: Some(argmax), ..right.clone() }, "another class");
    loss_refused(&loss, Answer { argmax: None, ..right.clone() }, "no argmax");
    // Of two that are equal it is the first.
    let ties = Loss::new(Stored::of(Dtype::F32, [1.0, 2.0, 2.0]), &[1, 3], 1, &[0]);
    let right = answered(&ties);
    loss_refused(&ties, Answer { argmax: Some(vec![2]), ..right }, "the last of equal ones");
}

#[test]
fn what_special_rows_cost_is_exact() {
    let masked = f64::NEG_INFINITY;
    let mut loss = Loss::new(Stored::of(Dtype::F32, [0.0, masked, 1.0, f64::NAN]), &[2, 2], 1, &[1, 0]);
    (loss.reduction, loss.extras) = (Reduction::None, false);
    let right = answered(&loss);
    for losses in [[f64::from(f32::MAX), f64::NAN], [f64::INFINITY, 0.0], [f64::NAN, f64::NAN]] {
        let losses = Stored::of(Dtype::F32, losses);
        loss_refused(&loss, Answer { losses, ..right.clone() }, "special rows");
    }
    // 0·∞ is 0, and not NaN.
    loss.target = Target::Probabilities(Stored::of(Dtype::F32, [1.0, 0.0, 1.0, 0.0]));
    let right = answered(&loss);
    let losses = Stored::of(Dtype::F32, [f64::NAN, f64::NAN]);
    loss_refused(&loss, Answer { losses, ..right }, "NaN for 0·∞");
}

/// The naive layout of the judges is that of arrays.
#[test]
fn rows_lie_where_they_should() {
    let layout = Layout::new(&[2, 3, 2], &[1]);
    assert_eq!(layout.places(), [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]);
    assert_eq!(Layout::new(&[2, 2, 2], &[0, 2]).places(), [[0, 1, 4, 5], [2, 3, 6, 7]]);
    let adjusted = Adjusted { mask: Some((vec![true, false], vec![2, 1])), ..Adjusted::default() };
    let layout = Layout::new(&[3, 2, 2], &[2]);
    let taking_part: Vec<bool> =
        (0..12).map(|place| adjusted.takes_part(&layout.index(place), place / 2, place % 2)).collect();
    assert_eq!(taking_part, [true, true, false, false].repeat(3));
    let causal = Adjusted { causal: Some((0, Some(2))), ..Adjusted::default() };
    let layout = Layout::new(&[3, 3], &[1]);
    let seen: Vec<bool> =
        (0..9).map(|place| causal.takes_part(&layout.index(place), place / 3, place % 3)).collect();
    assert_eq!(seen, [true, false, false, true, true, false, false, true, true]);
}
