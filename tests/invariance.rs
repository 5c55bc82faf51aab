//! What must not matter: how many rows there are, where a row stands, how the buffers are cut into windows;
//! and what softmax does not care about: a shift of all logits, the order of the classes.

mod common;

use common::device::{as_hardware, gpu};
use common::judge::judge;
use common::rows_of_interest::{Character, Random, transposed};
use proptest::prelude::*;
use wgpu_softmax::{Capabilities, Cpu, Error, Gpu, Kernel, Op, Options, Precision, Request, Rows, f16};

const ODD_LENGTHS: [usize; 12] = [1, 2, 3, 7, 33, 63, 257, 781, 1025, 4097, 16_385, 50_257];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The part of a result that belongs to one row of a batch.
fn row_of(op: Op, result: &[f32], row: usize, classes: usize) -> Vec<u32> {
    let length = if op == Op::LogSumExp { 1 } else { classes };
    bits(&result[row * length..][..length])
}

fn options(kernel: Option<Kernel>) -> Options {
    let mut options = Options::default();
    options.kernel = kernel;
    options
}

fn kernels() -> impl Iterator<Item = Option<Kernel>> {
    Kernel::ROW_WISE.into_iter().map(Some).chain([None])
}

#[test]
fn a_row_has_the_same_bits_alone_and_anywhere_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    bits_of_rows(gpu, &ODD_LENGTHS);
    // Neighbouring lanes store rows side by side, which no software adapter does by itself.
    bits_of_rows(&as_hardware(gpu), &[3, 33, 1001]);
}

