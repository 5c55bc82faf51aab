//! Contexts that come and go leave no memory behind: in a process of its own, since all of its memory is what counts.

#![cfg(target_os = "linux")]

mod common;

use common::device::gpu;
use wgpu_softmax::{Gpu, Op, Options};

/// Memory of the process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[test]
fn contexts_leave_nothing_behind() {
    let Some(gpu) = gpu() else { return };
    let name = gpu.info().name.clone();
    let logits: Vec<f32> = (0..3 * 33).map(|index| (index % 17) as f32).collect();
    let round = || {
        let own = Gpu::named_blocking(&name).unwrap();
        own.compute_blocking(Op::Softmax, &logits, &[3, 33], -1, &Options::default()).unwrap();
        pollster::block_on(own.softmax(&logits, &[3, 33], -1)).unwrap();
    };
    (0..10).for_each(|_| round());
    let before = resident();
    // `CONTEXTS=1000` for as many, which take lavapipe a minute.
    let contexts = std::env::var("CONTEXTS").map_or(30, |contexts| contexts.parse().unwrap());
    (0..contexts).for_each(|_| round());
    // A context that stayed would be there with its buffers, its pipelines and its thread: some MiB each.
    assert!(resident() - before < 30.0, "{before} MiB before, {} MiB after", resident());
}
