//! What is recorded over buffers of the caller's, and what stays on the device: the same as one call gives,
//! bit for bit, whatever it is made of.

mod common;

use common::device::gpu;
use common::rows_of_interest::{Character, Random};
use wgpu_softmax::wgpu::{self, BufferUsages};
use wgpu_softmax::{
    Adjustment, CrossEntropy, Dtype, Element, Elements, Error, Given, Gpu, LabelType, LossSettings,
    MaskLayout, Op, Options, PerRow, Preparation, Reduction, Request, Result, RowValues, Rows, Tally,
    Temperature, TensorRequest, bf16, f16,
};

const EVERY_USE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

fn buffer<T: bytemuck::NoUninit>(gpu: &Gpu, data: &[T]) -> wgpu::Buffer {
    let bytes: &[u8] = bytemuck::cast_slice(data);
    let size = (bytes.len() as u64).next_multiple_of(4).max(16);
    let descriptor =
        wgpu::BufferDescriptor { label: None, size, usage: EVERY_USE, mapped_at_creation: false };
    let buffer = gpu.device().create_buffer(&descriptor);
    let mut padded = bytes.to_vec();
    padded.resize(size as usize, 0);
    gpu.queue().write_buffer(&buffer, 0, &padded);
    buffer
}

fn read<T: bytemuck::AnyBitPattern + Element>(gpu: &Gpu, buffer: &wgpu::Buffer, length: usize) -> Vec<T> {
    let words = gpu.tensor(buffer.slice(..), &[buffer.size() as usize / 4]).unwrap().read_blocking().unwrap();
    bytemuck::cast_slice(&words)[..length].to_vec()
}

fn run(gpu: &Gpu, preparation: Preparation<'_>) {
    let prepared = preparation.prepare().unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    prepared.record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    Character::Normal.row(count, seed)
}

fn products_of<T: Element>(gpu: &Gpu, narrow: impl Fn(f32) -> T) {
    // Rows of an odd length, apart by an odd pitch, from an odd place on.
    let (count, classes, pitch, offset) = (7u64, 33u64, 35u64, 3u64);
    let wide = normal((offset + count * pitch) as usize, 5);
    let stored: Vec<T> = wide.iter().map(|&x| narrow(x)).collect();
    let cotangent: Vec<T> = normal((count * classes) as usize, 6).into_iter().map(&narrow).collect();
    let rows = Rows::batch(count, classes).unwrap();
    let padded = rows.with_pitch(pitch).unwrap().with_offset(offset).unwrap();
    let compact: Vec<T> = (0..count)
        .flat_map(|row| {
            let start = (offset + row * pitch) as usize;
            stored[start..start + classes as usize].to_vec()
        })
        .collect();
    for op in Op::PRODUCTS {
        let shape = [count as usize, classes as usize];
        let request = Request::new(op, &compact, &shape, -1);
        let request = match op {
            Op::Vjp | Op::LogSoftmaxVjp => request.cotangent(&cotangent),
            _ => request.tangent(&cotangent),
        };
        let expected: Vec<T> = gpu.answer_blocking(&request).unwrap();
        let filler = vec![narrow(7.0); stored.len()];
        let (logits, operand, result) = (buffer(gpu, &stored), buffer(gpu, &cotangent), buffer(gpu, &filler));
        let preparation = gpu
            .preparation(op, &padded, logits.slice(..), T::DTYPE)
            .operand(operand.slice(..), T::DTYPE)
            .operand_rows(&rows)
            .result(result.slice(..), T::DTYPE)
            .result_rows(&padded);
        run(gpu, preparation);
        let written: Vec<T> = read(gpu, &result, stored.len());
        for (place, &value) in written.iter().enumerate() {
            let at = place.checked_sub(offset as usize).map(|at| (at / pitch as usize, at % pitch as usize));
            let inside = at.filter(|(_, class)| *class < classes as usize);
            let right = inside.map_or(filler[0], |(row, class)| expected[row * classes as usize + class]);
            assert!(value == right, "{op} in {} at {place}", T::DTYPE);
        }
        // The same in place.
        let preparation = gpu
            .preparation(op, &padded, logits.slice(..), T::DTYPE)
            .operand(operand.slice(..), T::DTYPE)
            .operand_rows(&rows)
            .in_place();
        run(gpu, preparation);
        let written: Vec<T> = read(gpu, &logits, stored.len());
        let in_place = (0..count as usize).flat_map(|row| {
            let start = offset as usize + row * pitch as usize;
            written[start..start + classes as usize].to_vec()
        });
        assert!(in_place.collect::<Vec<_>>() == expected, "{op} in {} in place", T::DTYPE);
        assert!(written[..offset as usize] == stored[..offset as usize]);
    }
}

