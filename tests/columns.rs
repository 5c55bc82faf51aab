//! An axis that is not the last, planned as for graphics hardware: tiles of columns give right answers for narrow and
//! wide slabs and for short, odd and long columns, and the same bits wherever a column stands.

mod common;

use common::adjusted::{Adjusted, Temperatures};
use common::device::{Processor, as_hardware, gpu, plain_gpu};
use common::question::Question;
use common::rows_of_interest::{Character, Random, special_rows, transposed};
use common::stored::Stored;
use half::f16;
use wgpu_softmax::{Capabilities, Dtype, Error, Gpu, Kernel, Op, Options, Request};

/// Columns of one slab.
const WIDTHS: [usize; 6] = [2, 3, 5, 7, 64, 1000];

/// Short columns of one quad and of several, those that a lane just holds alone, that tiles hold, and that are split.
const LENGTHS: [usize; 14] = [1, 2, 3, 4, 5, 10, 33, 64, 65, 257, 1000, 1024, 1025, 5001];

/// The device as it is, and one with no more than every WebGPU device has, both planned for as hardware.
fn hardware() -> Vec<Gpu> {
    gpu().map(as_hardware).into_iter().chain(plain_gpu().cloned()).collect()
}

/// One with workgroups and workgroup memory so small that tiles are other ones.
fn with_small_tiles(gpu: &Gpu) -> Gpu {
    let mut capabilities: Capabilities = gpu.capabilities().clone();
    (capabilities.max_invocations, capabilities.workgroup_bytes) = (64, 2000);
    gpu.planning_with(capabilities)
}

/// Of all operations and types, as many as a shape leaves time for.
fn kinds(elements: usize) -> Vec<(Op, Dtype)> {
    let common = [(Op::Softmax, Dtype::F32), (Op::LogSumExp, Dtype::F32)];
    let others = [
        (Op::LogSoftmax, Dtype::F32),
        (Op::Vjp, Dtype::F32),
        (Op::LogSoftmaxVjp, Dtype::F32),
        (Op::Jvp, Dtype::Bf16),
        (Op::LogSoftmaxJvp, Dtype::F32),
        (Op::SignedLogSumExp, Dtype::F32),
        (Op::WeightedLogSumExp, Dtype::F16),
        (Op::Softmax, Dtype::F16),
    ];
    let few = elements > 100_000;
    common.into_iter().chain(others.into_iter().filter(|_| !few)).collect()
}

#[track_caller]
fn judged(question: &Question, device: &Processor, what: &str) -> bool {
    let answer = match question.ask(device) {
        Err(Error::KernelUnsuitable { .. }) => return false,
        answer => answer.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    if let Err(fault) = question.judge(&answer) {
        panic!("{what} on {}: {fault}", device.name());
    }
    true
}

#[test]
fn every_width_and_length() {
    for device in hardware().into_iter().map(Processor::Gpu) {
        let mut served = 0;
        for classes in LENGTHS {
            for inner in WIDTHS.into_iter().filter(|&inner| inner < 1000 || classes <= 1000) {
                let outer = if classes * inner > 3000 { 2 } else { 7 };
                for (op, dtype) in kinds(outer * classes * inner) {
                    let logits = Stored::row(dtype, Character::Normal, outer * classes * inner, 7);
                    let shape = [outer, classes, inner];
                    let question = Question::of_logits(op, logits, &shape, 1);
                    assert!(judged(&question, &device, &format!("{op} of {shape:?} in {dtype}")));
                    if classes <= 65 && inner != 64 {
                        let options = Options::default().kernel(Kernel::TileOfColumns);
                        let forced = question.options(options);
                        served +=
                            u32::from(judged(&forced, &device, &format!("{op} of {shape:?} in a tile")));
                    }
                }
            }
        }
        assert!(served > 300, "{served}");
    }
}

/// A chunk that lanes hold and one that they don't, few columns and many.
#[test]
fn long_columns() {
    let Some(device) = plain_gpu().cloned().map(Processor::Gpu) else { return };
    for shape in [[1, 10_000, 3], [2, 50_257, 2], [1, 131_073, 3], [1, 2048, 100], [1, 300_001, 2]] {
        for op in [Op::Softmax, Op::LogSumExp, Op::LogSoftmaxVjp] {
            let logits = Stored::row(Dtype::F32, Character::Wide, shape.iter().product(), 3);
            let question = Question::of_logits(op, logits, &shape, 1);
            assert!(judged(&question, &device, &format!("{op} of {shape:?}")));
        }
    }
}

#[test]
fn special_columns() {
    for device in hardware().into_iter().map(Processor::Gpu) {
        for classes in [3, 31, 300, 1500] {
            let rows: Vec<Vec<f32>> = special_rows(classes).into_iter().map(|(_, row)| row).collect();
            for columns in rows.chunks(3) {
                let across = transposed(columns);
                let logits = Stored::of(Dtype::F32, across.iter().map(|&logit| f64::from(logit)));
                for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp] {
                    let question = Question::new(op, logits.clone(), &[1, classes, columns.len()], 1);
                    assert!(judged(&question, &device, &format!("{op} of special columns of {classes}")));
                }
            }
        }
    }
}

