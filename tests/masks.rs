//! Temperatures and masks: every kind, broadcast every way, along every axis, for every operation, against the
//! reference that leaves masked classes out; and that what is masked changes not one bit.

mod common;

use common::adjusted::{Adjusted, Layout, Temperatures};
use common::device::devices;
use common::judge::Worst;
use common::question::Question;
use common::rows_of_interest::{Character, Random};
use common::stored::Stored;
use wgpu_softmax::{
    Adjustment, Dtype, Elements, Error, FullyMasked, Op, Options, Output, Request, reference,
};

/// Operations whose result is no larger than the logits.
const ROW_WISE: [Op; 8] = [
    Op::Softmax,
    Op::LogSoftmax,
    Op::LogSumExp,
    Op::Vjp,
    Op::Jvp,
    Op::LogSoftmaxVjp,
    Op::LogSoftmaxJvp,
    Op::SignedLogSumExp,
];

const JACOBIANS: [Op; 2] = [Op::Jacobian, Op::LogSoftmaxJacobian];

/// Both answers for rows that nothing is left of.
const CHOICES: [FullyMasked; 2] = [FullyMasked::Nan, FullyMasked::Zero];

fn question(op: Op, logits: &Stored, layout: &Layout, adjusted: &Adjusted) -> Question {
    let mut question = Question::new(op, logits.clone(), &layout.shape, 0).adjusted(adjusted.clone());
    question.layout = layout.clone();
    if op.operand().is_some() {
        let random = &mut Random::new(logits.len() as u64);
        let values = (0..logits.len()).map(|_| 3.0 * random.normal());
        question = question.operand(Stored::of(logits.dtype(), values));
    }
    question
}

/// Puts the adjusted logits through `ops`, and keeps the largest error of each output in `worst`.
#[track_caller]
fn put(ops: &[Op], what: &str, logits: &Stored, layout: &Layout, adjusted: &Adjusted, worst: &mut [f64; 3]) {
    put_choosing(&CHOICES, ops, what, logits, layout, adjusted, worst);
}

/// As `put`, with some of the choices for rows that nothing is left of.
#[track_caller]
fn put_choosing(
    choices: &[FullyMasked],
    ops: &[Op],
    what: &str,
    logits: &Stored,
    layout: &Layout,
    adjusted: &Adjusted,
    worst: &mut [f64; 3],
) {
    for &op in ops {
        for &choice in choices {
            let question = question(op, logits, layout, adjusted);
            let Worst { units, .. } = question.options(Options::default().fully_masked(choice)).put(what);
            let place = match op {
                Op::Softmax | Op::LogSoftmax | Op::LogSumExp | Op::SignedLogSumExp => 0,
                _ if op.output() == Output::PerPair => 1,
                _ => 2,
            };
            worst[place] = worst[place].max(units);
        }
    }
}

fn told(what: &str, worst: [f64; 3]) {
    println!(
        "{what}: at worst {:.2} of a row-wise result, {:.2} of a Jacobian, {:.2} of a product",
        worst[0], worst[1], worst[2]
    );
}

fn random_mask(elements: usize, share: f64, seed: u64) -> Vec<bool> {
    let random = &mut Random::new(seed);
    (0..elements).map(|_| random.unit() < share).collect()
}

fn random_additive_mask(dtype: Dtype, elements: usize, seed: u64) -> Stored {
    let random = &mut Random::new(seed);
    let value = |random: &mut Random| match random.below(4) {
        0 => f64::NEG_INFINITY,
        1 => 0.0,
        _ => 4.0 * random.normal(),
    };
    Stored::of(dtype, (0..elements).map(|_| value(random)))
}

/// All shapes that are broadcast to `shape`: each length or 1, and without any of the first axes.
fn broadcast_shapes(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut shapes: Vec<Vec<usize>> = (0..1 << shape.len())
        .map(|pattern| {
            let axes = shape.iter().enumerate();
            axes.map(|(axis, &length)| if pattern >> axis & 1 == 1 { length } else { 1 }).collect()
        })
        .collect();
    shapes.extend((0..shape.len()).map(|first| shape[shape.len() - first..].to_vec()));
    shapes
}

fn all_layouts(shape: &[usize]) -> Vec<Layout> {
    let single = (0..shape.len()).map(|axis| vec![axis]);
    let several = [vec![1, 2], vec![0, 2], vec![2, 3]];
    single.chain(several).map(|axes| Layout::new(shape, &axes)).collect()
}

