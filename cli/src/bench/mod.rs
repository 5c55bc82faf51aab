//! `bench`: how fast it is here, beside what the memory allows, and how fast the textbook would be.
//!
//! [`cases`] says what is measured, [`data`] on what, [`judge`] whether the results are right, [`clock`] for how long.
//! The CPU is measured in [`host`], with its memory's limits in [`host_limits`]; an adapter in [`adapter`], by a
//! [`stopwatch`]. [`report`] has the results, [`lines`] the protocol of comparisons with other libraries.

mod adapter;
mod cases;
mod clock;
mod data;
mod host;
mod host_limits;
mod judge;
mod lines;
mod one_call;
mod report;
mod stopwatch;

use std::time::Instant;

use wgpu_softmax::{Cpu, Device, Dtype, Error, Gpu, bf16, f16};

use adapter::Way;
pub use adapter::{Adapter, DeviceMemory};
use cases::Agenda;
pub use cases::Case;
pub use clock::{Budget, Timing};
pub use data::{Number, logits};
pub use host::{Judge, Memory};
use host::{Threads, errors_of_one_call, time_one_call, time_reference};
use host_limits::HostLimits;
use judge::Errors;
pub use judge::MOST_JUDGED;
use report::Measurement;
pub use report::Row;

use crate::args::{Bench, Measured};
use crate::failure::{Failure, Outcome};
use crate::output::{Destination, note, print};
use crate::plot::speed;
use crate::progress::Steps;
use crate::report::json_line;

/// Measures what was asked for.
pub fn run(asked: &Bench) -> Outcome {
    if let Some(mode) = asked.mode {
        return lines::run(asked, mode);
    }
    let places = Places::open(asked)?;
    if asked.tuned && places.adapters.is_empty() {
        return Err(Failure::Usage(NOTHING_TUNED.into()));
    }
    let agenda = Agenda::of(asked, places.adapters.iter().any(|adapter| !adapter.is_software()));
    if agenda.cases.is_empty() {
        return Err(Failure::Usage(
            "there is nothing to measure: Jacobians want --jac-shapes, all else --shapes".into(),
        ));
    }
    let picture = asked.plot.as_deref().map(Destination::of).transpose()?;
    let mut bench = Run {
        places,
        budget: Budget {
            seconds: agenda.seconds,
            repeats: asked.repeats.map(|repeats| repeats as usize),
            cold: asked.cold,
        },
        json: asked.json,
        limits: HostLimits::default(),
        rows: Vec::new(),
        wrong: 0,
        start: Instant::now(),
        left_out: 0,
        steps: Steps::new("bench", agenda.cases.len() as u64),
        agenda,
    };
    let mut dtypes: Vec<Dtype> = bench.agenda.cases.iter().map(|case| case.dtype).collect();
    dtypes.dedup();
    for dtype in dtypes {
        match dtype {
            Dtype::F16 => bench.measure_all::<f16>()?,
            Dtype::Bf16 => bench.measure_all::<bf16>()?,
            Dtype::F64 => bench.measure_all::<f64>()?,
            _ => bench.measure_all::<f32>()?,
        }
    }
    bench.steps.finish();
    if bench.left_out > 0 {
        let (left_out, seconds) = (bench.left_out, bench.agenda.most_seconds);
        note(&format!(
            "left out {left_out} cases, because {seconds:.0} s were over: name --shapes to have them"
        ));
    }
    if !asked.json {
        print(report::tables(&bench.rows).as_bytes())?;
    }
    if let Some(destination) = picture {
        match speed::picture(&bench.rows) {
            Some(picture) => {
                destination.write(|writer| writer.write_all(picture.as_bytes()))?;
                note(&format!("wrote the picture to {}", destination.name()));
            }
            None => note("there is nothing to draw"),
        }
    }
    if bench.rows.is_empty() && bench.wrong == 0 {
        return Err(Failure::Device("nothing of this could be measured".into()));
    }
    verdict(bench.wrong)
}

/// Why `--tuned` has no meaning.
const NOTHING_TUNED: &str = "--tuned is about an adapter's kernels, and no adapter is measured: leave it out";

/// Where is measured.
#[derive(Debug)]
struct Places {
    cpu: bool,
    reference: bool,
    adapters: Vec<Adapter>,
}

