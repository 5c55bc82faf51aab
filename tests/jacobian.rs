//! The Jacobians of softmax and log-softmax: against the truth within the promised bounds, against finite
//! differences, in every shape and through every kind of window; and the judge of them, fed wrong answers.

mod common;

use common::device::{as_hardware, gpu, plain_gpu};
use common::judge::{Judged, Worst, judge_jacobians};
use common::rows_of_interest::{CLASSES, Character, Logit, special_rows};
use wgpu_softmax::{
    Adjustment, Axes, Cpu, Dtype, Element, Error, FullyMasked, Gpu, Kernel, Op, Options, Plan, Request, Rows,
    bf16, f16, reference, result_shape, wgpu,
};

const JACOBIANS: [Op; 2] = [Op::Jacobian, Op::LogSoftmaxJacobian];

/// Rows of one length, fewer where their Jacobians are large.
fn rows_of<T: Logit>(classes: usize) -> Vec<T> {
    let count = match classes {
        0..70 => usize::MAX,
        70..300 => 20,
        300..1100 => 5,
        _ => 1,
    };
    let special = special_rows(classes).into_iter().map(|(_, row)| row);
    let step = if classes < 70 { 1 } else { 7 };
    let characters = Character::ALL.iter().map(|character| character.row(classes, 3));
    characters.chain(special.step_by(step)).take(count).flatten().collect()
}

fn lengths() -> impl Iterator<Item = usize> {
    CLASSES.into_iter().filter(|&classes| classes <= 4097)
}

fn judged<T: Element + Judged>(
    compute: impl Fn(Op, &[T], &[usize]) -> Vec<T>,
    logits: &[T],
    classes: usize,
) -> f64 {
    let rows = Rows::batch((logits.len() / classes) as u64, classes as u64).unwrap();
    let mut worst: f64 = 0.0;
    for op in JACOBIANS {
        let result = compute(op, logits, &[logits.len() / classes, classes]);
        let Worst { units, .. } = judge_jacobians(op, logits, &rows, &result, &Options::default()).unwrap();
        worst = worst.max(units);
    }
    worst
}

fn on_cpu<T: Element>(op: Op, logits: &[T], shape: &[usize]) -> Vec<T> {
    Cpu::new().compute(op, logits, shape, -1, &Options::default()).unwrap()
}

fn on(gpu: &Gpu) -> impl Fn(Op, &[f32], &[usize]) -> Vec<f32> {
    |op, logits, shape| gpu.compute_blocking(op, logits, shape, -1, &Options::default()).unwrap()
}

#[test]
fn every_length_and_character_on_the_cpu() {
    let mut worst = [0.0f64; 2];
    for classes in lengths() {
        worst[0] = worst[0].max(judged(on_cpu, &rows_of::<f32>(classes), classes));
        worst[1] = worst[1].max(judged(on_cpu, &rows_of::<f64>(classes), classes));
    }
    println!("CPU: at worst {:.2} units of u in f32, {:.2} in f64", worst[0], worst[1]);
}

#[test]
fn every_length_and_character_on_the_gpu() {
    let hardware = gpu().map(as_hardware);
    for gpu in [gpu(), plain_gpu(), hardware.as_ref()].into_iter().flatten() {
        let units = lengths().map(|classes| judged(on(gpu), &rows_of::<f32>(classes), classes));
        println!("{}: at worst {:.2} units of u", gpu.info().name, units.fold(0.0, f64::max));
    }
}

#[test]
fn many_rows_and_many_windows() {
    let Some(gpu) = gpu() else { return };
    let mut capabilities = gpu.capabilities().clone();
    capabilities.binding_bytes = 40 << 10;
    let small = gpu.planning_with(capabilities);
    let mut capabilities = gpu.capabilities().clone();
    capabilities.dispatch_elements = 3000;
    let short = gpu.planning_with(capabilities);
    for (count, classes) in [(70_000, 3), (3000, 10), (50, 100), (3, 501), (1, 2000)] {
        let logits: Vec<f32> = Character::Normal.row(count * classes, 9);
        judged(on(gpu), &logits, classes);
        judged(on(&small), &logits, classes);
        for op in JACOBIANS {
            let in_windows = on(&small)(op, &logits, &[count, classes]);
            let whole = on(gpu)(op, &logits, &[count, classes]);
            assert!(in_windows == whole, "{op} {count} × {classes}");
            let in_short = on(&short)(op, &logits, &[count, classes]);
            assert!(in_short == whole, "{op} {count} × {classes} in short dispatches");
        }
    }
}