#[test]
fn products_of_padded_rows() {
    let Some(gpu) = gpu() else { return };
    products_of(gpu, |x| x);
    products_of(gpu, f16::from_f32);
    products_of(gpu, bf16::from_f32);
}

#[test]
fn masks_and_temperatures() {
    let Some(gpu) = gpu() else { return };
    let shape = [2, 3, 5, 7];
    let scores = normal(210, 1);
    let random = &mut Random::new(4);
    let mask: Vec<bool> = (0..14).map(|_| random.below(4) > 0).collect();
    let added = normal(35, 2);
    let temperatures: Vec<f32> = (0..30).map(|row| 0.5 + row as f32 / 7.0).collect();
    let lengths: Vec<u64> = (0..30).map(|row| row % 8).collect();
    let adjustment = Adjustment::default()
        .mask(&mask, &[2, 1, 1, 7])
        .additive_mask(&added, &[5, 7])
        .temperature(Temperature::PerRow(Elements::from(&temperatures)))
        .lengths(&lengths)
        .sliding_window(1, 4);
    let rows = Rows::of_shape(&shape, &(-1).into()).unwrap();
    let logits = buffer(gpu, &scores);
    let mask_bytes: Vec<u8> = mask.iter().map(|&seen| seen.into()).collect();
    let (mask_buffer, added_buffer) = (buffer(gpu, &mask_bytes), buffer(gpu, &added));
    let per_row: Vec<[u32; 2]> =
        temperatures.iter().zip(&lengths).map(|(t, &length)| [t.to_bits(), length as u32]).collect();
    let per_row = buffer(gpu, &per_row);
    for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Jacobian] {
        let request = Request::new(op, &scores, &shape, -1).adjustment(adjustment);
        let expected: Vec<f32> = gpu.answer_blocking(&request).unwrap();
        let result = buffer(gpu, &vec![9f32; expected.len()]);
        let preparation = gpu
            .preparation(op, &rows, logits.slice(..), Dtype::F32)
            .result(result.slice(..), Dtype::F32)
            .mask(mask_buffer.slice(..), &MaskLayout::of_shape(&[2, 1, 1, 7], &shape, -1).unwrap())
            .additive_mask(added_buffer.slice(..), &MaskLayout::of_shape(&[5, 7], &shape, -1).unwrap())
            .per_row(per_row.slice(..), PerRow::TemperaturesAndLengths)
            .sliding_window(5, 1, 4);
        run(gpu, preparation);
        let same = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).all(|(one, other)| one.to_bits() == other.to_bits())
        };
        assert!(same(&read::<f32>(gpu, &result, expected.len()), &expected), "{op}");

        let tensor = gpu.upload(&scores, &shape).unwrap();
        let answer = tensor.answer(&TensorRequest::new(op, -1).adjustment(adjustment)).unwrap();
        assert!(same(&answer.read_blocking().unwrap(), &expected), "{op} of a tensor");
    }
    let same = gpu.preparation(Op::Softmax, &rows, logits.slice(..), Dtype::F32).temperature(0.0).prepare();
    assert!(matches!(same, Err(Error::TemperatureOutOfRange { .. })));
    // A temperature on the device that nothing can be divided by shows in its row, and there alone.
    for wrong in [0.0f32, -1.0, f32::INFINITY, f32::NAN, -0.0] {
        let per_row = buffer(gpu, &[[wrong.to_bits(), 0], [0.5f32.to_bits(), 0]]);
        let (two, result) = (buffer(gpu, &[1f32, 2.0, 3.0, 3.0]), buffer(gpu, &[9f32; 4]));
        let preparation = gpu
            .preparation(Op::Softmax, &Rows::batch(2, 2).unwrap(), two.slice(..), Dtype::F32)
            .result(result.slice(..), Dtype::F32)
            .per_row(per_row.slice(..), PerRow::Temperatures);
        run(gpu, preparation);
        let written: Vec<f32> = read(gpu, &result, 4);
        assert!(written[..2].iter().all(|p| p.is_nan()) && written[2..] == [0.5, 0.5], "{wrong}");
    }
    let twice = [2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 3];
    let refused = MaskLayout::of_shape(&twice, &[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3], -1);
    assert!(matches!(refused, Err(Error::LimitExceeded { .. })));
}