#[test]
fn temperatures() {
    for dtype in [Dtype::F32, Dtype::F64] {
        let mut worst = [0.0; 3];
        let lengths = match dtype {
            // The CPU alone, which compiles nothing.
            Dtype::F64 => &[1, 2, 5, 33, 64, 100, 257, 1025, 5001][..],
            _ => &[2, 5, 33, 64, 257, 1025, 5001],
        };
        for (turn, &classes) in lengths.iter().enumerate() {
            // Every other operation where there are shaders, as software drivers compile each for seconds.
            let ops: Vec<Op> = match dtype {
                Dtype::F64 => ROW_WISE.to_vec(),
                _ => ROW_WISE.into_iter().skip(turn % 2).step_by(2).collect(),
            };
            let rows: Vec<Stored> =
                Character::ALL.iter().map(|&character| Stored::row(dtype, character, classes, 5)).collect();
            let count = rows.len();
            let logits = Stored::concatenated(dtype, &rows);
            let mut temperatures: Vec<Temperatures> = match classes {
                0..1000 => [0.05, 0.7, 1.0, 3.0, 1000.0].map(Temperatures::Same).to_vec(),
                _ => vec![Temperatures::Same(0.7)],
            };
            let random = &mut Random::new(classes as u64);
            let per_row: Vec<f64> = (0..count).map(|_| random.between(0.1, 3.0)).collect();
            let narrow = [Dtype::F16, Dtype::Bf16][turn % 2];
            let stored = if dtype == Dtype::F64 { Dtype::ALL.to_vec() } else { vec![Dtype::F32, narrow] };
            for stored in stored {
                temperatures.push(Temperatures::PerRow(Stored::of(stored, per_row.iter().copied())));
            }
            for temperature in temperatures {
                let adjusted = Adjusted { temperature: Some(temperature), ..Adjusted::default() };
                let layout = Layout::new(&[count, classes], &[1]);
                let nan = &CHOICES[..1];
                put_choosing(nan, &ops, "a temperature", &logits, &layout, &adjusted, &mut worst);
                if classes <= 100 {
                    put_choosing(nan, &JACOBIANS, "a temperature", &logits, &layout, &adjusted, &mut worst);
                    let across = Layout::new(&[classes, count], &[0]);
                    let logits = logits.side_by_side(classes, count);
                    put_choosing(nan, &ops, "a temperature", &logits, &across, &adjusted, &mut worst);
                }
            }
        }
        told(&format!("temperatures in {dtype}"), worst);
    }
}

#[test]
fn temperatures_along_every_axis() {
    let shape = [2, 3, 4, 5];
    let logits = Stored::row(Dtype::F32, Character::Normal, 120, 9);
    for layout in all_layouts(&shape) {
        let temperatures = (1..=layout.rows()).map(|row| 0.3 * row as f64);
        let temperature = Some(Temperatures::PerRow(Stored::of(Dtype::F32, temperatures)));
        let adjusted = Adjusted { temperature, ..Adjusted::default() };
        put(&ROW_WISE, "temperatures of rows", &logits, &layout, &adjusted, &mut [0.0; 3]);
        put(&JACOBIANS, "temperatures of rows", &logits, &layout, &adjusted, &mut [0.0; 3]);
    }
}

#[test]
fn masks_of_every_shape_along_every_axis() {
    let shape = [3, 2, 4, 5];
    for (dtype, character) in [(Dtype::F32, Character::Normal), (Dtype::F64, Character::Masked)] {
        let logits = Stored::row(dtype, character, 120, 2);
        let mut worst = [0.0; 3];
        for layout in all_layouts(&shape) {
            for (seed, mask_shape) in broadcast_shapes(&shape).into_iter().enumerate() {
                let elements = mask_shape.iter().product();
                // Both choices in turn.
                let choice = &CHOICES[seed % 2..][..1];
                let mask = random_mask(elements, 0.6, seed as u64);
                let adjusted = Adjusted { mask: Some((mask, mask_shape)), ..Adjusted::default() };
                put_choosing(choice, &ROW_WISE, "a mask", &logits, &layout, &adjusted, &mut worst);
                put_choosing(choice, &JACOBIANS, "a mask", &logits, &layout, &adjusted, &mut worst);
            }
        }
        told(&format!("masks in {dtype}"), worst);
    }
}

