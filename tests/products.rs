//! The products of Jacobians with vectors: every length and character of row, along every axis, in every
//! mixture of types, from logits and from saved probabilities; against dense Jacobians and finite differences.

mod common;

use common::adjusted::{Adjusted, Temperatures};
use common::device::devices;
use common::question::Question;
use common::rows_of_interest::{CLASSES, Character, Random};
use common::stored::Stored;
use wgpu_softmax::{Dtype, Error, FullyMasked, Given, Kernel, Op, Options, Request, reference};

/// A second operand of ordinary numbers.
fn vector(dtype: Dtype, elements: usize, seed: u64) -> Stored {
    let random = &mut Random::new(seed ^ 0x5eed);
    Stored::of(dtype, (0..elements).map(|_| 3.0 * random.normal()))
}

/// Rows of all characters and the special ones, a selection of them where they are long.
fn rows_of(dtype: Dtype, classes: usize, step: usize) -> (usize, Stored) {
    let characters = Character::ALL.iter().map(|&character| Stored::row(dtype, character, classes, 5));
    let special = Stored::special_rows(dtype, classes);
    let rows: Vec<Stored> = characters.chain(special).step_by(step).collect();
    (rows.len(), Stored::concatenated(dtype, &rows))
}

fn step_for(classes: usize) -> usize {
    match classes {
        0..70 => 1,
        70..300 => 3,
        300..2000 => 7,
        2000..20_000 => 25,
        _ => 45,
    }
}

#[test]
fn every_length_and_character() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for op in Op::PRODUCTS {
            let mut worst: f64 = 0.0;
            for classes in CLASSES.into_iter().filter(|&classes| classes < 200_000) {
                let (count, logits) = rows_of(dtype, classes, step_for(classes));
                let v = vector(dtype, logits.len(), 1);
                let question = Question::new(op, logits, &[count, classes], 1).operand(v);
                worst = worst.max(question.put("rows one after the other").units);
            }
            println!("{op} in {dtype}: at worst {worst:.2} u");
        }
    }
}

#[test]
fn along_every_axis() {
    for op in Op::PRODUCTS {
        for dtype in [Dtype::F32, Dtype::F64] {
            for classes in [1, 2, 3, 5, 8, 33, 64, 129, 257, 1000] {
                let (count, rows) = rows_of(dtype, classes, step_for(classes));
                for inner in [2, 3, count] {
                    let logits = rows.side_by_side(classes, inner);
                    let v = vector(dtype, logits.len(), 2);
                    let shape = [count / inner, classes, inner];
                    Question::new(op, logits, &shape, 1).operand(v).put("rows side by side");
                }
            }
        }
    }
}

#[test]
fn several_axes_at_once() {
    let shape = [3, 4, 5, 2];
    for op in Op::PRODUCTS {
        for axes in [&[0, 1][..], &[1, 2], &[0, 2], &[1, 3], &[0, 1, 3], &[0, 1, 2, 3]] {
            let logits = Stored::row(Dtype::F32, Character::Normal, 120, 6);
            let v = vector(Dtype::F32, 120, 6);
            let mut question = Question::new(op, logits, &shape, 0).operand(v);
            question.layout.axes = axes.to_vec();
            question.put("axes together");
        }
    }
}

#[test]
fn every_mixture_of_types() {
    for (turn, op) in Op::PRODUCTS.into_iter().enumerate() {
        for (logits_index, logits_type) in Dtype::ALL.into_iter().enumerate() {
            for (vector_index, vector_type) in Dtype::ALL.into_iter().enumerate() {
                for (result_index, result) in Dtype::ALL.into_iter().enumerate() {
                    // Of those that have shaders, with each operation every two types, and every three with all of them.
                    let has_shaders = ![logits_type, vector_type, result].contains(&Dtype::F64);
                    if has_shaders && result_index != (logits_index + vector_index + turn) % 3 {
                        continue;
                    }
                    let logits = Stored::row(logits_type, Character::Normal, 7 * 37, 8);
                    let v = vector(vector_type, 7 * 37, 8);
                    let question = Question::new(op, logits, &[7, 37], 1).operand(v).result(result);
                    // Along the last axis and across, in turns where there are shaders.
                    if !has_shaders || (turn + logits_index).is_multiple_of(2) {
                        question.put("a mixture");
                    }
                    if !has_shaders || !(turn + logits_index).is_multiple_of(2) {
                        let across =
                            Question { layout: common::adjusted::Layout::new(&[37, 7], &[0]), ..question };
                        across.put("a mixture across");
                    }
                }
            }
        }
    }
}