#[test]
fn tensors_of_any_type() {
    let Some(gpu) = gpu() else { return };
    let logits: Vec<f16> = normal(3 * 5 * 7, 3).into_iter().map(f16::from_f32).collect();
    let cotangent: Vec<bf16> = normal(3 * 5 * 7, 4).into_iter().map(bf16::from_f32).collect();
    let tensor = gpu.upload_elements(&logits, &[3, 5, 7]).unwrap();
    let operand = gpu.upload_elements(&cotangent, &[3, 5, 7]).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F16);
    for axis in [0, 1, 2] {
        let request = Request::new(Op::Vjp, &logits, &[3, 5, 7], axis).cotangent(&cotangent);
        let expected: Vec<f32> = gpu.answer_blocking(&request).unwrap();
        let question = TensorRequest::new(Op::Vjp, axis).operand(&operand).dtype(Dtype::F32);
        assert!(tensor.answer(&question).unwrap().read_blocking().unwrap() == expected);

        let half: Vec<f16> =
            gpu.answer_blocking(&Request::new(Op::Softmax, &logits, &[3, 5, 7], axis)).unwrap();
        let answer = tensor.compute(Op::Softmax, axis, &Options::default()).unwrap();
        assert!(answer.read_elements_blocking::<f16>().unwrap() == half);
        let again = gpu.upload_elements(&logits, &[3, 5, 7]).unwrap();
        let again = again.compute_in_place(Op::Softmax, axis, &Options::default()).unwrap();
        assert!(again.read_elements_blocking::<f16>().unwrap() == half);
    }
    let wrong = tensor.read_blocking();
    assert_eq!(wrong, Err(Error::DtypeMismatch { stored: Dtype::F16, asked: Dtype::F32 }));
    let missing = tensor.compute(Op::Vjp, -1, &Options::default());
    assert!(matches!(missing, Err(Error::OperandMissing { .. })));
    assert!(matches!(gpu.upload_elements(&[1.0f64], &[1]), Err(Error::UnsupportedDtype { .. })));
}

/// A loss of labels on the device, read back: the rows' losses, the tally, the gradient.
fn recorded_loss(
    gpu: &Gpu,
    rows: &Rows,
    logits: &[f32],
    labels: (&wgpu::Buffer, LabelType),
    weights: Option<&[f32]>,
    settings: &LossSettings,
    in_place: bool,
) -> (Vec<f32>, Tally, Vec<f32>) {
    let count = rows.count() as usize;
    let logits_buffer = buffer(gpu, logits);
    let result = buffer(gpu, &vec![9f32; logits.len()]);
    let weights = weights.map(|weights| buffer(gpu, weights));
    let (values, tally) = (buffer(gpu, &vec![9u32; count]), buffer(gpu, &[9u32; 8]));
    let mut preparation = gpu
        .preparation(Op::CrossEntropyGradient, rows, logits_buffer.slice(..), Dtype::F32)
        .labels(labels.0.slice(..), labels.1)
        .loss(settings, values.slice(..), tally.slice(..));
    if let Some(weights) = &weights {
        preparation = preparation.class_weights(weights.slice(..));
    }
    preparation = match in_place {
        true => preparation.in_place(),
        false => preparation.result(result.slice(..), Dtype::F32),
    };
    run(gpu, preparation);
    let gradient = read(gpu, if in_place { &logits_buffer } else { &result }, logits.len());
    let tally: Vec<f32> = read(gpu, &tally, 8);
    let tally: Tally = bytemuck::cast_slice::<f32, Tally>(&tally)[0];
    (read(gpu, &values, count), tally, gradient)
}

fn close(one: f32, other: f32) -> bool {
    one == other || one.is_nan() && other.is_nan() || (one - other).abs() <= 4e-6 * other.abs().max(1.0)
}

#[test]
fn losses_of_labels_on_the_device() {
    let Some(gpu) = gpu() else { return };
    for (outer, classes, inner) in [(300usize, 10usize, 1usize), (5, 3, 7), (2, 20_000, 1)] {
        let rows = Rows::new(outer as u64, classes as u64, inner as u64).unwrap();
        let logits = normal(outer * classes * inner, 8);
        let shape = [outer, classes, inner];
        let random = &mut Random::new(9);
        let labels: Vec<i64> = (0..outer * inner).map(|_| random.below(classes.min(250)) as i64).collect();
        let weights: Vec<f32> = (0..classes).map(|class| 0.25 + (class % 5) as f32).collect();
        let i32s: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
        let u8s: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        let buffers = [
            (buffer(gpu, &labels), LabelType::I64),
            (buffer(gpu, &i32s), LabelType::I32),
            (buffer(gpu, &i32s), LabelType::U32),
            (buffer(gpu, &u8s), LabelType::U8),
        ];
        for (index, reduction) in [Reduction::Mean, Reduction::Sum, Reduction::None].into_iter().enumerate() {
            for (buffer, stored) in &buffers {
                let ignore_index = Some(labels[0]);
                let settings = LossSettings { ignore_index, label_smoothing: 0.1, z_loss: 0.01, reduction };
                let loss = CrossEntropy::new(&logits, &shape, 1, &labels)
                    .class_weights(&weights)
                    .ignore_index(labels[0])
                    .label_smoothing(f64::from(0.1f32))
                    .z_loss(f64::from(0.01f32))
                    .reduction(reduction)
                    .with_gradient();
                let expected = gpu.cross_entropy_blocking::<f32>(&loss).unwrap();
                let (values, tally, gradient) = recorded_loss(
                    gpu,
                    &rows,
                    &logits,
                    (buffer, *stored),
                    Some(&weights),
                    &settings,
                    index == 1,
                );
                tally.check(classes as u64).unwrap();
                assert_eq!(u64::from(tally.counted), expected.counted);
                let sum: f32 = values.iter().sum();
                match reduction {
                    Reduction::None => {
                        assert_eq!(tally.loss, 0.0);
                        assert!(values.iter().zip(&expected.losses).all(|(one, other)| close(*one, *other)));
                    }
                    _ => {
                        assert!(
                            close(tally.loss, expected.losses[0]),
                            "{} {}",
                            tally.loss,
                            expected.losses[0]
                        );
                        assert!(close(sum, tally.loss));
                    }
                }
                let expected = expected.gradient.unwrap();
                assert!(gradient.iter().zip(&expected).all(|(one, other)| close(*one, *other)));
            }
        }
    }
}