#[test]
fn additive_masks_of_every_shape_along_every_axis() {
    let shape = [3, 2, 4, 5];
    for (dtype, stored) in [(Dtype::F32, Dtype::F32), (Dtype::F32, Dtype::F16), (Dtype::F64, Dtype::F64)] {
        let logits = Stored::row(dtype, Character::Normal, 120, 3);
        let mut worst = [0.0; 3];
        for layout in all_layouts(&shape) {
            for (seed, mask_shape) in broadcast_shapes(&shape).into_iter().enumerate() {
                let elements = mask_shape.iter().product();
                // Both choices in turn.
                let choice = &CHOICES[seed % 2..][..1];
                let mask = random_additive_mask(stored, elements, seed as u64);
                let adjusted = Adjusted { additive_mask: Some((mask, mask_shape)), ..Adjusted::default() };
                // How a mask is loaded is the same for all.
                let ops = if stored == Dtype::F16 { &ROW_WISE[..4] } else { &ROW_WISE };
                put_choosing(choice, ops, "an additive mask", &logits, &layout, &adjusted, &mut worst);
                put_choosing(choice, &JACOBIANS, "an additive mask", &logits, &layout, &adjusted, &mut worst);
            }
        }
        told(&format!("additive masks of {stored} in {dtype}"), worst);
    }
}

#[test]
fn causal_rows() {
    let offsets = [i64::MIN, -10, -2, -1, 0, 1, 2, 1000, i64::MAX];
    let windows = [None, Some(0), Some(1), Some(2), Some(7), Some(u64::MAX)];
    for (queries, keys) in [(5, 5), (3, 7), (7, 3), (1, 9), (9, 1), (33, 70)] {
        let logits = Stored::row(Dtype::F32, Character::Normal, 2 * queries * keys, 4);
        let layout = Layout::new(&[2, queries, keys], &[2]);
        for offset in offsets.into_iter().chain([keys as i64 - queries as i64]) {
            for window in windows {
                let adjusted = Adjusted { causal: Some((offset, window)), ..Adjusted::default() };
                let ops =
                    if queries * keys < 100 { &ROW_WISE[..] } else { &[Op::Softmax, Op::LogSoftmaxVjp] };
                put(ops, "causal rows", &logits, &layout, &adjusted, &mut [0.0; 3]);
                if queries * keys < 40 {
                    put(&JACOBIANS, "causal rows", &logits, &layout, &adjusted, &mut [0.0; 3]);
                }
            }
        }
    }
    // A batch of heads, as attention has it.
    let mut worst = [0.0; 3];
    let logits = Stored::row(Dtype::F32, Character::Normal, 2 * 3 * 64 * 100, 5);
    let layout = Layout::new(&[2, 3, 64, 100], &[3]);
    for causal in [(0, None), (36, None), (0, Some(16)), (36, Some(50))] {
        let adjusted = Adjusted { causal: Some(causal), ..Adjusted::default() };
        put(&ROW_WISE, "causal heads", &logits, &layout, &adjusted, &mut worst);
    }
    told("causal rows", worst);
}

#[test]
fn lengths_of_rows() {
    let random = &mut Random::new(12);
    for (shape, axes) in [
        (vec![11, 1], vec![1]),
        (vec![13, 5], vec![1]),
        (vec![4, 33, 3], vec![1]),
        (vec![100, 7], vec![0]),
        (vec![3, 4, 5], vec![1, 2]),
        (vec![3, 4, 5], vec![0, 2]),
        (vec![9, 64], vec![1]),
        (vec![9, 300], vec![1]),
    ] {
        let layout = Layout::new(&shape, &axes);
        let logits = Stored::row(Dtype::F32, Character::Normal, layout.elements(), 6);
        let classes = layout.classes();
        let lengths = (0..layout.rows()).map(|row| match row {
            0 => classes as u64,
            1 => 0,
            _ => random.below(classes + 1) as u64,
        });
        let adjusted = Adjusted { lengths: Some(lengths.collect()), ..Adjusted::default() };
        put(&ROW_WISE, "lengths", &logits, &layout, &adjusted, &mut [0.0; 3]);
        put(&JACOBIANS, "lengths", &logits, &layout, &adjusted, &mut [0.0; 3]);
    }
}

