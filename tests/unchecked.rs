//! Shaders run without the checks that a driver's compiler would add to them: each answer is the same, bit for
//! bit, as with all of the checks, whatever is computed by whichever kernel.

mod common;

use std::sync::OnceLock;

use common::adjusted::{Adjusted, Temperatures};
use common::device::{Processor, as_hardware, gpu, plain_gpu};
use common::question::Question;
use common::rows_of_interest::{Character, Random};
use common::stored::Stored;
use half::{bf16, f16};
use wgpu_softmax::{CrossEntropy, Dtype, Element, Error, Given, Gpu, Kernel, Losses, Op, Options, Output};

/// A device as it is, and checked.
fn pair(gpu: &Gpu) -> [Processor; 2] {
    let mut capabilities = gpu.capabilities().clone();
    assert!(!capabilities.checked_shaders, "checks are left out unless they are asked for");
    capabilities.checked_shaders = true;
    [gpu.clone(), gpu.planning_with(capabilities)].map(Processor::Gpu)
}

/// Every device, once for all tests, so that none builds a pipeline that another one has.
fn pairs() -> &'static [[Processor; 2]] {
    static PAIRS: OnceLock<Vec<[Processor; 2]>> = OnceLock::new();
    PAIRS.get_or_init(|| [gpu(), plain_gpu()].into_iter().flatten().map(pair).collect())
}

#[track_caller]
fn assert_the_same(pair: &[Processor; 2], question: &Question, what: &str) -> bool {
    let answers = pair.each_ref().map(|device| question.ask(device));
    match answers {
        [Ok(trusted), Ok(checked)] => {
            assert!(trusted.same_bits(&checked), "{what} on {}", pair[0].name());
            true
        }
        [Err(Error::KernelUnsuitable { .. }), Err(Error::KernelUnsuitable { .. })] => false,
        [trusted, checked] => panic!("{what}: {:?} and {:?}", trusted.err(), checked.err()),
    }
}

#[test]
fn operations_lengths_types_and_kernels() {
    for pair in pairs() {
        let mut served = 0;
        for (turn, op) in Op::ALL.into_iter().enumerate() {
            // Rows of quads and others, that lanes hold and that they do not. Other types share all but the loads and stores
            // with f32: each of their lengths with some of the operations.
            let narrow = [(Dtype::F16, 7), (Dtype::F16, 18), (Dtype::F16, 32), (Dtype::Bf16, 129)];
            let wide = [4, 10, 33, 2101].map(|classes| (Dtype::F32, classes));
            for (dtype, classes) in wide.into_iter().chain([narrow[turn % 4], narrow[(turn + 1) % 4]]) {
                if op.output() == Output::PerPair && classes > 300 {
                    continue;
                }
                let logits = Stored::row(dtype, Character::Wide, 5 * classes, 3);
                // Other types share all but the loads and stores, other lengths all but how much a lane holds; in long rows
                // only what is split is another text.
                let forced = match (dtype, classes) {
                    (Dtype::F32, 4 | 10) => &Kernel::ROW_WISE[..],
                    (Dtype::Bf16, _) => &[],
                    _ => &[Kernel::SplitRow],
                };
                for kernel in forced.iter().copied().map(Some).chain([None]) {
                    let mut options = Options::default();
                    options.kernel = kernel;
                    for (shape, axis) in [([5, classes], 1), ([classes, 5], 0)] {
                        let question = Question::of_logits(op, logits.clone(), &shape, axis).options(options);
                        let what = format!("{op} of {classes} in {dtype} with {kernel:?} along {axis}");
                        served += u32::from(assert_the_same(pair, &question, &what));
                    }
                }
            }
        }
        assert!(served > 150, "{served}");
    }
}