#[test]
fn values_of_rows_beside_the_loss() {
    let Some(gpu) = gpu() else { return };
    let (count, classes) = (50usize, 9usize);
    let rows = Rows::batch(50, 9).unwrap();
    let logits = normal(count * classes, 8);
    let labels: Vec<u32> = (0..50).map(|row| row % 9).collect();
    let shape = [count, classes];
    let expected = gpu
        .cross_entropy_blocking::<f32>(
            &CrossEntropy::new(&logits, &shape, 1, &labels)
                .with_log_sum_exp()
                .with_label_log_probabilities()
                .with_entropy()
                .with_argmax(),
        )
        .unwrap();
    let (logits, labels) = (buffer(gpu, &logits), buffer(gpu, &labels));
    let (values, tally) = (buffer(gpu, &vec![9u32; 5 * count]), buffer(gpu, &[9u32; 8]));
    let all = RowValues { log_sum_exp: true, label_log_probability: true, entropy: true, argmax: true };
    for wanted in [all, RowValues { log_sum_exp: false, entropy: false, ..all }] {
        let preparation = gpu
            .preparation(Op::CrossEntropy, &rows, logits.slice(..), Dtype::F32)
            .labels(labels.slice(..), LabelType::U32)
            .row_values(wanted)
            .loss(&LossSettings::default(), values.slice(..), tally.slice(..));
        run(gpu, preparation);
        let written: Vec<f32> = read(gpu, &values, 5 * count);
        let mut arrays = written.chunks(count).skip(1);
        let mut next = |wanted: bool| if wanted { arrays.next() } else { None };
        let same = |found: Option<&[f32]>, expected: &Option<Vec<f32>>| {
            found.is_none_or(|found| Some(found) == expected.as_deref())
        };
        assert!(same(next(wanted.log_sum_exp), &expected.log_sum_exp));
        assert!(same(next(wanted.label_log_probability), &expected.label_log_probabilities));
        assert!(same(next(wanted.entropy), &expected.entropy));
        let argmax = next(wanted.argmax).unwrap().iter().map(|class| u64::from(class.to_bits()));
        assert_eq!(Some(argmax.collect()), expected.argmax);
    }
    let small = gpu
        .preparation(Op::CrossEntropy, &rows, logits.slice(..), Dtype::F32)
        .labels(labels.slice(..), LabelType::U32)
        .loss(&LossSettings::default(), values.slice(..600), tally.slice(..))
        .row_values(all)
        .prepare();
    assert!(matches!(small, Err(Error::BufferTooSmall { .. })));
}

#[test]
fn labels_that_name_no_class() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(1000, 4).unwrap();
    let logits = normal(4000, 2);
    for wrong in [4i64, -1, -100, i64::MIN, 1 << 32, i64::MAX] {
        let mut labels = vec![1i64; 1000];
        (labels[700], labels[900]) = (wrong, wrong);
        let labels = (&buffer(gpu, &labels), LabelType::I64);
        let settings = LossSettings::default();
        let (values, tally, gradient) = recorded_loss(gpu, &rows, &logits, labels, None, &settings, false);
        let refused: Result<()> = tally.check(4);
        assert_eq!(refused, Err(Error::LabelOutOfRange { row: 700, label: wrong, classes: 4 }));
        // They are left out, and disturb nothing.
        assert_eq!((tally.counted, values[700]), (998, 0.0));
        assert!(gradient[2800..2804] == [0.0; 4] && gradient.iter().all(|x| x.is_finite()));

        let ignored = LossSettings { ignore_index: Some(wrong), ..settings };
        let (_, tally, _) = recorded_loss(gpu, &rows, &logits, labels, None, &ignored, false);
        assert_eq!((tally.check(4), tally.counted), (Ok(()), 998));
    }
}