/// Everything there is, over attention of `queries` and `keys`.
fn everything(dtype: Dtype, queries: usize, keys: usize) -> (Layout, Adjusted) {
    let (texts, heads) = (2, 3);
    let rows = texts * heads * queries;
    let random = &mut Random::new(keys as u64);
    let temperatures = (0..rows).map(|_| random.between(0.5, 2.0));
    let adjusted = Adjusted {
        temperature: Some(Temperatures::PerRow(Stored::of(dtype, temperatures))),
        mask: Some((random_mask(texts * keys, 0.8, 1), vec![texts, 1, 1, keys])),
        additive_mask: Some((
            random_additive_mask(dtype, heads * queries * keys, 2),
            vec![heads, queries, keys],
        )),
        causal: Some((keys as i64 / 3, Some(keys as u64 / 2 + 1))),
        lengths: Some((0..rows).map(|_| random.below(keys + 1) as u64).collect()),
    };
    (Layout::new(&[texts, heads, queries, keys], &[3]), adjusted)
}

#[test]
fn everything_at_once() {
    let mut worst = [0.0; 3];
    // Other types share all but the loads and stores: not every length of theirs, as each has shaders of its own, which
    // software drivers compile for seconds.
    let attention = [(4, 5), (8, 12), (7, 33), (5, 130), (3, 1001)];
    let of_types = [
        (Dtype::F32, &attention[..]),
        (Dtype::F64, &attention),
        (Dtype::F16, &attention[2..3]),
        (Dtype::Bf16, &attention[1..2]),
    ];
    for (dtype, attention) in of_types {
        for &(queries, keys) in attention {
            let (layout, adjusted) = everything(dtype, queries, keys);
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 8);
            let ops = if keys > 200 { &ROW_WISE[..4] } else { &ROW_WISE };
            put(ops, "everything at once", &logits, &layout, &adjusted, &mut worst);
            if keys < 40 {
                put(&JACOBIANS, "everything at once", &logits, &layout, &adjusted, &mut worst);
            }
        }
    }
    told("everything at once", worst);
}

