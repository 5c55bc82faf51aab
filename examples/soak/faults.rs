//! The turns that are taken: ordinary calls, and a fault each, with what has to come of it. A turn fails where an
//! answer is wrong or an error is another one than the fault asks for.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wgpu_softmax::{Cpu, Error, Gpu, wgpu};

use crate::common::device::{Processor, own_device};
use crate::common::rows_of_interest::Random;
use crate::memory;
use crate::questions::{Answer, Matter, Way};
use crate::shared::Soak;

type Turn = fn(&Soak, &mut Random) -> Result<(), String>;

/// How often each turn is taken among all of them.
const TURNS: [(usize, Turn); 7] = [
    (40, ordinary),
    (10, on_the_cpu),
    (15, in_tight_windows),
    (10, dropped_half_way),
    (12, short_lived),
    (10, destroyed_in_mid_run),
    (6, borrowed_and_lost),
];

/// How many turns there are to one of them that is taken alone.
const TURNS_TO_ONE_ALONE: usize = 60;

/// Takes one turn of some kind.
///
/// # Errors
/// What was wrong.
pub fn take_any(soak: &Soak, random: &mut Random) -> Result<(), String> {
    if random.below(TURNS_TO_ONE_ALONE) == 0 {
        let _alone = soak.alone();
        return impatient(soak, random);
    }
    let _together = soak.among_others();
    let all = TURNS.iter().map(|(times, _)| times).sum();
    let mut place = random.below(all);
    for (times, turn) in TURNS {
        match place.checked_sub(times) {
            Some(rest) => place = rest,
            None => return turn(soak, random),
        }
    }
    Ok(())
}

/// Many threads on one context that lives as long as the process.
fn ordinary(soak: &Soak, random: &mut Random) -> Result<(), String> {
    right(soak, &Processor::Gpu(soak.gpu.clone()), &Matter::random(random), random)
}

/// What takes over where there is no GPU.
fn on_the_cpu(soak: &Soak, random: &mut Random) -> Result<(), String> {
    right(soak, &Processor::Cpu(Cpu::new()), &Matter::random(random), random)
}

/// Hardly any memory for what is sent and brought home: the same bits, window by window.
fn in_tight_windows(soak: &Soak, random: &mut Random) -> Result<(), String> {
    soak.tight.stream_within(1 << (10 + random.below(10)));
    let matter = Matter::in_windows(random);
    let [whole, windows] = [&soak.gpu, &soak.tight].map(|gpu| {
        soak.count("calls");
        matter.put(&Processor::Gpu(gpu.clone()), Way::Awaited).map_err(unexpected)
    });
    let (whole, windows) = (whole?, windows?);
    matter.judge(&whole)?;
    match (&whole, &windows) {
        (Answer::Values(whole), Answer::Values(windows)) if whole.same_bits(windows) => {
            soak.count("budgets of up to half a MiB");
            Ok(())
        }
        _ => Err("the answer depends on the size of the windows".into()),
    }
}

/// A caller that gives up: whatever its future has begun must not show in the next call.
fn dropped_half_way(soak: &Soak, random: &mut Random) -> Result<(), String> {
    if let Matter::Request(question) = Matter::in_windows(random) {
        let request = question.request();
        let mut future = std::pin::pin!(soak.gpu.answer::<f32>(&request));
        for _ in 0..1 + random.below(4) {
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
            thread::sleep(Duration::from_micros(random.below(500) as u64));
        }
        soak.count("futures dropped half way");
    }
    ordinary(soak, random)
}

/// Contexts made and dropped, with the pipelines and the memory that they had.
fn short_lived(soak: &Soak, random: &mut Random) -> Result<(), String> {
    let gpu = Processor::Gpu(soak.open()?);
    right(soak, &gpu, &Matter::plain(random), random)?;
    right(soak, &gpu, &Matter::plain(random), random)
}

/// A driver that gives up while others compute: right answers until then, `DeviceLost` from then on.
fn destroyed_in_mid_run(soak: &Soak, random: &mut Random) -> Result<(), String> {
    let gpu = soak.open()?;
    let (device, delay) = (gpu.device().clone(), Duration::from_micros(random.below(60_000) as u64));
    let processor = Processor::Gpu(gpu);
    let until_lost = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(delay);
            device.destroy();
        });
        for _ in 0..1000 {
            match called(soak, &processor, &Matter::plain(random), random)? {
                Ok(()) => {}
                Err(Error::DeviceLost { .. }) => return Ok(()),
                Err(error) => return Err(unexpected(error)),
            }
        }
        Err("a destroyed device goes on".to_string())
    });
    until_lost?;
    soak.count("devices destroyed in mid-run");
    lost(soak, &processor, random)
}