#[test]
fn a_mean_over_nothing() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(3, 2).unwrap();
    let labels = (&buffer(gpu, &[7u8; 4]), LabelType::U8);
    let settings = LossSettings { ignore_index: Some(7), ..LossSettings::default() };
    let (values, tally, gradient) = recorded_loss(gpu, &rows, &[f32::NAN; 6], labels, None, &settings, false);
    assert!(tally.loss.is_nan() && tally.counted == 0);
    assert!(values == [0.0; 3] && gradient == [0.0; 6]);
}

#[test]
fn losses_of_target_probabilities() {
    let Some(gpu) = gpu() else { return };
    let (count, classes) = (40usize, 6usize);
    let rows = Rows::batch(40, 6).unwrap();
    let logits = normal(count * classes, 8);
    let targets: Vec<f32> = gpu.softmax_blocking(&normal(count * classes, 9), &[count, classes], -1).unwrap();
    let shape = [count, classes];
    let loss = CrossEntropy::new(&logits, &shape, 1, Elements::from(&targets)).with_gradient();
    let expected = gpu.cross_entropy_blocking::<f32>(&loss).unwrap();
    let (logits, targets) = (buffer(gpu, &logits), buffer(gpu, &targets));
    let (values, tally) = (buffer(gpu, &vec![9u32; count]), buffer(gpu, &[9u32; 8]));
    let result = buffer(gpu, &vec![9f32; count * classes]);
    let preparation = gpu
        .preparation(Op::CrossEntropyGradient, &rows, logits.slice(..), Dtype::F32)
        .operand(targets.slice(..), Dtype::F32)
        .result(result.slice(..), Dtype::F32)
        .loss(&LossSettings::default(), values.slice(..), tally.slice(..));
    run(gpu, preparation);
    let read_tally: Vec<f32> = read(gpu, &tally, 8);
    let read_tally: Tally = bytemuck::cast_slice::<f32, Tally>(&read_tally)[0];
    assert!(close(read_tally.loss, expected.losses[0]) && read_tally.counted == 40);
    let gradient: Vec<f32> = read(gpu, &result, count * classes);
    assert!(gradient.iter().zip(expected.gradient.unwrap()).all(|(one, other)| close(*one, other)));

    // What is missing is said, and nothing is overwritten that was not given up.
    let nowhere = gpu.preparation(Op::Softmax, &rows, logits.slice(..), Dtype::F32).prepare();
    assert!(matches!(nowhere, Err(Error::OperandMissing { .. })));
    let without = gpu.preparation(Op::CrossEntropy, &rows, logits.slice(..), Dtype::F32).prepare();
    assert!(matches!(without, Err(Error::OperandMissing { .. })));
    let small = gpu
        .preparation(Op::CrossEntropy, &rows, logits.slice(..), Dtype::F32)
        .operand(targets.slice(..), Dtype::F32)
        .loss(&LossSettings::default(), values.slice(..8), tally.slice(..))
        .prepare();
    assert!(matches!(small, Err(Error::BufferTooSmall { .. })));
}

/// A device whose shaders may have few buffers computes the values of rows and the gradient one after the other.
#[test]
fn losses_with_few_buffers() {
    let Some(gpu) = gpu() else { return };
    let mut capabilities = gpu.capabilities().clone();
    capabilities.storage_buffers = 8;
    let few = gpu.planning_with(capabilities.clone());
    let shape = [2, 70_000];
    let logits = normal(140_000, 8);
    let mask: Vec<bool> = (0..70_000).map(|class| class % 3 > 0).collect();
    let added = normal(70_000, 3);
    let weights: Vec<f32> = (0..70_000).map(|class| 0.25 + (class % 5) as f32).collect();
    let lengths = [60_000, 70_000];
    let adjustment =
        Adjustment::default().mask(&mask, &[70_000]).additive_mask(&added, &[70_000]).lengths(&lengths);
    let loss = CrossEntropy::new(&logits, &shape, 1, &[1u32, 50_000])
        .class_weights(&weights)
        .adjustment(adjustment)
        .with_gradient()
        .with_entropy();
    let of = |gpu: &Gpu| gpu.cross_entropy_blocking::<f32>(&loss).unwrap();
    assert!(of(&few) == of(gpu));
    capabilities.storage_buffers = 4;
    let refused = gpu.planning_with(capabilities).cross_entropy_blocking::<f32>(&loss);
    assert!(matches!(refused, Err(Error::LimitExceeded { .. })));
}