/// Whatever stands at a place that takes no part, the answer has the same bits.
#[test]
fn what_is_masked_changes_not_one_bit() {
    // Of the lengths of `everything_at_once`, whose shaders these are.
    let attention = [(4, 5), (7, 33), (5, 130)];
    for (dtype, attention) in
        [(Dtype::F32, &attention[..]), (Dtype::F64, &attention), (Dtype::F16, &attention[1..2])]
    {
        for &(queries, keys) in attention {
            let (layout, adjusted) = everything(dtype, queries, keys);
            let logits = Stored::row(dtype, Character::Normal, layout.elements(), 8);
            let mut masked = Vec::new();
            for (row, places) in layout.places().iter().enumerate() {
                for (class, &place) in places.iter().enumerate() {
                    if !adjusted.takes_part(&layout.index(place), row, class) {
                        masked.push(place);
                    }
                }
            }
            assert!(masked.len() > layout.elements() / 5);
            let jacobians = if keys < 40 { &JACOBIANS[..] } else { &[] };
            for &op in ROW_WISE.iter().chain(jacobians) {
                let of = |value: f64| {
                    let mut question = question(op, &logits, &layout, &adjusted);
                    question.logits = question.logits.replaced(masked.iter().copied(), value);
                    question.operand =
                        question.operand.map(|operand| operand.replaced(masked.iter().copied(), value));
                    question
                };
                for device in devices().iter().filter(|device| of(0.0).serves(device)) {
                    let zero = of(0.0).ask(device).unwrap();
                    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, -1.0] {
                        let other = of(value).ask(device).unwrap();
                        assert!(
                            other.same_bits(&zero),
                            "{op} in {dtype}, {value} of {keys}, {}",
                            device.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn special_rows_under_masks() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for classes in [2, 9, 64, 100] {
            let rows = Stored::special_rows(dtype, classes);
            let logits = Stored::concatenated(dtype, &rows);
            let layout = Layout::new(&[rows.len(), classes], &[1]);
            let mask = Some((random_mask(logits.len(), 0.5, 3), layout.shape.clone()));
            let adjusted = Adjusted { mask, ..Adjusted::default() };
            put(&ROW_WISE, "special rows under a mask", &logits, &layout, &adjusted, &mut [0.0; 3]);
            let temperature = Some(Temperatures::Same(0.5));
            let adjusted = Adjusted { temperature, ..adjusted };
            put(&ROW_WISE, "special rows, tempered", &logits, &layout, &adjusted, &mut [0.0; 3]);
            if classes < 10 {
                put(&JACOBIANS, "special rows, tempered", &logits, &layout, &adjusted, &mut [0.0; 3]);
            }
        }
    }
}

/// A row in which nothing takes part, or nothing but −∞, in each way that there is.
#[test]
fn nothing_is_left() {
    let masked = f64::NEG_INFINITY;
    let ways = [
        (
            [1.0, f64::NAN, f64::INFINITY],
            Adjusted { mask: Some((vec![false], vec![1])), ..Adjusted::default() },
        ),
        ([1.0, f64::NAN, 2.0], Adjusted { lengths: Some(vec![0]), ..Adjusted::default() }),
        ([1.0, f64::NAN, 2.0], Adjusted { causal: Some((-1, None)), ..Adjusted::default() }),
        ([1.0, f64::NAN, 2.0], Adjusted { causal: Some((0, Some(0))), ..Adjusted::default() }),
        (
            [masked, f64::NAN, masked],
            Adjusted { mask: Some((vec![true, false, true], vec![3])), ..Adjusted::default() },
        ),
        (
            [1.0, 2.0, 3.0],
            Adjusted {
                additive_mask: Some((Stored::of(Dtype::F32, [masked]), vec![1])),
                ..Adjusted::default()
            },
        ),
    ];
    for (turn, (values, adjusted)) in ways.into_iter().enumerate() {
        // f16 and bf16 in turns.
        for dtype in [Dtype::F64, Dtype::F32, [Dtype::F16, Dtype::Bf16][turn % 2]] {
            let logits = Stored::of(dtype, values);
            let layout = Layout::new(&[1, 3], &[1]);
            put(&ROW_WISE, "nothing is left", &logits, &layout, &adjusted, &mut [0.0; 3]);
            put(&JACOBIANS, "nothing is left", &logits, &layout, &adjusted, &mut [0.0; 3]);
            // What the judge has from the reference, said once more in numbers.
            for device in devices() {
                let answer = |op, choice| {
                    let question = question(op, &logits, &layout, &adjusted);
                    let question = question.options(Options::default().fully_masked(choice));
                    question.serves(&device).then(|| question.ask(&device).unwrap().widened())
                };
                for op in [Op::Softmax, Op::Vjp, Op::LogSoftmaxJvp, Op::Jacobian] {
                    assert!(
                        answer(op, FullyMasked::Zero).is_none_or(|values| values.iter().all(|&x| x == 0.0))
                    );
                    assert!(
                        answer(op, FullyMasked::Nan).is_none_or(|values| values.iter().all(|x| x.is_nan()))
                    );
                }
                let logs = answer(Op::LogSoftmax, FullyMasked::Zero);
                assert!(logs.is_none_or(|values| values.iter().all(|&x| x == masked)));
                let sums = answer(Op::LogSumExp, FullyMasked::Zero);
                assert!(sums.is_none_or(|values| values == [masked]));
            }
        }
    }
}

#[test]
fn long_rows() {
    let mut worst = [0.0; 3];
    for classes in [16_385, 50_257] {
        let layout = Layout::new(&[3, classes], &[1]);
        let logits = Stored::row(Dtype::F32, Character::Normal, layout.elements(), 8);
        let adjusted = Adjusted {
            temperature: Some(Temperatures::Same(0.8)),
            mask: Some((random_mask(classes, 0.5, 9), vec![classes])),
            lengths: Some(vec![classes as u64, classes as u64 / 2, 5]),
            ..Adjusted::default()
        };
        put(&ROW_WISE, "long rows", &logits, &layout, &adjusted, &mut worst);
        let causal = Adjusted { causal: Some((classes as i64 - 100, Some(9000))), ..Adjusted::default() };
        put(&[Op::Softmax, Op::Vjp], "long causal rows", &logits, &layout, &causal, &mut worst);
    }
    let layout = Layout::new(&[9001, 3], &[0]);
    let logits = Stored::row(Dtype::F32, Character::Normal, layout.elements(), 8);
    let mask = Some((random_mask(9001, 0.5, 9), vec![9001, 1]));
    let adjusted = Adjusted { mask, ..Adjusted::default() };
    put(&ROW_WISE, "long columns", &logits, &layout, &adjusted, &mut worst);
    told("long rows", worst);
}

/// The Jacobian by the logits as they are given, temperature and mask in it, by central differences.
#[test]
fn finite_differences_agree() {
    let (step, temperature, classes) = (1e-5, 0.6, 8);
    let row: Vec<f64> = Character::Normal.row(classes, 2);
    let mask = random_mask(classes, 0.6, 5);
    let additive: Vec<f64> = Character::Normal.row(classes, 3);
    let adjusted = Adjusted {
        temperature: Some(Temperatures::Same(temperature)),
        mask: Some((mask.clone(), vec![classes])),
        additive_mask: Some((additive.clone().into(), vec![classes])),
        ..Adjusted::default()
    };
    for (op, function) in [(Op::Jacobian, Op::Softmax), (Op::LogSoftmaxJacobian, Op::LogSoftmax)] {
        let question = question(op, &row.clone().into(), &Layout::new(&[classes], &[0]), &adjusted);
        for device in devices().iter().filter(|device| question.serves(device)) {
            let jacobian = question.ask(device).unwrap().widened();
            for j in 0..classes {
                let moved = |distance: f64| {
                    let mut moved = row.clone();
                    moved[j] += distance;
                    let row = reference::Row::new(&moved).temperature(temperature);
                    row.mask(&mask).additive_mask(&additive).compute(function, &Options::default())
                };
                for (i, (ahead, behind)) in moved(step).iter().zip(moved(-step)).enumerate() {
                    let difference = if mask[i] { (ahead - behind) / (2.0 * step) } else { 0.0 };
                    assert!((jacobian[i * classes + j] - difference).abs() < 1e-7, "{op} ({i}, {j})");
                }
            }
        }
    }
}

#[test]
fn adjustments_that_do_not_fit() {
    let logits = [0.0f32; 12];
    let refused = |adjustment: Adjustment<'_>, axis: isize| -> Vec<Error> {
        let request = Request::new(Op::Softmax, &logits, &[3, 4], axis).adjustment(adjustment);
        devices().iter().map(|device| device.answer::<f32>(&request).unwrap_err()).collect()
    };
    let none = Adjustment::default();
    for temperature in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
        for error in refused(none.temperature(temperature), 1) {
            assert!(matches!(error, Error::TemperatureOutOfRange { row: None, .. }), "{error}");
        }
    }
    for bad in [0.0f32, f32::NAN, -1.0, f32::INFINITY] {
        for error in refused(none.temperature(Elements::from(&[1.0, 1.0, bad])), 1) {
            assert!(matches!(error, Error::TemperatureOutOfRange { row: Some(2), .. }), "{error}");
        }
    }
    for error in refused(none.temperature(Elements::from(&[1.0f32; 4])), 1) {
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    }
    for error in refused(none.lengths(&[4, 5, 0]), 1) {
        assert!(matches!(error, Error::LengthOutOfRange { row: 1, length: 5, classes: 4 }), "{error}");
    }
    for error in refused(none.lengths(&[4, 4]), 1) {
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    }
    for shape in [&[3][..], &[2, 4], &[1, 3, 4], &[4, 3]] {
        let mask = vec![true; shape.iter().product()];
        for error in refused(none.mask(&mask, shape), 1) {
            assert!(matches!(error, Error::NotBroadcastable { .. }), "{error}");
        }
        let added = vec![0.0f32; mask.len()];
        for error in refused(none.additive_mask(&added, shape), 1) {
            assert!(matches!(error, Error::NotBroadcastable { .. }), "{error}");
        }
    }
    for error in refused(none.mask(&[true; 3], &[4]), 1) {
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    }
    for error in refused(none.causal(0), 0) {
        assert!(matches!(error, Error::CausalAxes { .. }), "{error}");
    }
    let flat = Request::new(Op::Softmax, &logits, &[12], 0).adjustment(none.causal(0));
    for device in devices() {
        assert!(matches!(device.answer::<f32>(&flat), Err(Error::CausalAxes { .. })));
    }
}

#[test]
fn masked_arrays_without_elements() {
    for (shape, axis) in [([0, 3], 1), ([3, 0], 1), ([0, 0], 0)] {
        for op in [Op::Softmax, Op::LogSumExp] {
            let layout = Layout::new(&shape, &[axis]);
            let logits = Stored::of(Dtype::F32, []);
            let lengths = Some(vec![0; layout.rows()]);
            let adjusted = Adjusted {
                mask: Some((vec![true], vec![1, 1])),
                temperature: Some(Temperatures::Same(2.0)),
                lengths,
                ..Adjusted::default()
            };
            question(op, &logits, &layout, &adjusted).put("no elements");
        }
    }
}
