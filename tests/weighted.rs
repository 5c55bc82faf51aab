//! Weighted log-sum-exp: weights of any sign and size, sums that cancel, weights of 0 above anything.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::devices;
use common::question::Question;
use common::rows_of_interest::{CLASSES, Character, Random};
use common::stored::Stored;
use wgpu_softmax::{Dtype, Op};

const WEIGHTED: [Op; 2] = [Op::WeightedLogSumExp, Op::SignedLogSumExp];

#[derive(Debug, Clone, Copy)]
enum Weights {
    Positive,
    /// Of both signs, and a third of them 0.
    Mixed,
    Negative,
    /// From 10⁻³ to 10³.
    Wide,
    Ones,
}

impl Weights {
    const ALL: [Weights; 5] =
        [Weights::Positive, Weights::Mixed, Weights::Negative, Weights::Wide, Weights::Ones];

    fn stored(self, dtype: Dtype, elements: usize) -> Stored {
        let random = &mut Random::new(elements as u64);
        let weight = |random: &mut Random| match self {
            Weights::Positive => random.between(0.1, 2.0),
            Weights::Mixed if random.below(3) == 0 => 0.0,
            Weights::Mixed => random.normal(),
            Weights::Negative => random.between(-2.0, -0.1),
            Weights::Wide => 10f64.powf(random.between(-3.0, 3.0)) * [1.0, -1.0][random.below(2)],
            Weights::Ones => 1.0,
        };
        Stored::of(dtype, (0..elements).map(|_| weight(random)))
    }
}

#[test]
fn every_length_character_and_weight() {
    for dtype in [Dtype::F32, Dtype::F64] {
        let mut worst: f64 = 0.0;
        for classes in CLASSES.into_iter().filter(|&classes| classes < 60_000) {
            let characters: &[Character] = match classes {
                0..1100 => &Character::ALL,
                _ => &[Character::Normal, Character::Masked, Character::Offset],
            };
            let rows: Vec<Stored> =
                characters.iter().map(|&character| Stored::row(dtype, character, classes, 5)).collect();
            let logits = Stored::concatenated(dtype, &rows);
            for weights in Weights::ALL {
                let operand = weights.stored(dtype, logits.len());
                for op in WEIGHTED {
                    let question = Question::new(op, logits.clone(), &[rows.len(), classes], 1);
                    let question = question.operand(operand.clone());
                    worst = worst.max(question.put(&format!("{weights:?} weights")).units);
                }
            }
        }
        println!("weighted log-sum-exp in {dtype}: at worst {worst:.2} u");
    }
}

#[test]
fn along_every_axis() {
    for op in WEIGHTED {
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2]] {
            let shape = [3, 4, 7];
            for dtype in Dtype::ALL {
                let logits = Stored::row(dtype, Character::Normal, 84, 1);
                let mut question =
                    Question::new(op, logits, &shape, 0).operand(Weights::Mixed.stored(dtype, 84));
                question.layout = Layout::new(&shape, axes);
                question.put("along axes");
                question.result(Dtype::F32).put("along axes, to f32");
            }
        }
    }
}