/// What would compute something else than was asked for, or nothing at all, is refused before it is recorded.
#[test]
fn parts_that_do_not_belong_together() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(6, 4).unwrap();
    let options = Options::default();
    let floats = || buffer(gpu, &normal(24, 1));
    let (logits, other, result) = (floats(), floats(), floats());
    let of =
        |op| gpu.preparation(op, &rows, logits.slice(..), Dtype::F32).result(result.slice(..), Dtype::F32);
    let missing = |outcome: Result<wgpu_softmax::Prepared>| {
        assert!(matches!(outcome, Err(Error::OperandMissing { .. })), "{outcome:?}");
    };
    let unused = |outcome: Result<wgpu_softmax::Prepared>| {
        assert!(matches!(outcome, Err(Error::OperandUnused { .. })), "{outcome:?}");
    };
    for op in [Op::Vjp, Op::LogSoftmaxJvp, Op::WeightedLogSumExp] {
        missing(of(op).prepare());
        missing(gpu.prepare(op, &rows, logits.slice(..), result.slice(..), &options));
    }
    for op in [Op::CrossEntropy, Op::CrossEntropyGradient] {
        missing(of(op).prepare());
        missing(gpu.prepare(op, &rows, logits.slice(..), result.slice(..), &options));
    }
    missing(gpu.prepare_in_place(Op::CrossEntropyGradient, &rows, logits.slice(..), &options));
    let tensor = gpu.upload(&normal(24, 1), &[6, 4]).unwrap();
    for op in [Op::CrossEntropyGradient, Op::Vjp] {
        let outcome = tensor.compute(op, -1, &options);
        assert!(matches!(outcome, Err(Error::OperandMissing { .. })));
        let tensor = gpu.upload(&normal(24, 1), &[6, 4]).unwrap();
        let outcome = tensor.compute_in_place(op, -1, &options);
        assert!(matches!(outcome, Err(Error::OperandMissing { .. })));
    }

    let labels = buffer(gpu, &[0u32; 6]);
    let (values, tally) = (buffer(gpu, &[9u32; 6]), buffer(gpu, &[9u32; 8]));
    let settings = LossSettings::default();
    unused(of(Op::Softmax).operand(other.slice(..), Dtype::F32).prepare());
    unused(of(Op::Softmax).labels(labels.slice(..), LabelType::U32).prepare());
    unused(of(Op::Softmax).loss(&settings, values.slice(..), tally.slice(..)).prepare());
    let loss = of(Op::CrossEntropyGradient).loss(&settings, values.slice(..), tally.slice(..));
    let both = loss.clone().labels(labels.slice(..), LabelType::U32).operand(other.slice(..), Dtype::F32);
    unused(both.prepare());
    missing(loss.prepare());
    let given = options.given(Given::Probabilities);
    unused(of(Op::Softmax).options(given).prepare());
    unused(gpu.prepare(Op::LogSoftmax, &rows, logits.slice(..), result.slice(..), &given));
    let tempered = of(Op::Vjp).operand(other.slice(..), Dtype::F32).options(given).temperature(2.0);
    unused(tempered.prepare());

    let temperatures = buffer(gpu, &[[1f32.to_bits(), 0]; 6]);
    let two = of(Op::Softmax).temperature(2.0).per_row(temperatures.slice(..), PerRow::Temperatures);
    unused(two.prepare());
    of(Op::Softmax).temperature(2.0).per_row(temperatures.slice(..), PerRow::Lengths).prepare().unwrap();

    let labelled = |op| gpu.preparation(op, &rows, logits.slice(..), Dtype::F32);
    let labelled = |op| labelled(op).labels(labels.slice(..), LabelType::U32);
    let loss = labelled(Op::CrossEntropy).loss(&settings, values.slice(..), tally.slice(..));
    loss.clone().prepare().unwrap();
    unused(loss.clone().result(result.slice(..), Dtype::F32).prepare());
    assert!(matches!(loss.in_place().prepare(), Err(Error::NotInPlace { .. })));

    // A buffer that is read and written at once, or written as two things.
    let same = |outcome: Result<wgpu_softmax::Prepared>| {
        assert!(matches!(outcome, Err(Error::SameBuffer)), "{outcome:?}");
    };
    same(of(Op::Vjp).operand(result.slice(..), Dtype::F32).prepare());
    same(
        gpu.preparation(Op::Vjp, &rows, logits.slice(..), Dtype::F32)
            .operand(logits.slice(..), Dtype::F32)
            .in_place()
            .prepare(),
    );
    of(Op::Vjp).operand(logits.slice(..), Dtype::F32).prepare().unwrap();
    same(of(Op::Softmax).per_row(result.slice(..48), PerRow::Lengths).prepare());
    same(labelled(Op::CrossEntropy).loss(&settings, labels.slice(..), tally.slice(..)).prepare());
    same(labelled(Op::CrossEntropy).loss(&settings, tally.slice(..), tally.slice(..)).prepare());
}