/// K·K over one binding, in a tensor on the device.
#[test]
fn a_jacobian_of_more_than_a_binding() {
    let Some(gpu) = gpu() else { return };
    let classes = 6000;
    let logits: Vec<f32> = Character::Normal.row(classes, 9);
    let rows = Rows::batch(1, classes as u64).unwrap();
    let plan = Plan::new(Op::Jacobian, Dtype::F32, &rows, &Options::default(), gpu.capabilities()).unwrap();
    assert_eq!(plan.kernel(), Kernel::Jacobian);
    assert!(plan.windows() > 1 || gpu.capabilities().binding_bytes > 144_000_000);
    let tensor = gpu.upload(&logits, &[1, classes]).unwrap();
    let jacobian = tensor.compute(Op::Jacobian, -1, &Options::default()).unwrap();
    assert_eq!(jacobian.shape(), [1, classes, classes]);
    let result = jacobian.read_blocking().unwrap();
    judge_jacobians(Op::Jacobian, &logits, &rows, &result, &Options::default()).unwrap();
}

/// Rows i of a Jacobian, asked for alone, are the rows of the whole one, bit for bit.
#[test]
fn some_rows_of_a_jacobian() {
    let options = Options::default();
    for (count, classes) in [(1, 1), (3, 10), (2, 129), (1, 1000)] {
        let logits: Vec<f32> = Character::Normal.row(count * classes, 6);
        for (start, end) in
            [(0, classes), (0, 1), (classes / 2, classes), (classes / 3, classes / 3), (classes - 1, classes)]
        {
            let range = start as u64..end as u64;
            let shape = [count, classes];
            for op in JACOBIANS {
                let expected = |whole: Vec<f32>| -> Vec<f32> {
                    let matrices = whole.chunks(classes * classes);
                    matrices.flat_map(|matrix| matrix[start * classes..end * classes].to_vec()).collect()
                };
                let some =
                    Cpu::new().jacobian_rows(op, &logits, &shape, -1, range.clone(), &options).unwrap();
                assert!(some == expected(on_cpu(op, &logits, &shape)));
                let rows = Rows::batch(count as u64, classes as u64)
                    .unwrap()
                    .with_jacobian_rows(range.clone())
                    .unwrap();
                let wide: Vec<f64> = logits.iter().map(|&x| x.into()).collect();
                assert_eq!(reference::compute(op, &wide, &rows, &options).len(), some.len());
                let Some(gpu) = gpu() else { continue };
                let some =
                    gpu.jacobian_rows_blocking(op, &logits, &shape, -1, range.clone(), &options).unwrap();
                assert!(some == expected(on(gpu)(op, &logits, &shape)), "{op} {start}..{end} of {classes}");
            }
        }
    }
    let beyond = Cpu::new().jacobian_rows(Op::Jacobian, &[0.0f32; 3], &[3], -1, 2..4, &options);
    assert_eq!(beyond, Err(Error::JacobianRowsOutOfRange { start: 2, end: 4, classes: 3 }));
}

/// A context for which workgroup memory has no room for a row's classes, so that blocks are written by columns.
fn by_columns(gpu: &Gpu) -> Gpu {
    let mut capabilities = gpu.capabilities().clone();
    capabilities.workgroup_bytes = 0;
    gpu.planning_with(capabilities)
}

/// Contexts that may write blocks from one element to the next.
fn flat() -> Vec<Gpu> {
    let all = [gpu().cloned(), gpu().map(as_hardware), plain_gpu().cloned()];
    all.into_iter().flatten().collect()
}

/// Odd numbers of classes, even ones that are no multiple of four, and multiples; more and fewer than a block has rows
/// and than lanes there are; the longest that workgroup memory keeps, and the next.
const WRITTEN: [usize; 26] = [
    1, 2, 3, 5, 6, 7, 9, 10, 14, 17, 18, 32, 33, 34, 63, 65, 66, 67, 101, 130, 257, 258, 1001, 1022, 1023,
    1026,
];

