//! Small work on resident data: one dispatch and one submission, and after the first call no memory, neither the
//! device's nor the host's, beyond what wgpu takes for any submission.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::device::gpu;
use wgpu_softmax::wgpu::{self, BufferUsages};
use wgpu_softmax::{Adjustment, Cpu, Dtype, Gpu, Op, Options, Request, Rows, Tensor, TensorRequest};

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's, with the same arguments; the counter is plain memory of the
// thread's, which takes no allocation and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending counts no longer.
        let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread during `work`, which settles after some turns: wgpu's own lists grow at first, and now
/// and then.
fn fewest_allocations(gpu: &Gpu, mut work: impl FnMut()) -> usize {
    let turn = |_| {
        let before = REQUESTS.get();
        work();
        let after = REQUESTS.get();
        gpu.wait_blocking().unwrap();
        after - before
    };
    (0..30).map(turn).min().unwrap()
}

/// What the device holds: buffers and their bytes, bind groups, pipelines, encoders, blocks of memory.
fn held(gpu: &Gpu) -> [isize; 6] {
    gpu.wait_blocking().unwrap();
    let counters = gpu.device().get_internal_counters().hal;
    [
        counters.buffers.read(),
        counters.buffer_memory.read(),
        counters.bind_groups.read(),
        counters.compute_pipelines.read(),
        counters.command_encoders.read(),
        counters.memory_allocations.read(),
    ]
}

/// A context of its own, so that other tests' buffers are not counted.
fn own() -> Option<Gpu> {
    Some(Gpu::named_blocking(&gpu()?.info().name).unwrap())
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 7919 + 13) % 1000) as f32 * 0.03 - 15.0).collect()
}

fn on_cpu(op: Op, logits: &[f32], shape: &[usize]) -> Vec<f32> {
    Cpu::new().answer(&Request::new(op, logits, shape, -1)).unwrap()
}

fn expect(actual: &Tensor, expected: &[f32]) {
    let actual = actual.read_blocking().unwrap();
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        approx::assert_relative_eq!(actual, expected, max_relative = 1e-5, epsilon = 1e-6);
    }
}

const SMALL: [[usize; 2]; 2] = [[1, 10], [32, 1000]];

#[test]
fn a_small_call_is_one_dispatch() {
    let Some(gpu) = gpu() else { return };
    for [rows, classes] in SMALL {
        let rows = Rows::batch(rows as u64, classes as u64).unwrap();
        for op in Op::ROW_WISE {
            let plan =
                wgpu_softmax::Plan::new(op, Dtype::F32, &rows, &Options::default(), gpu.capabilities());
            assert_eq!(plan.unwrap().dispatches(), 1, "{op} of {rows}");
        }
    }
}

/// Asking again allocates exactly what recording and submitting by hand does, error scopes and all: nothing is this
/// crate's.
#[test]
fn a_second_call_allocates_nothing_beyond_the_submission() {
    let Some(gpu) = own() else { return };
    let options = Options::default();
    for shape in SMALL {
        let data = ramp(shape.iter().product());
        for op in [Op::Softmax, Op::LogSoftmax, Op::LogSumExp] {
            let logits = gpu.upload(&data, &shape).unwrap();
            let mine = gpu.upload(&data, &shape).unwrap();
            let rows = Rows::batch(shape[0] as u64, shape[1] as u64).unwrap();
            let result =
                gpu.empty(&wgpu_softmax::result_shape(op, &shape, &(-1).into(), false).unwrap()).unwrap();
            let (from, to) = (mine.buffer().slice(..), result.buffer().slice(..));
            let prepared = gpu.prepare(op, &rows, from, to, &options).unwrap();
            let by_hand = || {
                let device = gpu.device();
                let scopes = [
                    wgpu::ErrorFilter::Internal,
                    wgpu::ErrorFilter::OutOfMemory,
                    wgpu::ErrorFilter::Validation,
                ]
                .map(|filter| device.push_error_scope(filter));
                let mut encoder = device.create_command_encoder(&Default::default());
                prepared.record(&mut encoder);
                gpu.queue().submit([encoder.finish()]);
                for scope in scopes.into_iter().rev() {
                    assert!(pollster::block_on(scope.pop()).is_none());
                }
            };
            let by_hand = fewest_allocations(&gpu, by_hand);
            assert!(by_hand > 0, "the allocator counts");

            let into = || logits.compute_into(op, -1, &options, &result).unwrap();
            assert_eq!(fewest_allocations(&gpu, into), by_hand, "{op} of {shape:?} into a tensor");
            let new = || drop(logits.compute(op, -1, &options).unwrap());
            assert_eq!(fewest_allocations(&gpu, new), by_hand, "{op} of {shape:?} into a new tensor");
            let scaled = Adjustment::default().temperature(0.5);
            let request = TensorRequest::new(op, -1).adjustment(scaled);
            let with_temperature = || drop(logits.answer(&request).unwrap());
            assert_eq!(
                fewest_allocations(&gpu, with_temperature),
                by_hand,
                "{op} of {shape:?} with a temperature"
            );
            if op != Op::LogSumExp {
                let mut tensor = Some(logits);
                let in_place = || {
                    tensor = tensor.take().map(|tensor| tensor.compute_in_place(op, -1, &options).unwrap())
                };
                assert_eq!(fewest_allocations(&gpu, in_place), by_hand, "{op} of {shape:?} in place");
            }
        }
    }
}

