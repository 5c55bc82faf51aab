//! f16 and bf16: logits, results and second operands of either, rows that share a word with their neighbours,
//! and every bit pattern that there is.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::devices;
use common::question::Question;
use common::rows_of_interest::Character;
use common::stored::Stored;
use half::{bf16, f16};
use wgpu_softmax::{Dtype, FullyMasked, Op, Options, Output};

const SIXTEEN_BITS: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// Odd and even lengths, odd and even numbers of rows: every way in which a word is shared.
#[test]
fn every_length_up_to_seventy() {
    for dtype in SIXTEEN_BITS {
        let mut worst: f64 = 0.0;
        // How a number is stored is another part of a shader than what is computed: not with every operation (all of them
        // are below, along other axes), as software drivers compile each for seconds.
        for op in [Op::Softmax, Op::LogSumExp, Op::LogSoftmaxVjp, Op::Jacobian] {
            for classes in 1..=70 {
                if op.output() == Output::PerPair && classes > 20 && classes % 8 != 1 {
                    continue;
                }
                let logits = Stored::row(dtype, Character::Normal, 5 * classes, 3);
                let along = Question::of_logits(op, logits, &[5, classes], 1);
                worst = worst.max(along.put("odd lengths").units);
                if op == Op::Softmax {
                    along.result(Dtype::F32).put("odd lengths to f32");
                }
            }
        }
        println!("{dtype}: at worst {worst:.3} units in the last place");
    }
}

#[test]
fn along_other_axes_than_the_last() {
    for (from, dtype) in SIXTEEN_BITS.into_iter().enumerate() {
        for (turn, op) in Op::ALL.into_iter().enumerate() {
            // Every other length with each operation, in turns.
            for classes in [1, 2, 3, 7, 33, 64].into_iter().skip((from + turn) % 2).step_by(2) {
                for (shape, axis) in [([1, classes, 3], 1), ([3, classes, 5], 1), ([classes, 2, 3], 0)] {
                    let logits = Stored::row(dtype, Character::Normal, shape.iter().product::<usize>(), 4);
                    Question::of_logits(op, logits, &shape, axis).put("side by side");
                }
            }
        }
    }
}

#[test]
fn every_mixture_of_logits_and_results() {
    let ops = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Jacobian, Op::LogSoftmaxJacobian];
    for (turn, op) in ops.into_iter().enumerate() {
        for (from, logits) in Dtype::ALL.into_iter().enumerate() {
            for (to, result) in Dtype::ALL.into_iter().enumerate() {
                for (length, classes) in [1, 2, 37, 64, 129, 300].into_iter().enumerate() {
                    // Each length and mixture that has shaders with every other operation.
                    let has_shaders = ![logits, result].contains(&Dtype::F64);
                    let is_its_turn = !has_shaders || (turn + from + to + length).is_multiple_of(2);
                    if !is_its_turn || (op.output() == Output::PerPair && classes > 200) {
                        continue;
                    }
                    let logits = Stored::row(logits, Character::Normal, 3 * classes, 5);
                    Question::of_logits(op, logits, &[3, classes], 1).result(result).put("a mixture");
                }
            }
        }
    }
}

#[test]
fn every_character_and_special_row() {
    for dtype in SIXTEEN_BITS {
        for classes in [1, 2, 3, 33, 64, 129] {
            let characters =
                Character::ALL.iter().map(|&character| Stored::row(dtype, character, classes, 6));
            let rows: Vec<Stored> = characters.chain(Stored::special_rows(dtype, classes)).collect();
            let logits = Stored::concatenated(dtype, &rows);
            for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Vjp, Op::LogSoftmaxVjp] {
                for choice in [FullyMasked::Nan, FullyMasked::Zero] {
                    let options = Options::default().fully_masked(choice);
                    let question =
                        Question::of_logits(op, logits.clone(), &[rows.len(), classes], 1).options(options);
                    question.put("every character");
                    // Of what makes f32 of 16 bits, one operation: each has shaders of its own for that.
                    if op == Op::LogSoftmax {
                        question.result(Dtype::F32).put("every character to f32");
                    }
                }
            }
        }
    }
}