/// Each element has the same bits, whatever stands beside it in the quad or the word that it is stored with.
#[test]
fn however_a_block_is_written() {
    let options = Options::default();
    for gpu in flat() {
        let columns = by_columns(&gpu);
        for (turn, classes) in WRITTEN.into_iter().enumerate() {
            let count = if classes > 200 { 2 } else { 7 };
            let shape = [count, classes];
            let logits: Vec<f32> = Character::Wide.row(count * classes, 6);
            let halves: Vec<f16> = logits.iter().map(|&x| f16::from_f32(x)).collect();
            let mask: Vec<bool> = (0..classes).map(|class| class % 5 != 2).collect();
            let adjustment = Adjustment::default().mask(&mask, &shape[1..]).temperature(0.7);
            let what = format!("{count} × {classes} on {}", gpu.info().name);
            for (place, op) in JACOBIANS.into_iter().enumerate() {
                let plain = Request::new(op, &logits, &shape, -1);
                let masked = Request::new(op, &logits, &shape, -1).adjustment(adjustment);
                for request in [&plain, &masked] {
                    let written = gpu.answer_blocking::<f32>(request).unwrap();
                    let expected = columns.answer_blocking::<f32>(request).unwrap();
                    assert!(same_bits(&written, &expected), "{op} {what}");
                }
                // Both share words alike: one with each operation and length, as each has shaders of its own, which software
                // drivers compile for long.
                if (turn + place).is_multiple_of(2) {
                    let narrow = Request::new(op, &halves, &shape, -1);
                    let written = gpu.answer_blocking::<f16>(&narrow).unwrap();
                    assert!(
                        written == columns.answer_blocking::<f16>(&narrow).unwrap(),
                        "{op} {what} in f16"
                    );
                } else {
                    let written = gpu.answer_blocking::<bf16>(&plain).unwrap();
                    assert!(
                        written == columns.answer_blocking::<bf16>(&plain).unwrap(),
                        "{op} {what} to bf16"
                    );
                }
                for (start, end) in [(0, 1), (classes / 2, classes), (classes / 3, classes / 3 + 2)] {
                    let range = start as u64..end.min(classes) as u64;
                    let some =
                        gpu.jacobian_rows_blocking(op, &logits, &shape, -1, range.clone(), &options).unwrap();
                    let expected =
                        columns.jacobian_rows_blocking(op, &logits, &shape, -1, range, &options).unwrap();
                    assert!(same_bits(&some, &expected), "{op} {start}..{end} of {what}");
                }
            }
        }
        // Rows without probabilities, and ones that hold nothing but −∞.
        for classes in [5, 10, 34] {
            let special: Vec<f32> =
                special_rows(classes).into_iter().flat_map(|(_, row): (_, Vec<f32>)| row).collect();
            for op in JACOBIANS {
                let shape = [special.len() / classes, classes];
                let written = on(&gpu)(op, &special, &shape);
                assert!(
                    same_bits(&written, &on(&columns)(op, &special, &shape)),
                    "{op} of {classes} special"
                );
            }
        }
    }
}

fn same_bits(left: &[f32], right: &[f32]) -> bool {
    bytemuck::cast_slice::<f32, u32>(left) == bytemuck::cast_slice::<f32, u32>(right)
}

/// Windows that start at no quad, and blocks of few rows.
#[test]
fn windows_and_short_dispatches_of_flat_blocks() {
    for gpu in flat() {
        let columns = by_columns(&gpu);
        for (binding, dispatch) in
            [(40 << 10, 1 << 26), (5 << 10, 1 << 26), (128 << 20, 3000), (128 << 20, 700)]
        {
            let mut capabilities = gpu.capabilities().clone();
            (capabilities.binding_bytes, capabilities.dispatch_elements) = (binding, dispatch);
            let cut = gpu.planning_with(capabilities);
            for (count, classes) in
                [(3000, 3), (700, 5), (300, 10), (40, 33), (40, 34), (9, 101), (3, 501), (2, 1022)]
            {
                let logits: Vec<f32> = Character::Normal.row(count * classes, 9);
                let shape = [count, classes];
                for op in JACOBIANS {
                    let what = format!("{op} {count} × {classes}, {binding}, {dispatch}");
                    assert!(on(&cut)(op, &logits, &shape) == on(&columns)(op, &logits, &shape), "{what}");
                }
            }
        }
    }
}

