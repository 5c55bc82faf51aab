//! Answering as a runner of a comparison with other libraries: one JSON object a case, on data that depends on the shape
//! alone.
//!
//! The protocol is that of the comparison, so that a line of ours lies beside a line of theirs: normal logits seeded by
//! the shape, the same input and the same result each time, two calls to warm up, errors against f64 on about two
//! million elements of rows at even distances.

use rayon::ThreadPoolBuilder;
use serde::Serialize;
use wgpu_softmax::{Cpu, Device, Dtype, Op, Output, Result};

use super::adapter::{Adapter, DeviceMemory, Way};
use super::cases::Case;
use super::clock::{Budget, Timing};
use super::data::{self, Random};
use super::host::{Judge, Memory, Threads, errors_of_one_call, time_one_call};
use super::judge::{Errors, MOST_JUDGED};
use super::one_call::OneCall;
use super::{NOTHING_TUNED, described, note_wrong, verdict, verified_then_timed};
use crate::args::{Batch, Bench, Measured, Mode};
use crate::failure::{Failure, Outcome};
use crate::output::{note, print};
use crate::report::json_line;

/// A line of the protocol.
#[derive(Debug, Serialize)]
struct Line {
    peer: &'static str,
    op: &'static str,
    n: usize,
    k: usize,
    threads: usize,
    mode: &'static str,
    median_s: f64,
    min_s: f64,
    reps: usize,
    gb_per_s: f64,
    max_rel_err_vs_f64: f64,
    max_abs_err_vs_f64: f64,
}

/// Measures every case that the protocol's flags name.
pub fn run(asked: &Bench, mode: Mode) -> Outcome {
    let threads = threads(asked)?;
    let adapter = match mode {
        Mode::Cpu if asked.tuned => return Err(Failure::Usage(NOTHING_TUNED.into())),
        Mode::Cpu => None,
        Mode::GpuResident | Mode::GpuE2e => {
            let adapter = Adapter::open(&device(asked)?, asked.patience)?;
            Some(if asked.tuned { adapter.tuned()? } else { adapter })
        }
    };
    let budget = Budget { seconds: asked.seconds.unwrap_or(1.0), repeats: None, cold: false };
    let mut wrong = 0;
    for case in cases(asked) {
        let mut memory = memory(&case);
        let judge = Judge::of(&case, memory.of_turn(&case, 0).0, MOST_JUDGED);
        let measured = match &adapter {
            None => threads.run(|| one_call(&Cpu::new(), &case, &mut memory, &judge, &budget)),
            Some(adapter) if mode == Mode::GpuResident => resident(adapter, &case, &memory, &judge, &budget),
            Some(adapter) => one_call(&adapter.gpu, &case, &mut memory, &judge, &budget),
        };
        match measured {
            Ok((errors, Some(timing))) => print(line(&case, &threads, mode, &timing, &errors).as_bytes())?,
            Ok((errors, None)) => {
                note_wrong(&case, mode.name(), &errors);
                wrong += 1;
            }
            // What one case cannot do, the others may.
            Err(error) => note(&format!("{} is left out: {error}", described(&case))),
        }
    }
    verdict(wrong)
}

/// The adapter that is asked for.
fn device(asked: &Bench) -> Outcome<Device> {
    match asked.devices.as_deref() {
        None => Ok(Device::Gpu),
        Some([Measured::Device(device)]) if *device != Device::Cpu => Ok(device.clone()),
        Some(_) => {
            Err(Failure::Usage("this --mode measures one adapter: give gpu or a part of its name".into()))
        }
    }
}

fn one_call(
    on: &(impl OneCall + Sync),
    case: &Case,
    memory: &mut Memory<f32>,
    judge: &Judge,
    budget: &Budget,
) -> Result<(Errors, Option<Timing>)> {
    verified_then_timed(
        budget,
        memory,
        |memory| errors_of_one_call(on, case, memory, judge),
        |memory| time_one_call(on, case, memory, budget),
    )
}