/// A device of the caller's that is lost: both sides hear of it, and nothing else is heard on the caller's side.
fn borrowed_and_lost(soak: &Soak, random: &mut Random) -> Result<(), String> {
    let name = &soak.gpu.info().name;
    let (device, queue) =
        own_device(name, wgpu::Features::empty(), wgpu::Limits::default()).ok_or("no device to lend")?;
    let errors = Arc::new(AtomicU32::new(0));
    let heard = Arc::clone(&errors);
    device.on_uncaptured_error(Arc::new(move |_| _ = heard.fetch_add(1, Ordering::Relaxed)));
    let gpu = Gpu::from_device_blocking(device.clone(), queue).map_err(unexpected)?;
    gpu.wait_at_most(PATIENCE);
    soak.count("contexts made");
    let processor = Processor::Gpu(gpu);
    right(soak, &processor, &Matter::plain(random), random)?;
    device.destroy();
    lost(soak, &processor, random)?;
    soak.count("borrowed devices lost");
    match errors.load(Ordering::Relaxed) {
        0 => Ok(()),
        errors => Err(format!("the owner of a borrowed device has heard of {errors} errors")),
    }
}

/// A device that takes too long: `Timeout`, and from then on at once. Such a context is never closed, and keeps its
/// memory, which is measured while nothing else happens.
fn impatient(soak: &Soak, random: &mut Random) -> Result<(), String> {
    let before = memory::now();
    let gpu = soak.open()?;
    let limit = Duration::from_micros(random.below(100) as u64);
    gpu.wait_at_most(limit);
    let logits = vec![0.5f32; 1 << 19];
    soak.count("calls");
    match gpu.softmax_blocking(&logits, &[1 << 9, 1 << 10], -1) {
        Err(Error::Timeout { .. }) => {}
        // A fast device, or one that was looked at late.
        Ok(probabilities) if probabilities.iter().all(|&p| p == 1.0 / 1024.0) => return Ok(()),
        Ok(_) => return Err("1024 equal logits have other probabilities than 1/1024".into()),
        Err(error) => return Err(unexpected(error)),
    }
    let start = Instant::now();
    soak.count("calls");
    if gpu.softmax_blocking(&logits, &[1 << 9, 1 << 10], -1) != Err(Error::Timeout { limit }) {
        return Err("a context that has timed out goes on".into());
    }
    if start.elapsed() > PATIENCE {
        return Err(format!("a context that has timed out is waited for: {:?}", start.elapsed()));
    }
    drop(gpu);
    // What it still computes must not count as somebody else's time.
    thread::sleep(Duration::from_millis(50));
    soak.count("waits beyond their limit");
    soak.kept(memory::now().saturating_sub(before));
    Ok(())
}

/// Long enough for a device that many threads share, short enough to see one that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A question whose answer has to come, and to be right.
fn right(soak: &Soak, processor: &Processor, matter: &Matter, random: &mut Random) -> Result<(), String> {
    called(soak, processor, matter, random)?.map_err(unexpected)
}

/// A question to a device that is lost.
fn lost(soak: &Soak, processor: &Processor, random: &mut Random) -> Result<(), String> {
    match called(soak, processor, &Matter::plain(random), random)? {
        Err(Error::DeviceLost { .. }) => Ok(()),
        Err(error) => Err(unexpected(error)),
        Ok(()) => Err("a lost device answers".into()),
    }
}

/// A question: a wrong answer ends the turn, an error is for the caller to judge.
fn called(
    soak: &Soak,
    processor: &Processor,
    matter: &Matter,
    random: &mut Random,
) -> Result<Result<(), Error>, String> {
    let way = matter.way(random);
    soak.count("calls");
    match matter.put(processor, way) {
        Ok(answer) => matter.judge(&answer).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

pub fn unexpected(error: Error) -> String {
    format!("an error that nothing called for: {error}")
}
