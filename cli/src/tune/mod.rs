//! `tune`: which kernel is fastest on this adapter, for rows of every length.
//!
//! What could serve comes from the library ([`Tuning::candidates`]), the clock, the data and the judge from the
//! [benchmark](crate::bench). Candidates take turns, so that what slows the machine down for a while slows all of them.

mod report;

use wgpu_softmax::{Candidate, Capabilities, Dtype, Error, Gpu, Op, Prepared, Tuning, bf16, f16, wgpu};

use crate::args::{Batch, Tune};
use crate::bench::{
    Adapter, Budget, Case, DeviceMemory, Judge, MOST_JUDGED, Memory, Number, Timing, described, judged_on,
    logits, note_wrong,
};
use crate::failure::{Failure, Outcome};
use crate::output::{note, print, shown};
use crate::progress::Steps;
use crate::tables::{self, Place};

use report::Measured;

/// What stands for the operations that leave a value for each logit, and for those that leave some for each row.
const STAND_INS: [Op; 2] = [Op::Softmax, Op::LogSumExp];

/// Another kernel takes the built-in one's place where it takes at most this share of its time: what is less is
/// noise, or not worth other bits.
const WORTH_IT: f64 = 0.95;

/// What takes so many times as long as the fastest in the first round has no second one.
const HOPELESS: f64 = 3.0;

/// Rounds of a span, however long they take, and however short they are.
const LEAST_ROUNDS: usize = 3;
const MOST_ROUNDS: usize = 300;

/// Logits of a batch: enough for a card to be busy, and for a software adapter not to take all day.
const ON_HARDWARE: u64 = 1 << 26;
const IN_SOFTWARE: u64 = 1 << 21;

/// Measures what was asked for, stores the table and prints it.
pub fn run(asked: &Tune) -> Outcome {
    let adapter = Adapter::open(&asked.device, asked.patience)?;
    let Some(key) = adapter.gpu.capabilities().adapter.clone() else {
        return Err(Failure::Device("this adapter does not say what it is".into()));
    };
    let place = Place::of(&key)?;
    let spans = spans(asked);
    let mut steps = Steps::new("tune", (spans.len() * asked.dtypes.len() * STAND_INS.len()) as u64);
    let mut measured = Vec::new();
    for &dtype in &asked.dtypes {
        let lengths = spans.iter().map(|(shortest, longest)| (shortest + longest) / 2);
        let lengths: Vec<u64> = lengths.collect();
        match dtype {
            Dtype::F16 => measured.extend(measure::<f16>(&adapter, asked, &lengths, &mut steps)?),
            Dtype::Bf16 => measured.extend(measure::<bf16>(&adapter, asked, &lengths, &mut steps)?),
            _ => measured.extend(measure::<f32>(&adapter, asked, &lengths, &mut steps)?),
        }
    }
    steps.finish();
    if measured.is_empty() {
        return Err(Failure::Device("nothing of this could be measured".into()));
    }
    // What is not measured this time stays as it was, if it was measured with this driver.
    let mut table = tables::load(&key).map_or_else(|_| Tuning::new(key), |stored| stored.table);
    for Measured { op, dtype, classes, fastest, .. } in &measured {
        table.set(op.output(), *dtype, *classes, fastest.candidate);
    }
    place.store(&table)?;
    let text = match asked.json {
        true => report::json(&table, &place.path, adapter.stopwatch.name(), &measured),
        false => report::table(&measured),
    };
    print(text.as_bytes())?;
    note(&format!("stored the table of {} in {}", table.adapter(), shown(&place.path)));
    Ok(())
}