fn resident(
    adapter: &Adapter,
    case: &Case,
    memory: &Memory<f32>,
    judge: &Judge,
    budget: &Budget,
) -> Result<(Errors, Option<Timing>)> {
    let mut device = DeviceMemory::for_cases(&adapter.gpu, std::slice::from_ref(case), memory)?;
    device.label(&adapter.gpu, memory)?;
    verified_then_timed(
        budget,
        &mut device,
        |device| device.errors::<f32>(&adapter.gpu, case, judge),
        |device| device.time(adapter, case, Way::Resident, budget),
    )
}

fn line(case: &Case, threads: &Threads, mode: Mode, timing: &Timing, errors: &Errors) -> String {
    json_line(&Line {
        peer: "ours",
        op: case.name(),
        n: case.batch.rows,
        k: case.batch.classes,
        threads: threads.count(),
        mode: mode.name(),
        median_s: timing.median,
        min_s: timing.min,
        reps: timing.repeats,
        gb_per_s: case.bytes() as f64 / timing.median / 1e9,
        max_rel_err_vs_f64: errors.relative.min(1e308),
        max_abs_err_vs_f64: errors.absolute.min(1e308),
    })
}

/// As many threads as a caller of the library would have: rayon's own, or none beside the caller's.
fn threads(asked: &Bench) -> Outcome<Threads> {
    match asked.threads {
        Some(1) => Threads::one(),
        Some(threads) => {
            let built = ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
            built.map_err(|error| Failure::Device(format!("cannot start {threads} threads: {error}")))?;
            Ok(Threads::All)
        }
        None => Ok(Threads::All),
    }
}

/// Operations on rows first, shape by shape; then the Jacobians.
fn cases(asked: &Bench) -> Vec<Case> {
    const ALL: [Op; 5] = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp, Op::CrossEntropy, Op::Jacobian];
    let ops = asked.ops.as_deref().unwrap_or(&ALL);
    let default = |rows, classes| vec![Batch { rows, classes }];
    let shapes = asked.shapes.clone().unwrap_or_else(|| default(65_536, 32));
    let pairs = asked.jac_shapes.clone().unwrap_or_else(|| default(1024, 100));
    let of = |batches: Vec<Batch>, in_pairs: bool| {
        let of_batch = move |batch| {
            let ops = ops.iter().filter(move |op| (op.output() == Output::PerPair) == in_pairs);
            ops.map(move |&op| Case { op, batch, dtype: Dtype::F32 })
        };
        batches.into_iter().flat_map(of_batch).collect::<Vec<_>>()
    };
    [of(shapes, false), of(pairs, true)].concat()
}

/// The protocol's data, and memory for what one call writes.
fn memory(case: &Case) -> Memory<f32> {
    let logits = logits(case.batch);
    let operand = match case.op.operand() {
        Some(_) => logits.iter().rev().copied().collect(),
        None => Vec::new(),
    };
    Memory {
        logits,
        operand,
        labels: data::labels(case.batch.rows, case.batch.classes),
        result: vec![1.0; case.gradient_or_result()],
        losses: vec![1.0; case.losses()],
        in_turns: false,
    }
}

/// Normal logits seeded by the shape.
fn logits(batch: Batch) -> Vec<f32> {
    let mut random = Random((batch.rows as u64) << 32 ^ batch.classes as u64);
    let count = batch.rows * batch.classes;
    let mut logits = Vec::with_capacity(count + 1);
    while logits.len() < count {
        logits.extend(random.pair());
    }
    logits.truncate(count);
    logits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other runners of the protocol draw.
    #[test]
    fn data_is_seeded_by_the_shape() {
        let close = |found: &[f32], expected: &[f32]| {
            let far = found.iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 1e-4);
            assert!(!far && found.len() >= expected.len(), "{found:?}");
        };
        let batch = |rows, classes| Batch { rows, classes };
        close(&logits(batch(3, 5)), &[1.1530448, -5.441699, -2.419305, -2.5181518, -6.9531636, -0.7128691]);
        assert_eq!(logits(batch(3, 5)).len(), 15);
        close(&logits(batch(65_536, 32)), &[-3.0276666, 6.7338433, -3.6060297, -1.8280302]);
        close(&logits(batch(1, 1_000_000))[999_999..], &[3.2844896]);
        assert_eq!(data::labels(3, 5), [1, 1, 2]);
        assert_eq!(data::labels(65_536, 32)[..3], [28, 9, 4]);
        assert_eq!(data::labels(1, 1_000_000), [995_613]);
    }
}