/// Rows with their weights, and what each gives: log |Σ| and the sign.
#[test]
fn sums_that_are_known() {
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    let cases: [(&[f64], &[f64], f64, f64); 22] = [
        (&[0.0, 0.0], &[1.0, 1.0], 2f64.ln(), 1.0),
        (&[0.0, 0.0], &[1.0, -3.0], 2f64.ln(), -1.0),
        (&[5.0], &[-1.0], 5.0, -1.0),
        // Exactly nothing.
        (&[1.5, 1.5], &[1.0, -1.0], -infinity, 0.0),
        (&[1.5, 1.5, 1.5], &[1.0, -3.0, 2.0], -infinity, 0.0),
        (&[0.0, 3.0], &[0.0, 0.0], -infinity, 0.0),
        (&[-infinity, -infinity], &[1.0, 2.0], -infinity, 0.0),
        // A weight of 0 removes whatever it stands beside.
        (&[2.0, nan], &[1.0, 0.0], 2.0, 1.0),
        (&[2.0, infinity], &[1.0, 0.0], 2.0, 1.0),
        (&[2.0, infinity], &[-1.0, -0.0], 2.0, -1.0),
        (&[nan, infinity], &[0.0, 0.0], -infinity, 0.0),
        (&[1000.0, -1000.0], &[0.0, 1.0], -1000.0, 1.0),
        // And nothing else does.
        (&[2.0, nan], &[1.0, 1e-30], nan, nan),
        (&[2.0, 1.0], &[1.0, nan], nan, nan),
        (&[2.0, -infinity], &[1.0, -5.0], 2.0, 1.0),
        (&[infinity, 0.0], &[2.0, -1.0], infinity, 1.0),
        (&[infinity, 0.0], &[-2.0, 1.0], infinity, -1.0),
        (&[infinity, infinity], &[-2.0, 1.0], nan, nan),
        (&[infinity, infinity], &[2.0, 1.0], infinity, 1.0),
        // What is much less than the maximum's 1 is not rounded away.
        (&[0.0, -20.0], &[1.0, 1.0], 2.061_153_620_314_381e-9, 1.0),
        (&[0.0, -20.0], &[1.0, -1.0], -2.061_153_624_562_666e-9, 1.0),
        (&[0.0, -20.0], &[-1.0, -1.0], 2.061_153_620_314_381e-9, -1.0),
    ];
    for (row, weights, log, sign) in cases {
        for dtype in [Dtype::F32, Dtype::F64] {
            let question = |op| {
                let logits = Stored::of(dtype, row.iter().copied());
                Question::new(op, logits, &[row.len()], 0).operand(Stored::of(dtype, weights.iter().copied()))
            };
            for op in WEIGHTED {
                question(op).put("a sum that is known");
            }
            for device in devices().iter().filter(|device| question(WEIGHTED[0]).serves(device)) {
                let same = |got: f64, right: f64| {
                    got == right
                        || got.is_nan() && right.is_nan()
                        || (got - right).abs() <= 1e-6 * right.abs()
                };
                let plain = question(Op::WeightedLogSumExp).ask(device).unwrap().get(0);
                let right = if sign < 0.0 { nan } else { log };
                assert!(same(plain, right), "{row:?} with {weights:?}: {plain} for {right}");
                let signed = question(Op::SignedLogSumExp).ask(device).unwrap().widened();
                let is_right = same(signed[0], log) && same(signed[1], sign);
                assert!(is_right, "{row:?} with {weights:?}: {signed:?} for {log}, {sign}");
            }
        }
    }
}

/// Where one weighted term makes nearly the whole sum and that is near 1, the logarithm is small beside what
/// it is the logarithm of.
#[test]
fn a_sum_near_one() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for classes in [2, 9, 100, 1025, 5000] {
            for weight in [0.51, 0.75, 0.9, 0.98, 0.9999, 1.0, 1.0001, 1.02, 1.3, 1.99, -0.98, -1.02] {
                let random = &mut Random::new(classes as u64);
                let mut logits = vec![0.0; classes];
                let mut weights = vec![weight; classes];
                for class in 1..classes {
                    logits[class] = random.between(-30.0, -12.0);
                    weights[class] = random.normal();
                }
                for op in WEIGHTED {
                    let logits = Stored::of(dtype, logits.iter().copied());
                    let weights = Stored::of(dtype, weights.iter().copied());
                    Question::new(op, logits, &[classes], 0).operand(weights).put("a sum near one");
                }
            }
        }
    }
}

/// With weights of 1 it is log-sum-exp, special rows included.
#[test]
fn weights_of_one_change_nothing() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for classes in [1, 2, 9, 64, 100, 1025] {
            let rows = Stored::special_rows(dtype, classes);
            let logits = Stored::concatenated(dtype, &rows);
            let ones = Weights::Ones.stored(dtype, logits.len());
            let shape = [rows.len(), classes];
            for op in WEIGHTED {
                Question::new(op, logits.clone(), &shape, 1).operand(ones.clone()).put("weights of 1");
            }
            let weighted = Question::new(Op::WeightedLogSumExp, logits.clone(), &shape, 1).operand(ones);
            for device in devices().iter().filter(|device| weighted.serves(device)) {
                // As a log-sum-exp's answer it must pass, too.
                let answer = weighted.ask(device).unwrap();
                let plain = Question::new(Op::LogSumExp, logits.clone(), &shape, 1);
                if let Err(fault) = plain.judge(&answer) {
                    panic!("weights of 1 on {}: {fault}", device.name());
                }
            }
        }
    }
}

#[test]
fn with_a_temperature_and_masks() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for classes in [5, 64, 130] {
            let layout = Layout::new(&[7, classes], &[1]);
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 3);
            let adjusted = Adjusted {
                temperature: Some(Temperatures::Same(0.7)),
                mask: Some(((0..classes).map(|class| class % 3 != 0).collect(), vec![classes])),
                lengths: Some((0..7).map(|row| row * classes as u64 / 6).collect()),
                ..Adjusted::default()
            };
            for weights in Weights::ALL {
                for op in WEIGHTED {
                    Question::new(op, logits.clone(), &layout.shape, 1)
                        .operand(weights.stored(dtype, logits.len()))
                        .adjusted(adjusted.clone())
                        .put("weights under masks");
                }
            }
        }
    }
}
