//! Large work in one call goes in windows of a stated budget, two of them under way at a time.

mod common;

use common::device::gpu;
use wgpu_softmax::{Adjustment, CrossEntropy, Element, Gpu, Op, Progress, Request, bf16};

/// A context of its own: its memory is counted, and its budget is small.
fn own() -> Option<Gpu> {
    Some(Gpu::named_blocking(&gpu()?.info().name).unwrap())
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 7919 + 13) % 100_003) as f32 * 3e-4 - 15.0).collect()
}

/// Buffers, and their bytes, that the device holds.
fn held(gpu: &Gpu) -> [isize; 2] {
    let counters = gpu.device().get_internal_counters().hal;
    [counters.buffers.read(), counters.buffer_memory.read()]
}

/// For parameters, bind groups' stand-ins and the partial statistics of long rows.
const BESIDE: isize = 1 << 18;

fn bits<R: Element>(result: &[R]) -> Vec<u8> {
    bytemuck::cast_slice(result).to_vec()
}

#[test]
fn windows_stay_within_the_budget_and_give_the_same_bits() {
    let Some(gpu) = own() else { return };
    let whole = gpu.planning_with(gpu.capabilities().clone());
    let shapes: [(&[usize], isize); 5] = [
        (&[4001, 250], -1),
        (&[40, 25_000], -1),
        (&[1_000_003, 1], -1),
        (&[3, 500, 701], 1),
        (&[60, 130, 128], 0),
    ];
    for (shape, axis) in shapes {
        let logits = ramp(shape.iter().product());
        let cotangent: Vec<f32> = logits.iter().rev().copied().collect();
        let mut requests: Vec<Request<'_>> =
            Op::ROW_WISE.into_iter().map(|op| Request::new(op, &logits, shape, axis)).collect();
        requests.push(Request::new(Op::Vjp, &logits, shape, axis).cotangent(&cotangent));
        for request in &requests {
            let length: usize = request.result_shape(false).unwrap().iter().product();
            let expected: Vec<f32> = whole.answer_blocking(request).unwrap();
            for budget in [1 << 20, 5 << 20, 1 << 30] {
                gpu.release_memory();
                gpu.wait_blocking().unwrap();
                let before = held(&gpu);
                gpu.stream_within(budget);
                let mut result = vec![0f32; length];
                let (mut most, mut seen) = ([0; 2], 0);
                let mut last = Progress::default();
                gpu.answer_observed_blocking(request, &mut result, |progress| {
                    let now = held(&gpu);
                    most = [0, 1].map(|place| most[place].max(now[place] - before[place]));
                    (last, seen) = (progress, seen + 1);
                })
                .unwrap();
                assert_eq!(bits(&result), bits(&expected), "{request:?} within {budget}");
                assert_eq!(last.done, logits.len() as u64);
                assert!(most[1] <= budget as isize + BESIDE, "{shape:?}: {most:?} within {budget}");
                let travels = 8 * logits.len() as u64;
                assert!(seen >= travels / budget, "{seen} windows");
                assert!(budget < 1 << 30 || seen == 1, "{seen} windows");
            }
        }
    }
}

#[test]
fn losses_and_masks_stay_within_the_budget() {
    let Some(gpu) = own() else { return };
    let whole = gpu.planning_with(gpu.capabilities().clone());
    let shape = [5000, 300];
    let logits: Vec<bf16> = ramp(1_500_000).into_iter().map(bf16::from_f32).collect();
    let labels: Vec<i64> = (0..5000).map(|row| row % 300).collect();
    let loss = CrossEntropy::new(&logits, &shape, -1, &labels).with_gradient();
    let mask: Vec<bool> = (0..1_500_000).map(|place| place % 7 != 3).collect();
    let masked =
        Request::new(Op::Softmax, &logits, &shape, -1).adjustment(Adjustment::default().mask(&mask, &shape));
    let losses = |gpu: &Gpu| gpu.cross_entropy_blocking::<f32>(&loss).unwrap();
    let probabilities = |gpu: &Gpu| gpu.answer_blocking::<bf16>(&masked).unwrap();
    let (loss_of_all, probabilities_of_all) = (losses(&whole), probabilities(&whole));
    gpu.release_memory();
    gpu.wait_blocking().unwrap();
    let before = held(&gpu);
    let budget = 4 << 20;
    gpu.stream_within(budget);
    // Each call finds what the other one needed.
    for _ in 0..2 {
        assert_eq!(losses(&gpu), loss_of_all);
        assert_eq!(bits(&probabilities(&gpu)), bits(&probabilities_of_all));
        gpu.wait_blocking().unwrap();
        let kept = held(&gpu)[1] - before[1];
        assert!(kept > 0 && kept <= budget as isize + BESIDE, "{kept}");
    }
}

#[test]
fn a_second_call_in_windows_allocates_no_device_memory() {
    let Some(gpu) = own() else { return };
    gpu.stream_within(1 << 20);
    // An odd and an even number of windows, the last one shorter.
    for rows in [2000, 2300, 2600] {
        let logits = ramp(rows * 250);
        let mut result = vec![0.0f32; logits.len()];
        let shape = [rows, 250];
        let request = Request::new(Op::Softmax, &logits, &shape, -1);
        let mut call = || {
            gpu.answer_into_blocking(&request, &mut result).unwrap();
            gpu.wait_blocking().unwrap();
            held(&gpu)
        };
        let first = call();
        for _ in 0..3 {
            assert_eq!(call(), first, "{rows} rows");
        }
    }
}

/// A call that awaits elsewhere has two windows under way just so, and may be dropped between them.
#[test]
fn an_async_call_streams_too() {
    let Some(gpu) = own() else { return };
    gpu.stream_within(1 << 20);
    let logits = ramp(1_000_000);
    let expected = gpu.softmax_blocking(&logits, &[1000, 1000], -1).unwrap();
    {
        let mut call = std::pin::pin!(gpu.softmax(&logits, &[1000, 1000], -1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // On a busy machine the device may be done with each window before it is waited for.
        if let std::task::Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            assert_eq!(bits(&answer.unwrap()), bits(&expected));
        }
    }
    assert_eq!(bits(&pollster::block_on(gpu.softmax(&logits, &[1000, 1000], -1)).unwrap()), bits(&expected));
}