/// Masks and values of rows that the rows do not fit: nothing is ever read beside a buffer.
#[test]
fn ranges_that_are_too_small() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(6, 80).unwrap();
    let floats = |count| buffer(gpu, &normal(count, 1));
    let (logits, result, words) = (floats(480), floats(480), floats(480));
    let of = || {
        gpu.preparation(Op::Softmax, &rows, logits.slice(..), Dtype::F32).result(result.slice(..), Dtype::F32)
    };
    let layout = MaskLayout::of_shape(&[6, 80], &[6, 80], -1).unwrap();
    let small = |outcome: Result<wgpu_softmax::Prepared>| {
        assert!(matches!(outcome, Err(Error::BufferTooSmall { .. })), "{outcome:?}");
    };
    of().mask(words.slice(..480), &layout).prepare().unwrap();
    small(of().mask(words.slice(..479), &layout).prepare());
    of().additive_mask(words.slice(..), &layout).prepare().unwrap();
    small(of().additive_mask(words.slice(..1916), &layout).prepare());
    of().per_row(words.slice(..48), PerRow::Lengths).prepare().unwrap();
    small(of().per_row(words.slice(..40), PerRow::Lengths).prepare());

    let misaligned = of().mask(words.slice(4..), &layout).prepare();
    assert!(matches!(misaligned, Err(Error::BufferMisaligned { .. })), "{misaligned:?}");
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 480,
        usage: BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    let unusable = gpu.device().create_buffer(&descriptor);
    let unusable = of().mask(unusable.slice(..), &layout).prepare();
    assert!(matches!(unusable, Err(Error::BufferUsage { .. })), "{unusable:?}");
    let of_other_rows = MaskLayout::of_shape(&[6, 1], &[6, 60], -1).unwrap();
    let mismatch = of().mask(words.slice(..), &of_other_rows).prepare();
    assert!(matches!(mismatch, Err(Error::ResultRowsMismatch { .. })), "{mismatch:?}");
}

/// A loss is the same in whichever order it is described, and the last word counts.
#[test]
fn losses_described_in_any_order() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(4, 3).unwrap();
    let logits = buffer(gpu, &normal(12, 8));
    let labels = buffer(gpu, &[0u32, 1, 0, 2]);
    let (values, tally) = (buffer(gpu, &[9u32; 4]), buffer(gpu, &[9u32; 8]));
    let of = || gpu.preparation(Op::CrossEntropy, &rows, logits.slice(..), Dtype::F32);
    let mean = LossSettings { ignore_index: Some(2), ..LossSettings::default() };
    let sum = LossSettings { reduction: Reduction::Sum, ..LossSettings::default() };
    let tallied = |preparation: Preparation<'_>| {
        run(gpu, preparation);
        let words: Vec<f32> = read(gpu, &tally, 8);
        bytemuck::cast_slice::<f32, Tally>(&words)[0]
    };
    let labelled = || of().labels(labels.slice(..), LabelType::U32);
    let expected = tallied(labelled().loss(&sum, values.slice(..), tally.slice(..)));
    assert_eq!(expected.counted, 4);
    let after = of().loss(&sum, values.slice(..), tally.slice(..)).labels(labels.slice(..), LabelType::U32);
    assert!(tallied(after) == expected);
    let twice = labelled()
        .loss(&mean, values.slice(..), tally.slice(..))
        .loss(&sum, values.slice(..), tally.slice(..))
        .labels(labels.slice(..), LabelType::I32);
    assert!(tallied(twice) == expected);
}

#[test]
fn tensors_without_classes() {
    let Some(gpu) = gpu() else { return };
    let empty = gpu.upload(&[], &[3, 0]).unwrap();
    let weights = gpu.upload(&[], &[3, 0]).unwrap();
    let sums = empty.answer(&TensorRequest::new(Op::WeightedLogSumExp, -1).operand(&weights)).unwrap();
    assert_eq!(sums.read_blocking().unwrap(), [f32::NEG_INFINITY; 3]);
}