/// Results that start and lie anywhere in their buffer; what is beside them stays.
#[test]
fn flat_blocks_leave_what_is_beside_them_alone() {
    let options = Options::default();
    for gpu in flat() {
        let buffer = |contents: &[f32]| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 4 * contents.len() as u64,
                usage,
                mapped_at_creation: true,
            });
            buffer.slice(..).get_mapped_range_mut().unwrap().copy_from_slice(bytemuck::cast_slice(contents));
            buffer.unmap();
            buffer
        };
        let count = 9;
        for classes in [3usize, 5, 10, 12, 33, 34] {
            let logits: Vec<f32> = Character::Normal.row(count * classes, 9);
            let expected = on(&by_columns(&gpu))(Op::Jacobian, &logits, &[count, classes]);
            let square = classes * classes;
            for (skipped, offset, padding) in
                [(0, 0, 0), (1, 0, 0), (0, 1, 0), (4, 2, 2), (2, 2, 0), (0, 0, 1), (3, 0, 4)]
            {
                let rows = Rows::batch(count as u64, classes as u64).unwrap();
                let pitch = square + padding;
                let result_rows = rows
                    .result(Op::Jacobian)
                    .with_pitch(pitch as u64)
                    .and_then(|rows| rows.with_offset(offset as u64))
                    .unwrap();
                let from = buffer(&logits);
                let mut there = vec![9.0f32; skipped + offset + count * pitch + 5];
                let to = buffer(&there);
                let prepared = gpu
                    .prepare_into_rows(
                        Op::Jacobian,
                        &rows,
                        from.slice(..),
                        &result_rows,
                        to.slice(4 * skipped as u64..),
                        &options,
                    )
                    .unwrap();
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                prepared.record(&mut encoder);
                gpu.queue().submit([encoder.finish()]);
                for (row, matrix) in expected.chunks(square).enumerate() {
                    let start = skipped + offset + row * pitch;
                    there[start..start + square].copy_from_slice(matrix);
                }
                let found = gpu.tensor(to.slice(..), &[there.len()]).unwrap().read_blocking().unwrap();
                assert!(found == there, "{classes} classes, {skipped}, {offset}, {padding}");
            }
        }
    }
}

/// A Jacobian larger than the window that one call moves at a time, and than a buffer.
#[test]
fn a_jacobian_larger_than_a_buffer() {
    let Some(gpu) = gpu() else { return };
    let classes = 5000;
    let logits: Vec<f32> = Character::Normal.row(classes, 9);
    let mut capabilities = gpu.capabilities().clone();
    capabilities.buffer_bytes = 1 << 20;
    let rows = Rows::batch(1, classes as u64).unwrap();
    for gpu in [gpu.clone(), gpu.planning_with(capabilities)] {
        let result = gpu.jacobian_blocking(&logits, &[classes], -1).unwrap();
        judge_jacobians(Op::Jacobian, &logits, &rows, &result, &Options::default()).unwrap();
    }
}

#[test]
fn finite_differences_agree() {
    let step = 1e-5;
    for classes in [1, 2, 3, 7, 20] {
        let row: Vec<f64> = Character::Normal.row(classes, 4);
        for (op, function) in [
            (Op::Jacobian, reference::softmax as fn(&[f64]) -> Vec<f64>),
            (Op::LogSoftmaxJacobian, reference::log_softmax),
        ] {
            let jacobian = on_cpu(op, &row, &[classes]);
            for j in 0..classes {
                let moved = |distance: f64| {
                    let mut moved = row.clone();
                    moved[j] += distance;
                    function(&moved)
                };
                for (i, (ahead, behind)) in moved(step).iter().zip(moved(-step)).enumerate() {
                    let difference = (ahead - behind) / (2.0 * step);
                    assert!(
                        (jacobian[i * classes + j] - difference).abs() < 1e-8,
                        "{op} ({i}, {j}) of {classes}"
                    );
                }
            }
        }
    }
}

#[test]
fn any_axes_move_the_classes_to_the_end() {
    let shape = [2, 3, 4];
    let logits: Vec<f32> = Character::Normal.row(24, 4);
    for axes in
        [Axes::from(0), Axes::from(1), Axes::from(-1), Axes::from([0, 2]), Axes::from([0, 1]), Axes::from(..)]
    {
        let kept = (0..3).filter(|axis| !axes.resolve(3).unwrap().contains(axis));
        let kept: Vec<usize> = kept.map(|axis| shape[axis]).collect();
        let classes = 24 / kept.iter().product::<usize>();
        let expected: Vec<usize> = kept.iter().copied().chain([classes; 2]).collect();
        assert_eq!(result_shape(Op::Jacobian, &shape, &axes, false).unwrap(), expected);

        let options = Options::default();
        let result = Cpu::new().compute(Op::Jacobian, &logits, &shape, axes.clone(), &options).unwrap();
        // The rows of softmax along the same axes, one after the other, by their column sums: Σᵢ pᵢ² = 1 − trace.
        let squares: f32 =
            Cpu::new().softmax(&logits, &shape, axes.clone()).unwrap().iter().map(|p| p * p).sum();
        let matrices = result.chunks(classes * classes);
        let trace: f32 = matrices.clone().map(|matrix| matrix.iter().step_by(classes + 1).sum::<f32>()).sum();
        assert!((squares + trace - matrices.len() as f32).abs() < 1e-5);
        if let Some(gpu) = gpu() {
            let on_gpu = gpu.compute_blocking(Op::Jacobian, &logits, &shape, axes, &options).unwrap();
            assert!(on_gpu.iter().zip(&result).all(|(gpu, cpu)| (gpu - cpu).abs() < 1e-6));
        }
    }
}