/// Results that lie at no quads and that neighbouring lanes store side by side, which no software adapter does by
/// itself.
#[test]
fn rows_stored_side_by_side() {
    let Some(gpu) = gpu() else { return };
    let hardware: &'static Gpu = Box::leak(Box::new(as_hardware(gpu)));
    let pair = pair(hardware);
    for op in [Op::Softmax, Op::LogSoftmaxVjp] {
        for (rows, classes) in [(70, 3), (9, 31), (300, 5), (5, 301), (3, 20_001)] {
            let logits = Stored::row(Dtype::F32, Character::Wide, rows * classes, 3);
            let question = Question::of_logits(op, logits, &[rows, classes], 1);
            assert!(assert_the_same(&pair, &question, &format!("{op} of {rows} rows of {classes}")));
        }
    }
}

#[test]
fn masks_temperatures_and_probabilities() {
    let shape = [2, 6, 70];
    let elements = shape.iter().product::<usize>();
    let random = &mut Random::new(9);
    let mask: Vec<bool> = (0..elements).map(|_| random.below(4) > 0).collect();
    let small: Vec<bool> = (0..6).map(|_| random.below(3) > 0).collect();
    let added = Stored::row(Dtype::F32, Character::Normal, 70, 4);
    let none = Adjusted::default;
    let adjustments = [
        Adjusted { mask: Some((mask, shape.to_vec())), ..none() },
        Adjusted { mask: Some((small, vec![6, 1])), temperature: Some(Temperatures::Same(0.7)), ..none() },
        Adjusted { additive_mask: Some((added, vec![70])), causal: Some((3, Some(20))), ..none() },
        Adjusted {
            lengths: Some((0..12).map(|row| 6 * row).collect()),
            temperature: Some(Temperatures::PerRow(Stored::of(Dtype::F32, (1..13).map(f64::from)))),
            ..none()
        },
    ];
    for pair in pairs() {
        for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Jacobian, Op::LogSoftmaxVjp] {
            let logits = Stored::row(Dtype::F32, Character::Normal, elements, 3);
            for (place, adjusted) in adjustments.iter().enumerate() {
                let question = Question::of_logits(op, logits.clone(), &shape, 2).adjusted(adjusted.clone());
                if adjusted.lengths.is_none() || op != Op::Jacobian {
                    assert_the_same(pair, &question, &format!("{op} under adjustment {place}"));
                }
            }
        }
        for op in Op::PRODUCTS {
            let shares = Stored::of(Dtype::F32, (0..elements).map(|_| 1.0 / 70.0));
            let question = Question::of_logits(op, shares, &shape, 2)
                .options(Options::default().given(Given::Probabilities));
            assert_the_same(pair, &question, &format!("{op} of probabilities"));
        }
    }
}

fn assert_same_losses<T: Element>(lengths: &[usize], narrow: impl Fn(f32) -> T) {
    for &classes in lengths {
        let logits: Vec<T> = Character::Normal.row::<f32>(6 * classes, 5).into_iter().map(&narrow).collect();
        let labels: Vec<i64> = (0..6).map(|row| if row == 2 { -100 } else { row % classes as i64 }).collect();
        let weights: Vec<f32> = (0..classes).map(|class| 0.5 + class as f32 / classes as f32).collect();
        for pair in pairs() {
            for (shape, axis) in [([6, classes], 1), ([classes, 6], 0)] {
                let of = |device: &Processor| -> Losses<T> {
                    let loss = CrossEntropy::new(&logits, &shape, axis, &labels)
                        .class_weights(&weights)
                        .ignore_index(-100)
                        .label_smoothing(0.1)
                        .z_loss(0.01)
                        .with_gradient()
                        .with_entropy()
                        .with_argmax()
                        .with_label_log_probabilities();
                    device.cross_entropy(&loss).unwrap()
                };
                let [trusted, checked] = pair.each_ref().map(of);
                assert!(trusted == checked, "a loss of {classes} along {axis} on {}", pair[0].name());
            }
        }
    }
}

#[test]
fn losses() {
    assert_same_losses(&[7, 64, 2_101], |x| x);
    assert_same_losses(&[7, 64], f16::from_f32);
    assert_same_losses(&[7], bf16::from_f32);
}