impl Places {
    fn open(asked: &Bench) -> Outcome<Places> {
        let mut places = Places { cpu: false, reference: false, adapters: Vec::new() };
        let Some(devices) = &asked.devices else {
            let adapter = match Adapter::open(&Device::Gpu, asked.patience) {
                Ok(adapter) if asked.tuned => Some(adapter.tuned()?),
                Ok(adapter) => Some(adapter),
                Err(error) => {
                    note(&format!("no adapter is measured: {}", Failure::from(error)));
                    None
                }
            };
            return Ok(Places { cpu: true, reference: true, adapters: adapter.into_iter().collect() });
        };
        for device in devices {
            match device {
                Measured::Reference => places.reference = true,
                Measured::Device(Device::Cpu) => places.cpu = true,
                Measured::Device(device) => {
                    let adapter = Adapter::open(device, asked.patience)?;
                    let adapter = if asked.tuned { adapter.tuned()? } else { adapter };
                    let is_same = |other: &Adapter| other.gpu.info() == adapter.gpu.info();
                    if !places.adapters.iter().any(is_same) {
                        places.adapters.push(adapter);
                    }
                }
            }
        }
        Ok(places)
    }
}

/// A benchmark under way.
#[derive(Debug)]
struct Run {
    agenda: Agenda,
    places: Places,
    budget: Budget,
    json: bool,
    limits: HostLimits,
    rows: Vec<Row>,
    wrong: usize,
    start: Instant,
    left_out: usize,
    steps: Steps,
}

impl Run {
    /// Every case of one type.
    fn measure_all<T: Number>(&mut self) -> Outcome {
        let cases: Vec<Case> =
            self.agenda.cases.iter().filter(|case| case.dtype == T::DTYPE).copied().collect();
        if cases.is_empty() {
            return Ok(());
        }
        let mut memory = Memory::<T>::for_cases(&cases, |case| self.is_for_host(case))?;
        let adapters = std::mem::take(&mut self.places.adapters);
        let mut devices = Vec::new();
        for adapter in &adapters {
            if T::DTYPE == Dtype::F64 {
                note(&format!("f64 is not measured on {}: GPUs do not compute in it", adapter.name()));
                continue;
            }
            match DeviceMemory::for_cases(&adapter.gpu, &cases, &memory) {
                Ok(device) => devices.push((adapter, device)),
                Err(error) => {
                    note(&format!("{dtype} is not measured on {}: {error}", adapter.name(), dtype = T::DTYPE))
                }
            }
        }
        for case in &cases {
            if self.start.elapsed().as_secs_f64() > self.agenda.most_seconds {
                self.left_out += 1;
                continue;
            }
            self.steps.next(&described(case));
            memory.label(case);
            let judge = Judge::of(case, memory.of_turn(case, 0).0, self.agenda.most_judged);
            self.on_host(case, &mut memory, &judge)?;
            for (adapter, device) in &mut devices {
                if case.op.is_loss() {
                    device.label(&adapter.gpu, &memory)?;
                }
                self.on_adapter(case, adapter, device, &judge)?;
                if self.is_for_host(case) {
                    self.end_to_end(case, &adapter.gpu, &mut memory, &judge)?;
                }
            }
        }
        drop(devices);
        self.places.adapters = adapters;
        Ok(())
    }

    fn is_for_host(&self, case: &Case) -> bool {
        case.logits() <= self.agenda.most_logits_on_host && case.results() <= self.agenda.most_logits_on_host
    }