/// A submission of an empty pass allocates on the host, too. A dispatch takes this many requests more, all of them
/// wgpu's.
const BEYOND_AN_EMPTY_PASS: usize = 16;

#[test]
fn a_second_call_allocates_little_more_than_an_empty_pass() {
    let Some(gpu) = own() else { return };
    let empty = fewest_allocations(&gpu, || {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        drop(encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);
    });
    for shape in SMALL {
        let logits = gpu.upload(&ramp(shape.iter().product()), &shape).unwrap();
        let call = || drop(logits.compute(Op::Softmax, -1, &Options::default()).unwrap());
        let ours = fewest_allocations(&gpu, call);
        assert!(ours <= empty + BEYOND_AN_EMPTY_PASS, "{shape:?}: {ours} beside {empty}");
    }
}

#[test]
fn a_second_call_takes_no_device_memory() {
    let Some(gpu) = own() else { return };
    let options = Options::default();
    for shape in SMALL {
        let data = ramp(shape.iter().product());
        let logits = gpu.upload(&data, &shape).unwrap();
        let truth = on_cpu(Op::LogSoftmax, &data, &shape);
        let mut memory = vec![0.0; truth.len()];
        // A chain of tensors that are dropped in one order, then in the other.
        let mut chain = |backwards: bool| {
            let first = logits.compute(Op::LogSoftmax, -1, &options).unwrap();
            let second = first.compute(Op::LogSoftmax, -1, &options).unwrap();
            second.read_into_blocking(&mut memory).unwrap();
            let (one, other) = if backwards { (second, first) } else { (first, second) };
            drop(one);
            drop(other);
            for (actual, expected) in memory.iter().zip(&truth) {
                approx::assert_relative_eq!(actual, expected, max_relative = 1e-5, epsilon = 1e-6);
            }
            held(&gpu)
        };
        let first = chain(false);
        assert!(first[0] > 0 && first[2] > 0, "the counters count");
        for turn in 0..6 {
            assert_eq!(chain(turn % 2 == 0), first, "{shape:?}");
        }
    }
}

#[test]
fn another_question_has_another_answer() {
    let Some(gpu) = own() else { return };
    let shape = [6, 8];
    let (data, other_data, third_data) = (ramp(48), ramp(100)[52..].to_vec(), ramp(148)[100..].to_vec());
    let options = Options::default();
    let [logits, other, third] =
        [&data, &other_data, &third_data].map(|data| gpu.upload(data, &shape).unwrap());
    for _ in 0..3 {
        expect(&logits.compute(Op::Softmax, -1, &options).unwrap(), &on_cpu(Op::Softmax, &data, &shape));
        expect(
            &logits.compute(Op::LogSoftmax, -1, &options).unwrap(),
            &on_cpu(Op::LogSoftmax, &data, &shape),
        );
        expect(&other.compute(Op::Softmax, -1, &options).unwrap(), &on_cpu(Op::Softmax, &other_data, &shape));
        let along_0: Vec<f32> = Cpu::new().softmax(&data, &shape, 0).unwrap();
        expect(&logits.compute(Op::Softmax, 0, &options).unwrap(), &along_0);
        for (operand, values) in [(&other, &other_data), (&third, &third_data)] {
            let request = TensorRequest::new(Op::Vjp, -1).operand(operand);
            let expected = Request::new(Op::Vjp, &data, &shape, -1).cotangent(values);
            expect(&logits.answer(&request).unwrap(), &Cpu::new().answer::<f32>(&expected).unwrap());
        }
        for temperature in [0.5, 2.0] {
            let adjustment = Adjustment::default().temperature(temperature).causal(2);
            let request = TensorRequest::new(Op::Softmax, -1).adjustment(adjustment);
            let expected = Request::new(Op::Softmax, &data, &shape, -1).adjustment(adjustment);
            expect(&logits.answer(&request).unwrap(), &Cpu::new().answer::<f32>(&expected).unwrap());
        }
        // A mask is read anew each time, whatever lies where the last one lay.
        for kept in [3, 5] {
            let mask: Vec<bool> = (0..8).map(|class| class < kept).collect();
            let adjustment = Adjustment::default().mask(&mask, &[8]);
            let request = TensorRequest::new(Op::Softmax, -1).adjustment(adjustment);
            let expected = Request::new(Op::Softmax, &data, &shape, -1).adjustment(adjustment);
            expect(&logits.answer(&request).unwrap(), &Cpu::new().answer::<f32>(&expected).unwrap());
        }
    }
    // Another shape, in the memory of the tensor that was there.
    drop(logits);
    let reshaped = gpu.upload(&data, &[8, 6]).unwrap();
    expect(&reshaped.compute(Op::Softmax, -1, &options).unwrap(), &on_cpu(Op::Softmax, &data, &[8, 6]));
    // Half a word more or less is another tensor.
    drop(reshaped);
    for count in [3, 4, 3] {
        let halves: Vec<_> = ramp(count).iter().map(|&logit| wgpu_softmax::f16::from_f32(logit)).collect();
        let tensor = gpu.upload_elements(&halves, &[1, count]).unwrap();
        let wide: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
        for _ in 0..2 {
            let request = TensorRequest::new(Op::LogSumExp, -1).dtype(Dtype::F32);
            expect(&tensor.answer(&request).unwrap(), &on_cpu(Op::LogSumExp, &wide, &[1, count]));
        }
    }
}

