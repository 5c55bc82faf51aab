//! Real logits: attention scores with the padding mask of their texts and causally, digits with their labels,
//! a vocabulary's logits with their tokens.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::devices;
use common::loss::Loss;
use common::question::Question;
use common::stored::Stored;
use npyz::{Deserialize, NpyFile};
use wgpu_softmax::{Dtype, FullyMasked, Op, Options, Reduction};

/// The shape of an array of examples/data, and its elements.
fn array<T: Deserialize>(name: &str) -> (Vec<usize>, Vec<T>) {
    let path = format!("{}/examples/data/{name}.npy", env!("CARGO_MANIFEST_DIR"));
    let file = NpyFile::new(std::fs::File::open(path).unwrap()).unwrap();
    let shape = file.shape().iter().map(|&length| length as usize).collect();
    (shape, file.into_vec().unwrap())
}

#[test]
fn attention_under_its_padding_and_causally() {
    let (shape, scores) = array::<f32>("attention_scores");
    let (mask_shape, mask) = array::<bool>("attention_mask");
    assert_eq!((&shape[..], &mask_shape[..]), (&[2, 2, 12, 64, 64][..], &[2, 64][..]));
    assert!(mask.iter().any(|is_token| !is_token));
    let padding = Adjusted { mask: Some((mask, vec![2, 1, 1, 1, 64])), ..Adjusted::default() };
    let causal = Adjusted { causal: Some((0, None)), ..Adjusted::default() };
    let both = Adjusted {
        causal: Some((0, Some(16))),
        temperature: Some(Temperatures::Same(1.5)),
        ..padding.clone()
    };
    let layout = Layout::new(&shape, &[4]);
    for (what, adjusted) in [("under its padding", padding), ("causally", causal), ("in a window", both)] {
        for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp] {
            let question = Question::new(op, scores.clone().into(), &shape, 4).adjusted(adjusted.clone());
            println!("{op} {what}: at worst {:.2} u", question.put(what).units);
        }
        // The backward pass of the first text's first layer: the scores themselves for a cotangent.
        let first = Stored::from(scores[..12 * 64 * 64].to_vec());
        let cut = Adjusted {
            mask: adjusted.mask.clone().map(|(mask, _)| (mask[..64].to_vec(), vec![64])),
            ..adjusted.clone()
        };
        let question = Question::new(Op::Vjp, first.clone(), &[12, 64, 64], 2).operand(first).adjusted(cut);
        println!("VJP {what}: at worst {:.2} u", question.put(what).units);
        // A padded key has no probability in any row, and a query that sees nothing but padding has none at all.
        let zero = Options::default().fully_masked(FullyMasked::Zero);
        for device in devices() {
            let question = Question::new(Op::Softmax, scores.clone().into(), &shape, 4);
            let p = question.adjusted(adjusted.clone()).options(zero).ask(&device).unwrap();
            for place in (0..p.len()).step_by(7) {
                let index = layout.index(place);
                let row = place / 64;
                let takes_part = adjusted.takes_part(&index, row, index[4]);
                assert!(takes_part || p.get(place) == 0.0, "{what} at {index:?}");
            }
        }
    }
}

#[test]
fn digits_with_their_labels() {
    let (shape, logits) = array::<f32>("digits_logits");
    let (_, labels) = array::<i64>("digits_labels");
    let mut loss = Loss::new(logits.into(), &shape, 1, &labels);
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        loss.reduction = reduction;
        let worst = loss.put("digits");
        println!("digits, {reduction:?}: at worst {:.2} u, gradient {:.2} u", worst.loss, worst.gradient);
    }
    loss.reduction = Reduction::Mean;
    for device in devices() {
        let answer = loss.ask(&device).unwrap();
        assert_eq!(answer.counted, 1797);
        // As the data's note says: the most probable class is the label in 97.66 % of the rows.
        let argmax = answer.argmax.unwrap();
        assert_eq!(
            argmax.iter().zip(&labels).filter(|(class, label)| **class == **label as u64).count(),
            1755
        );
        let sum: f64 = answer.gradient.unwrap().widened().iter().sum();
        // p and the targets both sum to 1.
        assert!(sum.abs() < 1e-5, "the gradient sums to {sum}");
    }
    (loss.smoothing, loss.z_loss) = (0.1, 1e-3);
    loss.put("digits, smoothed");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let rounded = Stored::of(dtype, loss.logits.widened());
        let loss = Loss { gradient: Some(dtype), logits: rounded, ..loss.clone() };
        loss.put("digits in 16 bits");
    }
}

#[test]
fn a_vocabulary_with_its_tokens() {
    let (shape, logits) = array::<f32>("vocab_logits");
    let (_, tokens) = array::<i64>("vocab_tokens");
    assert_eq!(shape, [8, 30_522]);
    let mut loss = Loss::new(logits.clone().into(), &shape, 1, &tokens);
    let worst = loss.put("a vocabulary");
    println!("vocabulary: at worst {:.2} u, gradient {:.2} u", worst.loss, worst.gradient);
    (loss.smoothing, loss.reduction, loss.ignored) = (0.1, Reduction::None, Some(tokens[3]));
    loss.put("a vocabulary, smoothed");
    let half = Stored::of(Dtype::F16, logits.iter().map(|&x| x.into()));
    for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp] {
        Question::new(op, half.clone(), &shape, 1).put("a vocabulary in f16");
        Question::new(op, half.clone(), &shape, 1).result(Dtype::F32).put("a vocabulary in f16 to f32");
    }
}