#[test]
fn masks_and_temperatures_of_columns() {
    let random = &mut Random::new(9);
    for (outer, classes, inner) in [(5, 7, 3), (3, 130, 2), (2, 1100, 3), (2, 40, 70)] {
        let shape = [outer, classes, inner];
        let elements = outer * classes * inner;
        let mask: Vec<bool> = (0..elements).map(|_| random.below(4) > 0).collect();
        let none = Adjusted::default;
        let adjustments = [
            Adjusted { mask: Some((mask, shape.to_vec())), ..none() },
            Adjusted {
                lengths: Some(
                    (0..(outer * inner) as u64).map(|row| (row * 5) % (classes as u64 + 1)).collect(),
                ),
                temperature: Some(Temperatures::PerRow(Stored::of(
                    Dtype::F32,
                    (0..outer * inner).map(|row| 0.5 + row as f64),
                ))),
                ..none()
            },
        ];
        let logits = Stored::row(Dtype::F32, Character::Normal, elements, 3);
        for device in hardware().into_iter().map(Processor::Gpu) {
            for (place, adjusted) in adjustments.iter().enumerate() {
                for op in [Op::Softmax, Op::LogSumExp, Op::LogSoftmaxVjp] {
                    let question =
                        Question::of_logits(op, logits.clone(), &shape, 1).adjusted(adjusted.clone());
                    assert!(judged(
                        &question,
                        &device,
                        &format!("{op} of {shape:?} under adjustment {place}")
                    ));
                }
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Whether a lane has a column alone or in a tile, beside how many others, and in which of how many slabs.
#[test]
fn a_column_has_the_same_bits_wherever_it_stands_and_however_wide_the_slab() {
    let Some(device) = gpu().map(as_hardware) else { return };
    let devices = [with_small_tiles(&device), device];
    for classes in LENGTHS {
        let column: Vec<f32> = Character::Normal.row(classes, 11);
        let others: Vec<f32> = Character::Wide.row(classes, 12);
        for op in [Op::Softmax, Op::LogSumExp, Op::LogSoftmaxVjp] {
            let mut expected: Option<Vec<u32>> = None;
            for (outer, inner, place) in
                [(1, 2, 0), (1, 3, 2), (9, 3, 13), (3, 5, 9), (40, 7, 270), (1, 65, 64), (2, 130, 177)]
            {
                if classes > 1000 && outer > 9 {
                    continue;
                }
                let slabs: Vec<f32> = (0..outer)
                    .flat_map(|slab| {
                        let of =
                            |at| if slab * inner + at == place { column.clone() } else { others.clone() };
                        transposed(&(0..inner).map(of).collect::<Vec<_>>())
                    })
                    .collect();
                let beside: Vec<f32> = slabs.iter().map(|logit| 0.25 * logit).collect();
                let shape = [outer, classes, inner];
                for device in &devices {
                    let request = Request::new(op, &slabs, &shape, 1);
                    let request = if op == Op::LogSoftmaxVjp { request.cotangent(&beside) } else { request };
                    let result = device.answer_blocking::<f32>(&request).unwrap();
                    let values = if op == Op::LogSumExp { 1 } else { classes };
                    let slab = &result[place / inner * values * inner..][..values * inner];
                    let found: Vec<f32> = slab.iter().skip(place % inner).step_by(inner).copied().collect();
                    let expected = expected.get_or_insert_with(|| bits(&found));
                    assert!(&bits(&found) == expected, "{op} {shape:?} at {place}");
                }
            }
        }
    }
}

/// Over windows of slabs, of columns and of chunks.
#[test]
fn windows_do_not_show_in_the_bits() {
    let Some(device) = gpu().map(as_hardware) else { return };
    let mut small = device.capabilities().clone();
    small.binding_bytes = 96 << 10;
    let mut short = device.capabilities().clone();
    short.dispatch_elements = 1000;
    let in_windows = [small, short].map(|capabilities| device.planning_with(capabilities));
    for shape in [[50, 700, 3], [7, 20_001, 2], [2, 3000, 20], [300, 10, 3], [3, 40, 200], [1, 300, 80]] {
        let count: usize = shape.iter().product();
        let logits: Vec<f32> = Character::Normal.row(count, 5);
        let half: Vec<f16> = logits.iter().map(|&logit| f16::from_f32(logit)).collect();
        for op in [Op::Softmax, Op::SignedLogSumExp] {
            let of = |gpu: &Gpu| {
                let request = Request::new(op, &logits, &shape, 1);
                let request = if op == Op::Softmax { request } else { request.weights(&logits) };
                bits(&gpu.answer_blocking::<f32>(&request).unwrap())
            };
            let whole = of(&device);
            assert!(in_windows.iter().all(|gpu| of(gpu) == whole), "{op} of {shape:?}");
        }
        let of = |gpu: &Gpu| -> Vec<u16> {
            let answer = gpu.answer_blocking::<f16>(&Request::new(Op::Softmax, &half, &shape, 1)).unwrap();
            answer.iter().map(|value| value.to_bits()).collect()
        };
        let whole = of(&device);
        assert!(in_windows.iter().all(|gpu| of(gpu) == whole), "f16 of {shape:?}");
    }
}