/// Rows that start at multiples of four elements are loaded and stored four elements at a time, others one by
/// one: neither that, nor the pitch, nor a result in place of the logits shows in the bits.
fn places_of<T: Element>(gpu: &Gpu, op: Op, classes: u64, narrow: impl Fn(f32) -> T) {
    let count = 3u64;
    let compact = Rows::batch(count, classes).unwrap();
    let written = compact.result(op).classes();
    let values: Vec<T> = normal((count * classes) as usize, classes).into_iter().map(&narrow).collect();
    let operands: Vec<T> = normal((count * classes) as usize, 77).into_iter().map(&narrow).collect();
    // The rows of `values` laid out as `rows`, among others' elements.
    let spread = |values: &[T], rows: &Rows| -> Vec<T> {
        let mut all = vec![narrow(50.0); rows.extent() as usize + 5];
        for (row, values) in values.chunks(classes as usize).enumerate() {
            let start = (rows.offset() + row as u64 * rows.pitch()) as usize;
            all[start..start + values.len()].copy_from_slice(values);
        }
        all
    };
    // Where the logits, the operand and the result start, how much they are padded, and elements of the buffers
    // before their ranges.
    let answer = |[logits, operand, result]: [(u64, u64); 3], before: u64| -> Vec<T> {
        let lay = |rows: &Rows, (offset, padding): (u64, u64)| {
            rows.with_pitch(rows.pitch() + padding).unwrap().with_offset(offset).unwrap()
        };
        let (rows, operand_rows) = (lay(&compact, logits), lay(&compact, operand));
        let result_rows = lay(&compact.result(op), result);
        let shifted = |values: Vec<T>| -> Vec<T> {
            std::iter::repeat_n(narrow(60.0), before as usize).chain(values).collect()
        };
        let logits = buffer(gpu, &shifted(spread(&values, &rows)));
        let other = buffer(gpu, &shifted(spread(&operands, &operand_rows)));
        let filler = vec![narrow(7.0); (before + result_rows.extent() + 5) as usize];
        let out = buffer(gpu, &filler);
        let start = before * T::DTYPE.bytes();
        let mut preparation = gpu
            .preparation(op, &rows, logits.slice(start..), T::DTYPE)
            .result(out.slice(start..), T::DTYPE)
            .result_rows(&result_rows);
        if op.operand().is_some() {
            preparation = preparation.operand(other.slice(start..), T::DTYPE).operand_rows(&operand_rows);
        }
        run(gpu, preparation);
        let all: Vec<T> = read(gpu, &out, filler.len());
        let mut untouched = all.clone();
        let rows_written = (0..count).flat_map(|row| {
            let start = (before + result_rows.offset() + row * result_rows.pitch()) as usize;
            untouched[start..start + written as usize].fill(narrow(7.0));
            all[start..start + written as usize].to_vec()
        });
        let rows_written = rows_written.collect();
        let untouched: &[u8] = bytemuck::cast_slice(&untouched);
        assert!(untouched == bytemuck::cast_slice::<T, u8>(&filler), "{op} of {classes} beside its rows");
        rows_written
    };
    let expected = answer([(0, 0); 3], 0);
    let places = [
        ([(4, 4), (8, 0), (0, 8)], 0),
        ([(1, 0), (0, 0), (0, 0)], 0),
        ([(0, 0), (2, 0), (0, 0)], 0),
        ([(0, 0), (0, 0), (3, 0)], 0),
        ([(0, 1), (0, 2), (0, 3)], 0),
        ([(0, 0), (0, 0), (0, 0)], 2),
        ([(5, 3), (6, 1), (7, 2)], 4),
    ];
    for (place, before) in places {
        let answered = answer(place, before);
        let (answered, expected): (&[u8], &[u8]) =
            (bytemuck::cast_slice(&answered), bytemuck::cast_slice(&expected));
        assert!(answered == expected, "{op} of {classes} in {} at {place:?} after {before}", T::DTYPE);
    }
    if compact.result(op) == compact {
        let in_place = buffer(gpu, &values);
        let other = buffer(gpu, &operands);
        let mut preparation = gpu.preparation(op, &compact, in_place.slice(..), T::DTYPE).in_place();
        if op.operand().is_some() {
            preparation = preparation.operand(other.slice(..), T::DTYPE);
        }
        run(gpu, preparation);
        let answered: Vec<T> = read(gpu, &in_place, values.len());
        let (answered, expected): (&[u8], &[u8]) =
            (bytemuck::cast_slice(&answered), bytemuck::cast_slice(&expected));
        assert!(answered == expected, "{op} of {classes} in {} in place", T::DTYPE);
    }
}

#[test]
fn where_rows_start_does_not_show_in_the_bits() {
    let ops = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::Vjp, Op::LogSoftmaxVjp, Op::Jacobian];
    for gpu in [gpu(), common::device::plain_gpu()].into_iter().flatten() {
        for (turn, op) in ops.into_iter().enumerate() {
            for classes in [4, 36, 37, 1000, 16_400, 50_256] {
                if op != Op::Jacobian || classes < 200 {
                    places_of(gpu, op, classes, |x| x);
                }
            }
            // In turns, as f16 and bf16 share words alike and each has shaders of its own, which software drivers compile
            // for long.
            for classes in [8, 35, 200] {
                match turn % 2 {
                    _ if op == Op::Jacobian && classes == 200 => {}
                    0 => places_of(gpu, op, classes, f16::from_f32),
                    _ => places_of(gpu, op, classes, bf16::from_f32),
                }
            }
        }
    }
}