/// Probabilities that a softmax has left, rounded as they are, in place of logits.
#[test]
fn from_saved_probabilities() {
    let options = Options::default().given(Given::Probabilities);
    for op in Op::PRODUCTS {
        for dtype in Dtype::ALL {
            let mut worst: f64 = 0.0;
            let lengths = match dtype {
                Dtype::F32 | Dtype::F64 => &[1, 2, 5, 33, 64, 100, 257, 1025, 5001][..],
                // The rest is as with f32.
                _ => &[1, 33, 64, 129],
            };
            for &classes in lengths {
                let count = 6;
                let ordinary =
                    [Character::Normal, Character::Masked, Character::Outlier, Character::NearTies];
                let rows: Vec<Stored> = (ordinary.iter().cycle().take(count))
                    .enumerate()
                    .map(|(seed, &character)| Stored::row(dtype, character, classes, seed as u64))
                    .collect();
                let logits = Stored::concatenated(dtype, &rows);
                let p = Question::new(Op::Softmax, logits, &[count, classes], 1)
                    .options(Options::default().fully_masked(FullyMasked::Zero))
                    .right();
                let v = vector(dtype, p.len(), 4);
                let along = Question::new(op, p.clone(), &[count, classes], 1).operand(v).options(options);
                worst = worst.max(along.put("from probabilities").units);
                let across = p.side_by_side(classes, 3);
                let v = vector(dtype, p.len(), 5);
                Question::new(op, across, &[count / 3, classes, 3], 1)
                    .operand(v)
                    .options(options)
                    .put("across");
            }
            println!("{op} from probabilities of {dtype}: at worst {worst:.2} u");
        }
    }
}

#[test]
fn probabilities_of_a_row_that_had_none() {
    let options = Options::default().given(Given::Probabilities);
    for (op, p, v, expected) in [
        (Op::Vjp, [0.0f32; 3], [1.0f32, 2.0, 3.0], [0.0f32; 3]),
        (Op::Jvp, [0.0; 3], [1.0, 2.0, f32::NAN], [0.0; 3]),
        (Op::Vjp, [0.5, 0.5, 0.0], [1.0, 3.0, f32::NAN], [-0.5, 0.5, 0.0]),
    ] {
        let question =
            Question::new(op, p.to_vec().into(), &[3], 0).operand(v.to_vec().into()).options(options);
        for device in devices() {
            let answer = question.ask(&device).unwrap().widened();
            assert!(answer == expected.map(f64::from), "{op} on {}: {answer:?}", device.name());
        }
    }
    let nan = vec![f32::NAN; 3];
    Question::new(Op::Vjp, nan.into(), &[3], 0)
        .operand(vec![1.0f32, 2.0, 3.0].into())
        .options(options)
        .put("probabilities of a NaN row");
}

/// Each product is the dense Jacobian's, entry by entry.
#[test]
fn the_dense_jacobian_says_the_same() {
    for classes in [1, 2, 3, 10, 33] {
        for character in [Character::Normal, Character::Masked, Character::NearTies, Character::Outlier] {
            let row = Stored::row(Dtype::F64, character, classes, 11);
            let v = vector(Dtype::F64, classes, 11);
            for device in devices().iter().filter(|device| device.computes_f64()) {
                for (op, jacobian, is_pulled) in [
                    (Op::Vjp, Op::Jacobian, true),
                    (Op::Jvp, Op::Jacobian, false),
                    (Op::LogSoftmaxVjp, Op::LogSoftmaxJacobian, true),
                    (Op::LogSoftmaxJvp, Op::LogSoftmaxJacobian, false),
                ] {
                    let dense = Question::new(jacobian, row.clone(), &[classes], 0).ask(device).unwrap();
                    let question = Question::new(op, row.clone(), &[classes], 0).operand(v.clone());
                    let product = question.ask(device).unwrap();
                    for i in 0..classes {
                        let entry = |j: usize| {
                            dense.get(if is_pulled { j * classes + i } else { i * classes + j }) * v.get(j)
                        };
                        let expected: f64 = (0..classes).map(entry).sum();
                        let error = (product.get(i) - expected).abs();
                        assert!(error <= 1e-13, "{op} {i} of {classes}: {} for {expected}", product.get(i));
                    }
                }
            }
        }
    }
}