#[test]
fn long_rows() {
    for dtype in SIXTEEN_BITS {
        for classes in [4097, 50_257] {
            let logits = Stored::row(dtype, Character::Normal, 3 * classes, 7);
            for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Vjp, Op::LogSoftmaxJvp] {
                Question::of_logits(op, logits.clone(), &[3, classes], 1).put("long rows");
            }
        }
        let logits = Stored::row(dtype, Character::Normal, 3 * 4097, 7);
        Question::of_logits(Op::Softmax, logits, &[4097, 3], 0).put("long columns");
    }
}

/// Results less than the least normal number of f16 are kept to the last of its subnormal ones.
#[test]
fn subnormal_results_are_kept() {
    let row = [0.0, -9.0, -10.0, -11.0, -12.0, -13.0, -14.0, -15.0, -16.0, -16.5, -17.0, -18.0];
    let logits = Stored::of(Dtype::F16, row);
    let question = Question::of_logits(Op::Softmax, logits, &[1, 12], 1);
    question.put("subnormal probabilities");
    for device in devices() {
        let answer = question.ask(&device).unwrap();
        let subnormal = |place: &usize| (1..0x0400).contains(&answer.bits(*place));
        let kept: Vec<usize> = (0..12).filter(subnormal).collect();
        assert!(kept == (2..11).collect::<Vec<_>>(), "{kept:?} are subnormal on {}", device.name());
    }
    // Subnormal cotangents come through: v − p·Σv is about v where there is next to no probability.
    let v: Vec<f64> = (0..12).map(|class| class as f64 * f64::from(f16::MIN_POSITIVE_SUBNORMAL)).collect();
    for op in Op::PRODUCTS {
        let logits = Stored::of(Dtype::F16, row);
        let question =
            Question::new(op, logits, &[1, 12], 1).operand(Stored::of(Dtype::F16, v.iter().copied()));
        question.put("subnormal vectors");
    }
}

#[test]
fn results_beyond_the_range_of_f16() {
    let half_as_hot = Adjusted { temperature: Some(Temperatures::Same(0.5)), ..Adjusted::default() };
    let infinity = f64::INFINITY;
    for (op, row, expected) in [
        (Op::LogSumExp, [65_504.0, 65_504.0], vec![infinity]),
        (Op::LogSumExp, [-65_504.0, -65_504.0], vec![-infinity]),
        (Op::LogSoftmax, [65_504.0, -65_504.0], vec![0.0, -infinity]),
        (Op::Softmax, [65_504.0, -65_504.0], vec![1.0, 0.0]),
    ] {
        let logits = Stored::of(Dtype::F16, row);
        let question = Question::new(op, logits, &[1, 2], 1).adjusted(half_as_hot.clone());
        question.put("beyond the range");
        for device in devices() {
            let answer = question.ask(&device).unwrap().widened();
            assert!(answer == expected, "{op} of {row:?} on {}: {answer:?}", device.name());
        }
        question.result(Dtype::F32).put("within the range of f32");
    }
    // Not beyond it: the greatest number, and ln 2 that it swallows.
    let logits = Stored::of(Dtype::F16, [65_504.0, 65_504.0]);
    let question = Question::new(Op::LogSumExp, logits, &[1, 2], 1);
    for device in devices() {
        assert_eq!(question.ask(&device).unwrap().widened(), [65_504.0]);
    }
}