    fn on_host<T: Number>(&mut self, case: &Case, memory: &mut Memory<T>, judge: &Judge) -> Outcome {
        let measured = Measurement {
            peer: "ours",
            device: "cpu",
            mode: "cpu",
            threads: Some(1),
            clock: "host",
            cold: self.budget.cold,
        };
        if self.places.reference && case.logits().max(case.results()) <= self.agenda.most_elements_of_textbook
        {
            let timing = time_reference(case, memory, &self.budget);
            let device = "reference";
            self.keep(Row::new(case, Measurement { peer: "reference", device, ..measured }, &timing))?;
        }
        if !self.places.cpu || !self.is_for_host(case) {
            return Ok(());
        }
        let mut settings = vec![Threads::one()?];
        if Threads::All.count() > 1 {
            settings.push(Threads::All);
        }
        let budget = self.budget;
        for threads in settings {
            let measured = Measurement { threads: Some(threads.count()), ..measured };
            let outcome = threads.run(|| {
                let cpu = Cpu::new();
                verified_then_timed(
                    &budget,
                    memory,
                    |memory| errors_of_one_call(&cpu, case, memory, judge),
                    |memory| time_one_call(&cpu, case, memory, &budget),
                )
            });
            let limit = self.limits.of(case, &threads, &budget);
            self.keep_limit(case, &measured, &limit)?;
            self.keep_outcome(case, measured, judge, outcome, Some(limit))?;
        }
        Ok(())
    }

    fn on_adapter(
        &mut self,
        case: &Case,
        adapter: &Adapter,
        device: &mut DeviceMemory,
        judge: &Judge,
    ) -> Outcome {
        // A kernel does not know whether it is called for the first time.
        let ways: &[Way] = if self.budget.cold { &[Way::Resident] } else { &[Way::Kernel, Way::Resident] };
        let mut errors = None;
        for &way in ways {
            let measured = Measurement {
                peer: "ours",
                device: adapter.name(),
                mode: if way == Way::Kernel { "gpu-kernel" } else { "gpu-resident" },
                threads: None,
                clock: if way == Way::Kernel { adapter.stopwatch.name() } else { "host" },
                cold: self.budget.cold,
            };
            let budget = self.budget;
            let outcome = verified_then_timed(
                &budget,
                &mut *device,
                |device| match errors {
                    Some(errors) => Ok(errors),
                    None => judged_on(case, &adapter.gpu, device, judge),
                },
                |device| device.time(adapter, case, way, &budget),
            );
            // It is one kernel in both ways.
            errors = outcome.as_ref().ok().map(|(errors, _)| *errors);
            let wrong = errors.is_none_or(|errors| !errors.are_tolerable());
            let limit = match wrong {
                true => None,
                false => match device.limit(adapter, case, way, &budget) {
                    Ok(limit) => {
                        self.keep_limit(case, &measured, &limit)?;
                        Some(limit)
                    }
                    Err(error) => {
                        note(&format!("no limit for {} on {}: {error}", described(case), adapter.name()));
                        None
                    }
                },
            };
            self.keep_outcome(case, measured, judge, outcome, limit)?;
            if wrong {
                break;
            }
        }
        Ok(())
    }

    fn end_to_end<T: Number>(
        &mut self,
        case: &Case,
        gpu: &Gpu,
        memory: &mut Memory<T>,
        judge: &Judge,
    ) -> Outcome {
        let measured = Measurement {
            peer: "ours",
            device: &gpu.info().name,
            mode: "gpu-e2e",
            threads: None,
            clock: "host",
            cold: self.budget.cold,
        };
        let budget = self.budget;
        let fresh = || match budget.cold {
            true => gpu.planning_with(gpu.capabilities().clone()),
            false => gpu.clone(),
        };
        let warm = fresh();
        let outcome = verified_then_timed(
            &budget,
            memory,
            |memory| errors_of_one_call(&warm, case, memory, judge),
            |memory| match budget.cold {
                // Each on a context that has neither pipelines nor staging memory yet.
                true => budget.measure(|_| {
                    let once = Budget { repeats: Some(1), ..budget };
                    time_one_call(&fresh(), case, memory, &once).map(|timing| timing.median)
                }),
                false => time_one_call(&warm, case, memory, &budget),
            },
        );
        self.keep_outcome(case, measured, judge, outcome, None)
    }

    fn keep_limit(&mut self, case: &Case, measured: &Measurement<'_>, limit: &Timing) -> Outcome {
        if !self.json {
            return Ok(());
        }
        let measured = Measurement { peer: case.limit().name(), cold: false, ..*measured };
        print(json_line(&Row::new(case, measured, limit).beside(case, limit)).as_bytes())
    }