/// A buffer that has been shown to anybody is nobody's again.
#[test]
fn what_was_recorded_stays_valid_when_the_tensors_are_gone() {
    let Some(gpu) = own() else { return };
    let (shape, options) = ([2, 5], Options::default());
    let data = ramp(10);
    let rows = Rows::batch(2, 5).unwrap();
    let (prepared, result) = {
        let logits = gpu.upload(&data, &shape).unwrap();
        let result = gpu.empty(&shape).unwrap();
        logits.compute_into(Op::Softmax, -1, &options, &result).unwrap();
        let (from, to) = (logits.buffer().slice(..), result.buffer().slice(..));
        (gpu.prepare(Op::LogSoftmax, &rows, from, to, &options).unwrap(), result.buffer().clone())
    };
    // As many tensors of that size as there could be spares of.
    let others: Vec<Tensor> = (0..4).map(|_| gpu.upload(&[7.0; 10], &shape).unwrap()).collect();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    prepared.record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
    for other in &others {
        assert_eq!(other.read_blocking().unwrap(), [7.0; 10]);
    }
    expect(&gpu.tensor(result.slice(..), &shape).unwrap(), &on_cpu(Op::LogSoftmax, &data, &shape));
}

#[test]
fn spares_stay_within_their_budget_and_can_be_released() {
    let Some(gpu) = own() else { return };
    let options = Options::default();
    gpu.release_memory();
    let before = held(&gpu);
    let bytes = |count: usize| 4 * count as isize;
    let count = 1 << 16;
    gpu.keep_at_most(3 * bytes(count) as u64);
    let of = |first: usize| {
        let tensors: Vec<Tensor> =
            (0..5).map(|_| gpu.upload(&ramp(count)[..count - first], &[count - first]).unwrap()).collect();
        for tensor in &tensors {
            drop(tensor.compute(Op::Softmax, -1, &options).unwrap());
        }
    };
    for first in 0..4 {
        of(first);
        // Parameters and their like are a few hundred bytes for each operation.
        let kept = held(&gpu)[1] - before[1];
        assert!(kept <= 3 * bytes(count) + (1 << 16), "{kept}");
        assert!(kept >= 2 * bytes(count), "{kept}");
    }
    gpu.release_memory();
    assert_eq!(held(&gpu)[..3], before[..3]);

    // Nothing of the caller's buffers is kept alive, either.
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes(count) as u64,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let tensor = gpu.tensor(buffer.slice(..), &[count]).unwrap();
    drop(tensor.compute(Op::Softmax, -1, &options).unwrap());
    drop(tensor);
    drop(buffer);
    gpu.release_memory();
    assert_eq!(held(&gpu)[..3], before[..3]);

    // No more than so many, however small.
    for length in 1..200 {
        gpu.upload(&ramp(length), &[length]).unwrap().read_blocking().unwrap();
    }
    // And the buffer that was read through.
    assert!(held(&gpu)[0] <= before[0] + 64 + 1);
}

#[test]
fn an_empty_tensor_is_all_zero() {
    let Some(gpu) = own() else { return };
    for _ in 0..3 {
        drop(gpu.upload(&[5.0; 12], &[12]).unwrap());
        assert_eq!(gpu.empty(&[12]).unwrap().read_blocking().unwrap(), [0.0; 12]);
    }
}