#[test]
fn wholly_masked_and_empty_rows() {
    let zero = Options::default().fully_masked(FullyMasked::Zero);
    let logits = [f32::NEG_INFINITY; 3];
    for op in JACOBIANS {
        assert_eq!(Cpu::new().compute(op, &logits, &[1, 3], -1, &zero).unwrap(), [0.0; 9]);
        assert_eq!(Cpu::new().compute::<f32>(op, &[], &[3, 0], -1, &zero).unwrap(), []);
        let Some(gpu) = gpu() else { continue };
        assert_eq!(gpu.compute_blocking(op, &logits, &[1, 3], -1, &zero).unwrap(), [0.0; 9]);
        assert_eq!(gpu.compute_blocking::<f32>(op, &[], &[3, 0], -1, &zero).unwrap(), []);
        assert_eq!(gpu.compute_blocking::<f32>(op, &[], &[0, 3], -1, &zero).unwrap(), []);
    }
}

#[test]
fn what_a_jacobian_cannot_be() {
    let options = Options::default();
    let wide = Cpu::new().compute(Op::Jacobian, &[0.0f32; 1], &[1, usize::MAX / 1000], -1, &options);
    assert!(matches!(wide, Err(Error::SizeOverflow { .. } | Error::LengthMismatch { .. })));
    let Some(gpu) = gpu() else { return };
    let tensor = gpu.upload(&[0.0; 24], &[2, 3, 4]).unwrap();
    assert!(matches!(tensor.compute(Op::Jacobian, 1, &options), Err(Error::KernelUnsuitable { .. })));
    assert!(matches!(tensor.compute_in_place(Op::Jacobian, -1, &options), Err(Error::NotInPlace { .. })));
    let forced = options.kernel(Kernel::WorkgroupPerRow);
    let wrong = gpu.compute_blocking(Op::Jacobian, &[0.0f32; 4], &[4], -1, &forced);
    assert!(matches!(wrong, Err(Error::KernelUnsuitable { .. })));
    let forced = options.kernel(Kernel::Jacobian);
    let wrong = gpu.compute_blocking(Op::Softmax, &[0.0f32; 4], &[4], -1, &forced);
    assert!(matches!(wrong, Err(Error::KernelUnsuitable { .. })));
}

#[test]
fn wrong_jacobians_are_refused() {
    let logits = [1.25f32, 2.44, 0.78, 0.12];
    let rows = Rows::batch(1, 4).unwrap();
    let options = Options::default();
    let right = on_cpu(Op::Jacobian, &logits, &[1, 4]);
    assert!(judge_jacobians(Op::Jacobian, &logits, &rows, &right, &options).is_ok());
    for place in 0..16 {
        for wrong in [right[place] * (1.0 + 5e-6), -right[place], f32::NAN, 0.0] {
            let mut result = right.clone();
            result[place] = wrong;
            assert!(judge_jacobians(Op::Jacobian, &logits, &rows, &result, &options).is_err());
        }
    }
    assert!(judge_jacobians(Op::LogSoftmaxJacobian, &logits, &rows, &right, &options).is_err());
    assert!(judge_jacobians(Op::Jacobian, &logits, &rows, &right[1..], &options).is_err());

    // p − p·p, the way of the einsum tutorials, cancels where p is nearly 1.
    let peaked = [20.0f32, 0.0];
    let p = Cpu::new().softmax(&peaked, &[2], -1).unwrap();
    let cancelled = [p[0] - p[0] * p[0], -p[0] * p[1], -p[1] * p[0], p[1] - p[1] * p[1]];
    let rows = Rows::batch(1, 2).unwrap();
    assert!(judge_jacobians(Op::Jacobian, &peaked, &rows, &cancelled, &options).is_err());
    let right = on_cpu(Op::Jacobian, &peaked, &[1, 2]);
    assert!(judge_jacobians(Op::Jacobian, &peaked, &rows, &right, &options).is_ok());
}
