//! A second call into the caller's memory allocates nothing as large as the data, on the host either.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wgpu_softmax::{Cpu, CrossEntropy, LossMemory, Op, Options, Reduction};

/// The system's allocator, which remembers the largest request.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

/// The largest allocation while `work` ran.
fn largest_during(work: impl FnOnce()) -> usize {
    LARGEST.store(0, Ordering::Relaxed);
    work();
    LARGEST.load(Ordering::Relaxed)
}

// One test: the allocator sees every thread.
#[test]
fn a_second_call_allocates_nothing_as_large_as_the_data() {
    let (rows, classes) = (1000, 1000);
    let logits = vec![0.5f32; rows * classes];
    let mut result = vec![0.0f32; rows * classes];
    let options = Options::default();
    assert!(
        largest_during(|| drop(std::hint::black_box(vec![0u8; 1 << 20]))) >= 1 << 20,
        "the allocator watches"
    );

    for op in [Op::Softmax, Op::LogSoftmax] {
        for axis in [0, 1] {
            let mut on_cpu = || {
                Cpu::new().compute_into(op, &logits, &[rows, classes], axis, &options, &mut result).unwrap()
            };
            on_cpu();
            assert!(largest_during(on_cpu) < 1 << 18, "{op} along {axis} on the CPU");
            let Some(gpu) = common::device::gpu() else { continue };
            let mut on_gpu = || {
                gpu.compute_into_blocking(op, &logits, &[rows, classes], axis, &options, &mut result).unwrap()
            };
            on_gpu();
            assert!(largest_during(on_gpu) < 1 << 18, "{op} along {axis} on the GPU");
        }
    }

    // Short rows, of which there are many: nothing that grows with their number either.
    let (rows, classes) = (1_000_000, 4);
    let (logits, labels) = (vec![0.5f32; rows * classes], vec![1i64; rows]);
    let mut result = vec![0.0f32; rows * classes];
    let shape = [rows, classes];
    for reduction in [Reduction::None, Reduction::Mean] {
        let loss = CrossEntropy::new(&logits, &shape, 1, &labels).reduction(reduction).z_loss(1e-3);
        let loss = loss.with_gradient().with_log_sum_exp();
        let mut losses = vec![0.0f32; if reduction == Reduction::None { rows } else { 1 }];
        let mut log_sum_exp = vec![0.0f32; rows];
        let mut on_cpu = || {
            let memory = LossMemory::new(&mut losses).gradient(&mut result).log_sum_exp(&mut log_sum_exp);
            Cpu::new().cross_entropy_into(&loss, memory).unwrap();
        };
        on_cpu();
        assert!(largest_during(on_cpu) < 1 << 20, "a loss, {reduction:?}, on the CPU");
        let Some(gpu) = common::device::gpu() else { continue };
        let mut on_gpu = || {
            let memory = LossMemory::new(&mut losses).gradient(&mut result).log_sum_exp(&mut log_sum_exp);
            gpu.cross_entropy_into_blocking(&loss, memory).unwrap();
        };
        on_gpu();
        assert!(largest_during(on_gpu) < 1 << 20, "a loss, {reduction:?}, on the GPU");
    }
}