fn bits_of_rows(gpu: &Gpu, lengths: &[usize]) {
    for &classes in lengths {
        let row: Vec<f32> = Character::Normal.row(classes, 11);
        let others: Vec<f32> = Character::Wide.row(classes, 12);
        for kernel in kernels() {
            for op in Op::ROW_WISE {
                let compute = |logits: &[f32], count: usize| {
                    gpu.compute_blocking(op, logits, &[count, classes], 1, &options(kernel))
                };
                let alone = match compute(&row, 1) {
                    Ok(result) => bits(&result),
                    Err(Error::KernelUnsuitable { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                for count in [2, 5, 67] {
                    for place in [0, 1, count - 1] {
                        let mut batch = vec![&others; count];
                        batch[place] = &row;
                        let logits: Vec<f32> = batch.into_iter().flatten().copied().collect();
                        let result = compute(&logits, count).unwrap();
                        assert!(
                            row_of(op, &result, place, classes) == alone,
                            "{kernel:?} {op} {classes} {place}/{count}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_column_has_the_same_bits_wherever_it_stands_and_however_wide_the_array() {
    let Some(gpu) = gpu() else { return };
    for classes in ODD_LENGTHS {
        let row: Vec<f32> = Character::Normal.row(classes, 11);
        let others: Vec<f32> = Character::Wide.row(classes, 12);
        for kernel in [None, Some(Kernel::LanePerColumn), Some(Kernel::TileOfColumns), Some(Kernel::SplitRow)]
        {
            let mut expected: Option<Vec<u32>> = None;
            for (width, place) in [(2, 0), (2, 1), (3, 2), (65, 0), (65, 64), (130, 77)] {
                let mut columns = vec![others.clone(); width];
                columns[place] = row.clone();
                let logits = transposed(&columns);
                let result = match gpu.compute_blocking(
                    Op::Softmax,
                    &logits,
                    &[classes, width],
                    0,
                    &options(kernel),
                ) {
                    Ok(result) => result,
                    Err(Error::KernelUnsuitable { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let column: Vec<u32> =
                    result.iter().skip(place).step_by(width).map(|value| value.to_bits()).collect();
                let expected = expected.get_or_insert_with(|| column.clone());
                assert!(&column == expected, "{kernel:?} {classes} {place}/{width}");
            }
        }
    }
}

/// The same device with bindings so small that everything runs in many windows.
fn with_small_bindings(gpu: &Gpu, bytes: u64) -> Gpu {
    let mut capabilities: Capabilities = gpu.capabilities().clone();
    capabilities.binding_bytes = bytes;
    gpu.planning_with(capabilities)
}

/// The same device with so few elements in a dispatch that rows and slabs are cut for it.
fn with_short_dispatches(gpu: &Gpu, elements: u64) -> Gpu {
    let mut capabilities: Capabilities = gpu.capabilities().clone();
    capabilities.dispatch_elements = elements;
    gpu.planning_with(capabilities)
}

#[test]
fn windows_do_not_show_in_the_bits() {
    let Some(gpu) = gpu() else { return };
    let kibibytes = with_small_bindings(gpu, 96 << 10);
    let short = with_short_dispatches(gpu, 3000);
    for (outer, classes, inner) in [
        (1000, 100, 1),
        (37, 5000, 1),
        (3, 50_257, 1),
        (50, 700, 3),
        (7, 20_001, 2),
        (2, 3000, 20),
        (2, 5, 3000),
    ] {
        let logits: Vec<f32> = Character::Normal.row(outer * classes * inner, 5);
        let rows = Rows::new(outer as u64, classes as u64, inner as u64).unwrap();
        for op in Op::ROW_WISE {
            let compute = |gpu: &Gpu| {
                gpu.compute_blocking(op, &logits, &[outer, classes, inner], 1, &Options::default()).unwrap()
            };
            let in_windows = compute(&kibibytes);
            let options = Options::default();
            judge(op, Precision::Accurate, &logits, &rows, &in_windows, &options).unwrap();
            let whole = bits(&compute(gpu));
            assert!(bits(&in_windows) == whole, "{op} of {rows}");
            assert!(bits(&compute(&short)) == whole, "{op} of {rows} in short dispatches");
        }
    }
}

/// Neither with an operand, nor with two values a row, nor where two results share a word.
#[test]
fn short_dispatches_do_not_show_in_the_bits() {
    let Some(gpu) = gpu() else { return };
    let short = with_short_dispatches(gpu, 1000);
    for shape in [[3, 5001, 1], [2, 700, 9], [1, 20_001, 3], [4, 3, 2001]] {
        let count = shape.iter().product();
        let values = |seed| -> Vec<f32> { Character::Normal.row(count, seed) };
        let (logits, operand) = (values(5), values(6));
        let half: Vec<f16> = logits.iter().map(|&logit| f16::from_f32(logit)).collect();
        for op in [Op::LogSoftmaxVjp, Op::Jvp, Op::SignedLogSumExp] {
            let of = |gpu: &Gpu| -> Vec<f32> {
                let request = Request::new(op, &logits, &shape, 1);
                let request = match op {
                    Op::LogSoftmaxVjp => request.cotangent(&operand),
                    Op::Jvp => request.tangent(&operand),
                    _ => request.weights(&operand),
                };
                gpu.answer_blocking(&request).unwrap()
            };
            assert!(bits(&of(&short)) == bits(&of(gpu)), "{op} of {shape:?}");
        }
        let of =
            |gpu: &Gpu| gpu.answer_blocking::<f16>(&Request::new(Op::Softmax, &half, &shape, 1)).unwrap();
        let (some, all) = (of(&short), of(gpu));
        assert!(some.iter().zip(&all).all(|(one, other)| one.to_bits() == other.to_bits()), "{shape:?}");
    }
}

/// Columns of which not one chunk fits a binding are the one exception to the bits; the bounds hold.
#[test]
fn columns_wider_than_a_binding() {
    let Some(gpu) = gpu() else { return };
    let tiny = with_small_bindings(gpu, 4 << 10);
    for (outer, classes, inner) in [(2, 40, 700), (1, 3, 5000), (1, 17, 1500), (3, 2000, 9)] {
        let logits: Vec<f32> = Character::Normal.row(outer * classes * inner, 5);
        let rows = Rows::new(outer as u64, classes as u64, inner as u64).unwrap();
        for op in Op::ROW_WISE {
            let options = Options::default();
            let result = tiny.compute_blocking(op, &logits, &[outer, classes, inner], 1, &options).unwrap();
            judge(op, Precision::Accurate, &logits, &rows, &result, &options).unwrap();
        }
    }
}

#[test]
fn recording_twice_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let logits: Vec<f32> = Character::Normal.row(3 * 40_000, 5);
    let once = || bits(&gpu.softmax_blocking(&logits, &[3, 40_000], 1).unwrap());
    let first = once();
    assert!((0..5).all(|_| once() == first));
}

/// An operation along the last axis, on one device.
type Compute = Box<dyn Fn(Op, &[f32], &[usize]) -> Vec<f32>>;

fn devices() -> Vec<(&'static str, Compute)> {
    let options = Options::default();
    let cpu = move |op, logits: &[f32], shape: &[usize]| {
        Cpu::new().compute(op, logits, shape, -1, &options).unwrap()
    };
    let mut devices: Vec<(_, Compute)> = vec![("CPU", Box::new(cpu))];
    if let Some(gpu) = gpu() {
        let on_gpu = move |op, logits: &[f32], shape: &[usize]| {
            gpu.compute_blocking(op, logits, shape, -1, &options).unwrap()
        };
        devices.push(("GPU", Box::new(on_gpu)));
    }
    devices
}

const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

fn near(actual: f32, expected: f32) -> bool {
    let (actual, expected) = (f64::from(actual), f64::from(expected));
    (actual - expected).abs() <= 32.0 * UNIT * expected.abs() + f64::from(f32::MIN_POSITIVE)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Logits on a grid of eighths, so that the shift is exact.
    #[test]
    fn a_shift_of_all_logits_changes_nothing(classes in 1usize..3000, seed: u64, shift in -30_000i32..30_000) {
        let random = &mut Random::new(seed);
        let logits: Vec<f32> = (0..classes).map(|_| random.below(400) as f32 / 8.0).collect();
        let shifted: Vec<f32> = logits.iter().map(|logit| logit + shift as f32).collect();
        for (name, compute) in devices() {
            let (plain, moved) = (compute(Op::Softmax, &logits, &[classes]), compute(Op::Softmax, &shifted, &[classes]));
            prop_assert!(plain.iter().zip(&moved).all(|(a, b)| near(*a, *b)), "{}", name);
            let sums = [compute(Op::LogSumExp, &logits, &[classes]), compute(Op::LogSumExp, &shifted, &[classes])];
            let difference = f64::from(sums[1][0]) - f64::from(sums[0][0]) - f64::from(shift);
            prop_assert!(difference.abs() <= 8.0 * UNIT * (60.0 + 2.0 * f64::from(shift.abs())), "{}", name);
        }
    }

    #[test]
    fn a_permutation_of_the_classes_permutes_the_result(classes in 1usize..3000, seed: u64) {
        let random = &mut Random::new(seed);
        let logits: Vec<f32> = (0..classes).map(|_| (10.0 * random.normal()) as f32).collect();
        let mut order: Vec<usize> = (0..classes).collect();
        for place in (1..classes).rev() {
            order.swap(place, random.below(place + 1));
        }
        let permuted: Vec<f32> = order.iter().map(|&place| logits[place]).collect();
        for (name, compute) in devices() {
            let (plain, moved) = (compute(Op::Softmax, &logits, &[classes]), compute(Op::Softmax, &permuted, &[classes]));
            prop_assert!(order.iter().zip(&moved).all(|(&place, p)| near(*p, plain[place])), "{}", name);
        }
    }

    #[test]
    fn random_shapes_keep_the_bounds_and_sum_to_one(
        outer in 1usize..40, classes in 1usize..600, inner in 1usize..20, seed: u64,
        character in prop::sample::select(Character::ALL.to_vec()),
    ) {
        let logits: Vec<f32> = character.row(outer * classes * inner, seed);
        let rows = Rows::new(outer as u64, classes as u64, inner as u64).unwrap();
        let options = Options::default();
        for op in Op::ROW_WISE {
            let shape = [outer, classes, inner];
            let on_cpu = Cpu::new().compute(op, &logits, &shape, 1, &options).unwrap();
            prop_assert_eq!(judge(op, Precision::Accurate, &logits, &rows, &on_cpu, &options).err(), None);
            if let Some(gpu) = gpu() {
                let on_gpu = gpu.compute_blocking(op, &logits, &shape, 1, &options).unwrap();
                prop_assert_eq!(judge(op, Precision::Accurate, &logits, &rows, &on_gpu, &options).err(), None);
            }
        }
    }
}