/// The derivative of ⟨v, f(x)⟩ and of f along v, by central differences, with a temperature and a mask.
#[test]
fn finite_differences_agree() {
    let step = 1e-5;
    let no_mask: fn(usize) -> bool = |_| true;
    let every_third: fn(usize) -> bool = |class| class % 3 != 1;
    for (classes, temperature, takes_part) in [
        (1, 1.0, no_mask),
        (2, 1.0, no_mask),
        (7, 1.0, no_mask),
        (7, 0.7, no_mask),
        (9, 1.0, every_third),
        (9, 2.5, every_third),
    ] {
        let row: Vec<f64> = Character::Normal.row(classes, 4);
        let v = vector(Dtype::F64, classes, 4);
        let mask: Vec<bool> = (0..classes).map(takes_part).collect();
        let adjusted = Adjusted {
            temperature: Some(Temperatures::Same(temperature)),
            mask: Some((mask.clone(), vec![classes])),
            ..Adjusted::default()
        };
        for (op, function) in [
            (Op::Vjp, Op::Softmax),
            (Op::Jvp, Op::Softmax),
            (Op::LogSoftmaxVjp, Op::LogSoftmax),
            (Op::LogSoftmaxJvp, Op::LogSoftmax),
        ] {
            let value = |moved: &[f64]| -> Vec<f64> {
                let row = reference::Row::new(moved).temperature(temperature).mask(&mask);
                let values = row.compute(function, &Options::default());
                // What is masked does not move.
                values.into_iter().map(|value| if value.is_finite() { value } else { 0.0 }).collect()
            };
            let difference = |direction: &dyn Fn(usize) -> f64| -> Vec<f64> {
                let moved = |distance: f64| -> Vec<f64> {
                    value(
                        &row.iter().enumerate().map(|(j, x)| x + distance * direction(j)).collect::<Vec<_>>(),
                    )
                };
                let (ahead, behind) = (moved(step), moved(-step));
                ahead.iter().zip(behind).map(|(ahead, behind)| (ahead - behind) / (2.0 * step)).collect()
            };
            let expected: Vec<f64> = match op {
                Op::Jvp | Op::LogSoftmaxJvp => difference(&|j| v.get(j)),
                _ => (0..classes)
                    .map(|i| {
                        let column = difference(&|j| if i == j { 1.0 } else { 0.0 });
                        column.iter().enumerate().map(|(j, slope)| slope * v.get(j)).sum()
                    })
                    .collect(),
            };
            let question = Question::new(op, row.clone().into(), &[classes], 0)
                .operand(v.clone())
                .adjusted(adjusted.clone());
            for device in devices().iter().filter(|device| device.computes_f64()) {
                let answer = question.ask(device).unwrap().widened();
                for (class, (got, right)) in answer.iter().zip(&expected).enumerate() {
                    assert!(
                        (got - right).abs() < 1e-7,
                        "{op}, class {class} of {classes}: {got} for {right}"
                    );
                }
            }
        }
    }
}

/// What a logit of −∞ has beside it counts in the sum of a pulled-back cotangent, and nowhere else.
#[test]
fn what_stands_beside_a_logit_without_probability() {
    let masked = f64::NEG_INFINITY;
    for dtype in Dtype::ALL {
        for (op, beside, expected) in [
            (Op::Vjp, f64::NAN, [-0.5, 0.5, 0.0]),
            (Op::Jvp, f64::NAN, [-0.5, 0.5, 0.0]),
            (Op::Vjp, 5.0, [-0.5, 0.5, 0.0]),
            (Op::LogSoftmaxVjp, 2.0, [-2.0, 0.0, 2.0]),
            (Op::LogSoftmaxVjp, f64::NAN, [f64::NAN; 3]),
            (Op::LogSoftmaxJvp, 2.0, [-1.0, 1.0, 0.0]),
        ] {
            let logits = Stored::of(dtype, [0.0, 0.0, masked]);
            let v = Stored::of(dtype, [1.0, 3.0, beside]);
            let question = Question::new(op, logits, &[1, 3], 1).operand(v);
            question.put("−∞ in a row");
            for device in devices().iter().filter(|device| question.serves(device)) {
                let answer = question.ask(device).unwrap().widened();
                let same = answer
                    .iter()
                    .zip(expected)
                    .all(|(got, right)| *got == right || got.is_nan() && right.is_nan());
                assert!(same, "{op} in {dtype} on {}: {answer:?}", device.name());
            }
        }
    }
}