/// The shortest and the longest row of every span that is to be measured.
fn spans(asked: &Tune) -> Vec<(u64, u64)> {
    let all = || (0..=Tuning::LONGEST.ilog2()).map(|log| 1 << log).collect();
    let lengths: Vec<u64> = asked.lengths.clone().unwrap_or_else(all);
    let spans = lengths.into_iter().filter_map(Tuning::span).map(|span| (*span.start(), *span.end()));
    let mut spans: Vec<(u64, u64)> = spans.collect();
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// A candidate on its way through the rounds.
struct Contender {
    candidate: Candidate,
    gpu: Gpu,
    prepared: Vec<Prepared>,
    times: Vec<f64>,
}

/// Rows of each of these lengths, in one type.
fn measure<T: Number>(
    adapter: &Adapter,
    asked: &Tune,
    lengths: &[u64],
    steps: &mut Steps,
) -> Outcome<Vec<Measured>> {
    let device = adapter.gpu.capabilities();
    let most = if device.software { IN_SOFTWARE } else { ON_HARDWARE };
    // One window: half a binding leaves room for what kernels read beside it.
    let most = most.min(device.binding_bytes / 2 / T::DTYPE.bytes());
    let cases: Vec<Case> = lengths
        .iter()
        .flat_map(|&classes| {
            let batch = Batch { rows: (most / classes).max(1) as usize, classes: classes as usize };
            STAND_INS.map(|op| Case { op, batch, dtype: T::DTYPE })
        })
        .collect();
    let count = cases.iter().map(Case::logits).max().unwrap_or(0);
    let mut memory: Memory<T> = Memory {
        logits: logits(count),
        operand: Vec::new(),
        labels: Vec::new(),
        result: Vec::new(),
        losses: Vec::new(),
        in_turns: false,
    };
    let buffers = DeviceMemory::for_cases(&adapter.gpu, &cases, &memory)?;
    let mut measured = Vec::new();
    for case in &cases {
        steps.next(&described(case));
        let judge = Judge::of(case, memory.of_turn(case, 0).0, MOST_JUDGED / 64);
        let mut contenders = contenders(adapter, &buffers, case, &judge)?;
        if let Err(error) = rounds(adapter, asked.seconds, &mut contenders) {
            leave_out(case, error)?;
            continue;
        }
        measured.extend(report::Measured::of(case, contenders.iter().map(|c| (c.candidate, &c.times[..]))));
    }
    Ok(measured)
}

/// Every candidate for a case whose results are right.
fn contenders(
    adapter: &Adapter,
    buffers: &DeviceMemory,
    case: &Case,
    judge: &Judge,
) -> Outcome<Vec<Contender>> {
    let device = adapter.gpu.capabilities();
    let classes = case.batch.classes as u64;
    let mut contenders = Vec::new();
    for candidate in Tuning::candidates(case.op, case.dtype, classes, device) {
        let gpu = with_only(adapter, device, case, candidate);
        let prepared = judged_on(case, &gpu, buffers, judge)
            .and_then(|errors| Ok((errors, buffers.prepare(&gpu, case)?)));
        match prepared {
            Ok((errors, prepared)) if errors.are_tolerable() => {
                contenders.push(Contender { candidate, gpu, prepared, times: Vec::new() });
            }
            Ok((errors, _)) => note_wrong(case, &candidate.to_string(), &errors),
            Err(error) => leave_out(case, error)?,
        }
    }
    Ok(contenders)
}

/// A context whose plans take this candidate, and nothing else.
fn with_only(adapter: &Adapter, device: &Capabilities, case: &Case, candidate: Candidate) -> Gpu {
    let Some(key) = device.adapter.clone() else { return adapter.gpu.clone() };
    let mut table = Tuning::new(key);
    table.set(case.op.output(), case.dtype, case.batch.classes as u64, candidate);
    adapter.gpu.with_tuning(table)
}

/// Times the contenders in turns until the time is up, or the least there has to be is done.
fn rounds(adapter: &Adapter, seconds: f64, contenders: &mut Vec<Contender>) -> wgpu_softmax::Result<()> {
    // Warmed up by the judge, and one at a time.
    let once = Budget { seconds, repeats: Some(1), cold: true };
    let mut spent = 0.0;
    for round in 0..MOST_ROUNDS {
        if round >= LEAST_ROUNDS && spent >= seconds {
            break;
        }
        for Contender { gpu, prepared, times, .. } in contenders.iter_mut() {
            let record = |turn: usize, pass: &mut wgpu::ComputePass<'_>| {
                prepared[turn % prepared.len()].record_in_pass(pass);
            };
            let time = adapter.stopwatch.time(gpu, &once, &record)?.median;
            spent += time;
            times.push(time);
        }
        if round == 0 {
            let best = contenders.iter().map(|contender| contender.times[0]).fold(f64::INFINITY, f64::min);
            let hopeless = |contender: &Contender| contender.times[0] > HOPELESS * best;
            // What everything is compared with stays.
            contenders.retain(|contender| contender.candidate == Candidate::BuiltIn || !hopeless(contender));
        }
    }
    Ok(())
}

/// Goes on without a case, unless the device is gone.
fn leave_out(case: &Case, error: Error) -> Outcome {
    if let Error::DeviceLost { .. } = error {
        return Err(error.into());
    }
    note(&format!("a kernel for {} is left out: {error}", described(case)));
    Ok(())
}

/// The fastest of several, and what the built-in choice took.
fn fastest(timed: &[(Candidate, Timing)]) -> Option<usize> {
    let median = |place: &usize| timed[*place].1.median;
    let best = (0..timed.len()).min_by(|one, other| median(one).total_cmp(&median(other)))?;
    let built_in = timed.iter().position(|(candidate, _)| *candidate == Candidate::BuiltIn);
    Some(built_in.filter(|built_in| median(&best) > WORTH_IT * median(built_in)).unwrap_or(best))
}

#[cfg(test)]
mod tests {
    use wgpu_softmax::Kernel;

    use super::*;

    #[test]
    fn another_kernel_has_to_be_worth_it() {
        let other = Candidate::Kernel { kernel: Kernel::WorkgroupPerRow, lanes: 64 };
        let timed = |times: &[(Candidate, f64)]| {
            let timed: Vec<_> =
                times.iter().map(|(candidate, time)| (*candidate, Timing::of(vec![*time]))).collect();
            fastest(&timed).map(|place| timed[place].0)
        };
        assert_eq!(timed(&[(Candidate::BuiltIn, 1.0), (other, 0.99)]), Some(Candidate::BuiltIn));
        assert_eq!(timed(&[(Candidate::BuiltIn, 1.0), (other, 0.9)]), Some(other));
        assert_eq!(timed(&[(other, 0.9)]), Some(other));
        assert_eq!(timed(&[]), None);
    }
}
