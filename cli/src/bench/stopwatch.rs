//! How long a compute pass takes on the device itself: by timestamp queries where there are some, else by the time of a
//! submission of many.

use std::collections::VecDeque;
use std::time::Instant;

use wgpu_softmax::{Error, Gpu, Result, wgpu};

use super::clock::{Budget, Timing};

/// Passes that are timed in one submission.
const MOST_AT_ONCE: usize = 16;

/// A submission of many dispatches is to take at least so long, so that what it costs itself does not show.
const LONG: f64 = 10e-3;

/// Records what is timed at a turn.
pub type Record<'a> = &'a dyn Fn(usize, &mut wgpu::ComputePass<'_>);

/// Times passes on one device.
#[derive(Debug)]
pub enum Stopwatch {
    Timestamps {
        queries: wgpu::QuerySet,
        resolved: wgpu::Buffer,
        read_back: wgpu::Buffer,
        /// Seconds from one tick to the next.
        tick: f64,
    },
    ManyDispatches,
}

impl Stopwatch {
    pub fn new(gpu: &Gpu) -> Stopwatch {
        let device = gpu.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Stopwatch::ManyDispatches;
        }
        let count = 2 * MOST_AT_ONCE as u32;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(count) * u64::from(wgpu::QUERY_SIZE),
                usage,
                mapped_at_creation: false,
            })
        };
        Stopwatch::Timestamps {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            read_back: buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ),
            tick: f64::from(gpu.queue().get_timestamp_period()) * 1e-9,
        }
    }

    /// What tells the time, in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Stopwatch::Timestamps { .. } => "timestamps",
            Stopwatch::ManyDispatches => "many dispatches",
        }
    }

    /// How long what is recorded takes.
    pub fn time(&self, gpu: &Gpu, budget: &Budget, record: Record<'_>) -> Result<Timing> {
        let mut measured = VecDeque::new();
        let (mut at_once, mut last) = (1, 0.0);
        budget.measure(|turn| {
            if measured.is_empty() {
                measured.extend(self.seconds_of(gpu, turn..turn + at_once, record)?);
                last = measured.back().copied().unwrap_or(0.0f64).max(1e-9);
                let within_budget = ((budget.seconds / last) as usize).max(1);
                at_once = (2 * at_once).min(MOST_AT_ONCE).min(within_budget);
            }
            Ok(measured.pop_front().unwrap_or(last))
        })
    }

    /// The seconds of passes of these turns, one after the other in one submission.
    fn seconds_of(&self, gpu: &Gpu, turns: std::ops::Range<usize>, record: Record<'_>) -> Result<Vec<f64>> {
        match self {
            Stopwatch::Timestamps { queries, resolved, read_back, tick } => {
                let count = turns.len() as u32;
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                for (place, turn) in turns.enumerate() {
                    let first = 2 * place as u32;
                    let writes = wgpu::ComputePassTimestampWrites {
                        query_set: queries,
                        beginning_of_pass_write_index: Some(first),
                        end_of_pass_write_index: Some(first + 1),
                    };
                    let descriptor =
                        wgpu::ComputePassDescriptor { label: Some("timed"), timestamp_writes: Some(writes) };
                    record(turn, &mut encoder.begin_compute_pass(&descriptor));
                }
                encoder.resolve_query_set(queries, 0..2 * count, resolved, 0);
                encoder.copy_buffer_to_buffer(resolved, 0, read_back, 0, resolved.size());
                gpu.queue().submit([encoder.finish()]);
                let ticks = read(gpu, read_back)?;
                let ticks: &[u64] = bytemuck::cast_slice(&ticks);
                // Faster than the clock ticks is not known any better.
                let seconds = |pair: &[u64]| (pair[1].wrapping_sub(pair[0]) as f64).max(1.0) * tick;
                Ok(ticks.chunks_exact(2).take(count as usize).map(seconds).collect())
            }
            Stopwatch::ManyDispatches => {
                let one = submit_and_wait(gpu, turns.start..turns.start + 1, record)?;
                let dispatches = ((LONG / one).ceil() as usize).clamp(1, 1000);
                let all = submit_and_wait(gpu, turns.start..turns.start + dispatches, record)?;
                Ok(vec![all / dispatches as f64; turns.len()])
            }
        }
    }
}

/// The seconds from recording passes until they have run.
pub fn submit_and_wait(gpu: &Gpu, turns: std::ops::Range<usize>, record: Record<'_>) -> Result<f64> {
    let start = Instant::now();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    for turn in turns {
        record(turn, &mut encoder.begin_compute_pass(&Default::default()));
    }
    gpu.queue().submit([encoder.finish()]);
    gpu.wait_blocking()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Everything in a buffer that can be mapped, once what was submitted has run.
pub fn read(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
        // Nobody listens where waiting has failed.
        let _ = sender.send(mapped);
    });
    let waited = gpu.wait_blocking();
    let not_mapped = |detail: String| Error::Device { detail };
    let bytes = match (waited, receiver.try_recv()) {
        (Err(error), _) => Err(error),
        (_, Ok(Ok(()))) => {
            let view = buffer.slice(..).get_mapped_range();
            view.map(|view| view.to_vec()).map_err(|error| not_mapped(error.to_string()))
        }
        (_, Ok(Err(error))) => Err(not_mapped(error.to_string())),
        (_, Err(error)) => Err(not_mapped(error.to_string())),
    };
    // Mapped or not: the next time has to find it as it was.
    buffer.unmap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_tell_a_time() {
        let Ok(gpu) = Gpu::new_blocking() else {
            assert!(std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set, and there is no adapter");
            return;
        };
        let tensor = gpu.empty(&[1 << 16]).unwrap();
        let fill = gpu.prepare_fill(tensor.buffer().slice(..)).unwrap();
        let budget = Budget { seconds: 1e-3, repeats: Some(40), cold: false };
        for stopwatch in [Stopwatch::new(&gpu), Stopwatch::ManyDispatches] {
            let turns = std::cell::RefCell::new(Vec::new());
            let record = |turn: usize, pass: &mut wgpu::ComputePass<'_>| {
                turns.borrow_mut().push(turn);
                fill.record_in_pass(pass);
            };
            let timing = stopwatch.time(&gpu, &budget, &record).unwrap();
            assert_eq!(timing.repeats, 40, "{}", stopwatch.name());
            assert!(timing.min > 0.0 && timing.min <= timing.median && timing.median < 1.0, "{timing:?}");
            // Buffers take turns.
            assert!(turns.borrow().iter().max() > Some(&10), "{}", stopwatch.name());
        }
    }
}