    fn keep_outcome(
        &mut self,
        case: &Case,
        measured: Measurement<'_>,
        judge: &Judge,
        outcome: wgpu_softmax::Result<(Errors, Option<Timing>)>,
        limit: Option<Timing>,
    ) -> Outcome {
        match outcome {
            Ok((errors, Some(timing))) => {
                let row = Row::new(case, measured, &timing).verified(&errors, judge.rows().len());
                self.keep(match limit {
                    Some(limit) => row.beside(case, &limit),
                    None => row,
                })
            }
            Ok((errors, None)) => {
                self.wrong += 1;
                note_wrong(case, &format!("{} ({})", measured.device, measured.mode), &errors);
                Ok(())
            }
            // A device that is gone will not come back for the next case.
            Err(error @ Error::DeviceLost { .. }) => Err(error.into()),
            Err(error) => {
                note(&format!(
                    "{} is left out on {} ({}): {error}",
                    described(case),
                    measured.device,
                    measured.mode
                ));
                Ok(())
            }
        }
    }

    fn keep(&mut self, row: Row) -> Outcome {
        if self.json {
            print(json_line(&row).as_bytes())?;
        }
        self.rows.push(row);
        Ok(())
    }
}

/// The errors of a result, and then, where they are tolerable, how long it takes. A first call can only be timed first.
fn verified_then_timed<M>(
    budget: &Budget,
    memory: &mut M,
    verify: impl FnOnce(&mut M) -> wgpu_softmax::Result<Errors>,
    time: impl FnOnce(&mut M) -> wgpu_softmax::Result<Timing>,
) -> wgpu_softmax::Result<(Errors, Option<Timing>)> {
    if budget.cold {
        let timing = time(memory)?;
        let errors = verify(memory)?;
        return Ok((errors, errors.are_tolerable().then_some(timing)));
    }
    let errors = verify(memory)?;
    let timing = if errors.are_tolerable() { Some(time(memory)?) } else { None };
    Ok((errors, timing))
}

/// The errors of what an adapter leaves of a case.
pub fn judged_on(
    case: &Case,
    gpu: &Gpu,
    device: &DeviceMemory,
    judge: &Judge,
) -> wgpu_softmax::Result<Errors> {
    match case.dtype {
        Dtype::F16 => device.errors::<f16>(gpu, case, judge),
        Dtype::Bf16 => device.errors::<bf16>(gpu, case, judge),
        _ => device.errors::<f32>(gpu, case, judge),
    }
}

/// A case in words.
pub fn described(case: &Case) -> String {
    format!("{} {}x{} {}", case.op, case.batch.rows, case.batch.classes, case.dtype)
}

/// Tells of a result that is not right, and is not timed.
pub fn note_wrong(case: &Case, place: &str, errors: &Errors) {
    note(&format!(
        "WRONG, and not timed: {} on {place}: {:.3e} times the promised error (absolute {:.3e})",
        described(case),
        errors.of_promised,
        errors.absolute,
    ));
}

/// A failure where results were wrong.
fn verdict(wrong: usize) -> Outcome {
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Device("one result was wrong".into())),
        _ => Err(Failure::Device(format!("{wrong} results were wrong"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_not_timed() {
        let budget = Budget { seconds: 1.0, repeats: Some(1), cold: false };
        let errors = |of_promised| Errors { of_promised, ..Errors::default() };
        let mut timed = 0;
        for (found, times) in [(0.5, 1), (1.5, 1), (f64::INFINITY, 1), (1.0, 2)] {
            let outcome = verified_then_timed(
                &budget,
                &mut timed,
                |_| Ok(errors(found)),
                |timed| {
                    *timed += 1;
                    Ok(Timing::of(vec![1.0]))
                },
            );
            assert_eq!(outcome.unwrap().1.is_some(), found <= 1.0);
            assert_eq!(timed, times, "{found}");
        }
        // The first call has to be timed before anything is known of it; then its time is not told.
        let cold = Budget { cold: true, ..budget };
        let outcome =
            verified_then_timed(&cold, &mut (), |()| Ok(errors(2.0)), |()| Ok(Timing::of(vec![1.0])));
        assert_eq!(outcome.unwrap().1, None);
        assert_eq!(verdict(0).map_err(|failure| failure.status()), Ok(()));
        assert_eq!(verdict(3).map_err(|failure| failure.status()), Err(4));
    }
}