/// All patterns of 16 bits: alone, in pairs with their successor, and beside a 0.
#[test]
fn every_pattern() {
    let count = 1 << 16;
    let patterns = || (0..count).map(|bits| bits as u16);
    for dtype in SIXTEEN_BITS {
        let (all, beside_zero): (Stored, Stored) = match dtype {
            Dtype::F16 => (
                patterns().map(f16::from_bits).collect::<Vec<_>>().into(),
                patterns().flat_map(|bits| [f16::from_bits(bits), f16::ZERO]).collect::<Vec<_>>().into(),
            ),
            _ => (
                patterns().map(bf16::from_bits).collect::<Vec<_>>().into(),
                patterns().flat_map(|bits| [bf16::from_bits(bits), bf16::ZERO]).collect::<Vec<_>>().into(),
            ),
        };
        for op in Op::ROW_WISE {
            Question::new(op, all.clone(), &[count, 1], 1).put("every pattern alone");
            Question::new(op, all.clone(), &[count / 2, 2], 1).put("every pattern in pairs");
            Question::new(op, beside_zero.clone(), &[count, 2], 1).put("every pattern beside 0");
        }
        let v = Stored::of(dtype, (0..count).map(|place| [1.0, -2.0, 0.5][place % 3]));
        Question::new(Op::Vjp, all.clone(), &[count / 2, 2], 1).operand(v).put("pulled back through pairs");
        // As cotangents, NaN with its payload and infinities in them; judged where they are finite.
        let zeros = Stored::of(dtype, vec![0.0; count]);
        let finite = all.replaced((0..count).filter(|&place| !all.get(place).is_finite()), 1.0);
        for op in [Op::Vjp, Op::LogSoftmaxVjp, Op::LogSoftmaxJvp] {
            Question::new(op, zeros.clone(), &[count / 2, 2], 1)
                .operand(finite.clone())
                .put("every cotangent");
        }
    }
}

/// A NaN comes out as the one NaN of its type, whatever payload it went in with.
#[test]
fn one_nan_of_each_type() {
    for dtype in SIXTEEN_BITS {
        let patterns: Vec<u16> = (0..=u16::MAX).collect();
        let odd: Stored = match dtype {
            Dtype::F16 => {
                patterns.into_iter().map(f16::from_bits).filter(|x| x.is_nan()).collect::<Vec<_>>().into()
            }
            _ => patterns.into_iter().map(bf16::from_bits).filter(|x| x.is_nan()).collect::<Vec<_>>().into(),
        };
        let count = odd.len();
        assert!(count > 200);
        for result in [dtype, Dtype::F32] {
            for op in Op::ROW_WISE {
                let question = Question::new(op, odd.clone(), &[count, 1], 1).result(result);
                for device in devices() {
                    let answer = question.ask(&device).unwrap();
                    assert!((0..count).all(|place| answer.is_the_nan(place)), "{op} on {}", device.name());
                }
            }
            let zeros = Stored::of(dtype, vec![0.0; count]);
            let question = Question::new(Op::LogSoftmaxVjp, zeros, &[count, 1], 1).operand(odd.clone());
            for device in devices() {
                let answer = question.clone().result(result).ask(&device).unwrap();
                assert!((0..count).all(|place| answer.is_the_nan(place)), "VJP on {}", device.name());
            }
        }
    }
}

/// Rows that share words with their neighbours have the bits that they have alone.
#[test]
fn neighbours_do_not_race_for_a_word() {
    for dtype in SIXTEEN_BITS {
        for classes in [1, 3, 5, 7, 33, 65, 129] {
            let count = 301;
            let logits = Stored::row(dtype, Character::Normal, count * classes, 8);
            for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Vjp] {
                let batch = Question::of_logits(op, logits.clone(), &[count, classes], 1);
                for device in devices() {
                    let together = batch.ask(&device).unwrap();
                    let per_row = together.len() / count;
                    for row in (0..count).step_by(43) {
                        let range = row * classes..(row + 1) * classes;
                        let mut alone = batch.clone();
                        alone.logits = batch.logits.taken(range.clone());
                        alone.operand = batch.operand.as_ref().map(|operand| operand.taken(range));
                        alone.layout = Layout::new(&[1, classes], &[1]);
                        let answer = together.taken(row * per_row..(row + 1) * per_row);
                        let same = alone.ask(&device).unwrap().same_bits(&answer);
                        assert!(same, "{op} of {classes}, row {row} on {}", device.name());
                    }
                }
            }
        }
    }
}