#[test]
fn a_nan_beside_a_probability_is_everywhere() {
    for op in Op::PRODUCTS {
        for classes in [1, 3, 64, 100, 1000] {
            for place in [0, classes / 2, classes - 1] {
                let logits = Stored::row(Dtype::F32, Character::NearTies, classes, 3);
                let v = vector(Dtype::F32, classes, 3).replaced([place], f64::NAN);
                Question::new(op, logits, &[1, classes], 1).operand(v).put("NaN in the vector");
            }
        }
    }
}

/// A row's answer is the same alone and anywhere in a batch.
#[test]
fn rows_do_not_know_of_each_other() {
    for op in Op::PRODUCTS {
        for classes in [3, 50, 64, 129, 1025] {
            let (count, logits) = rows_of(Dtype::F32, classes, 4 * step_for(classes));
            let v = vector(Dtype::F32, logits.len(), 7);
            let batch = Question::new(op, logits.clone(), &[count, classes], 1).operand(v.clone());
            for device in devices() {
                let together = batch.ask(&device).unwrap();
                for row in 0..count {
                    let range = row * classes..(row + 1) * classes;
                    let alone = Question::new(op, logits.taken(range.clone()), &[1, classes], 1)
                        .operand(v.taken(range.clone()));
                    let alone = alone.ask(&device).unwrap();
                    assert!(
                        alone.same_bits(&together.taken(range)),
                        "{op} of {classes} on {}",
                        device.name()
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_to_multiply() {
    for op in Op::PRODUCTS {
        for shape in [[0, 3], [3, 0], [0, 0]] {
            for device in devices() {
                let empty =
                    Question::new(op, Vec::<f32>::new().into(), &shape, 1).operand(Vec::<f32>::new().into());
                assert_eq!(empty.ask(&device).unwrap().len(), 0);
            }
        }
    }
}

#[test]
fn operands_that_are_missing_or_unused() {
    let (logits, v) = ([0.0f32; 3], [1.0f32; 3]);
    for device in devices() {
        for op in Op::PRODUCTS {
            let missing = device.answer::<f32>(&Request::new(op, &logits, &[3], 0));
            assert!(matches!(missing, Err(Error::OperandMissing { .. })));
            let short = Request::new(op, &logits, &[3], 0);
            let short = match op {
                Op::Vjp | Op::LogSoftmaxVjp => short.cotangent(&v[..2]),
                _ => short.tangent(&v[..2]),
            };
            assert!(matches!(device.answer::<f32>(&short), Err(Error::LengthMismatch { .. })));
            let other = Request::new(op, &logits, &[3], 0).weights(&v);
            assert!(matches!(device.answer::<f32>(&other), Err(Error::OperandMissing { .. })));
        }
        let unused = Request::new(Op::Softmax, &logits, &[3], 0).cotangent(&v);
        assert!(matches!(device.answer::<f32>(&unused), Err(Error::OperandUnused { .. })));
        let given = Request::new(Op::Softmax, &logits, &[3], 0)
            .options(Options::default().given(Given::Probabilities));
        assert!(matches!(device.answer::<f32>(&given), Err(Error::OperandUnused { .. })));
    }
}

/// Every kernel that can serve, asked for by name: products, weighted sums and 16-bit results are as right as
/// from the one that the plan would choose.
#[test]
fn every_kernel() {
    let ops = [&Op::PRODUCTS[..], &[Op::WeightedLogSumExp, Op::SignedLogSumExp]].concat();
    let mut served = 0;
    for classes in [3usize, 257, 9000] {
        let halves = [(Op::Vjp, Dtype::F16), (Op::SignedLogSumExp, Dtype::F16)];
        for (op, result) in ops.iter().map(|&op| (op, Dtype::F32)).chain(halves) {
            let count = 3;
            let logits = Stored::row(Dtype::F32, Character::Normal, count * classes, 5);
            let v = vector(Dtype::F32, logits.len(), 1);
            for kernel in Kernel::ROW_WISE {
                for (shape, axis) in [([count, classes], 1), ([classes, count], 0)] {
                    let options = Options::default().kernel(kernel);
                    let question = Question::new(op, logits.clone(), &shape, axis)
                        .operand(v.clone())
                        .result(result)
                        .options(options);
                    for device in devices() {
                        match question.ask(&device) {
                            Err(Error::KernelUnsuitable { .. }) => continue,
                            answer => {
                                let name = device.name();
                                if let Err(fault) = question.judge(&answer.unwrap()) {
                                    panic!("{kernel} on {name}, {op} of {classes} to {result}: {fault}");
                                }
                                served += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(served > 100, "{served}");
}
