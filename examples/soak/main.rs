//! Hours on end, in minutes: threads that share a device ask it anything, while contexts come and go, devices are
//! lost under way, callers give up and budgets are hardly any. Every answer is held against f64, within the bounds
//! that the crate promises. What a fault is for, and what has to come of it, stands beside it in `faults.rs`.
//!
//!     cargo run --release --example soak -- --minutes 10 [--threads 4] [--seed 1]
//!
//! In the end it reports the calls, the faults met and the memory of the process; with anything wrong its exit
//! status is 1. It is no part of the tests, whose judges it borrows.

#[path = "../../tests/common/mod.rs"]
mod common;
mod faults;
mod memory;
mod questions;
mod shared;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::device::Processor;
use common::rows_of_interest::Random;
use questions::{Answer, Matter, Way};
use shared::Soak;
use wgpu_softmax::Gpu;

/// Wrong answers that are told in full.
const TOLD: usize = 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let minutes: f64 = option("--minutes")?.unwrap_or(10.0);
    let threads: u64 = option("--threads")?.unwrap_or(4);
    let seed: u64 = option("--seed")?.unwrap_or(1);
    let panics = count_panics_of_dependencies();

    let soak = Soak::new(Gpu::new_blocking()?);
    try_the_judge(&soak)?;
    let info = soak.gpu.info();
    println!(
        "{}, {} {}, {:?}: {minutes} minutes, {threads} threads",
        info.name, info.driver, info.driver_info, info.backend
    );

    let (start, wrong) = (Instant::now(), Mutex::new(Vec::new()));
    let end = Duration::from_secs_f64(minutes * 60.0);
    // What the first calls leave for all later ones is no growth: pipelines, staging memory, the driver's compiler.
    let settled = Mutex::new(None);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (soak, wrong, settled) = (&soak, &wrong, &settled);
            scope.spawn(move || {
                let random = &mut Random::new(seed.wrapping_mul(1_000_003).wrapping_add(thread));
                while start.elapsed() < end {
                    if let Err(what) = faults::take_any(soak, random) {
                        eprintln!("wrong: {what}");
                        wrong.lock().unwrap().push(what);
                    }
                    if start.elapsed() > end / 10 {
                        settled.lock().unwrap().get_or_insert_with(|| (memory::now(), soak.pipelines()));
                    }
                }
            });
        }
    });

    let wrong = wrong.into_inner().unwrap();
    for (what, times) in soak.counted() {
        println!("{times:>9} {what}");
    }
    println!("{:>9} panics of dependencies, caught by the library", panics.load(Ordering::Relaxed));
    println!("{:>9} wrong answers and unexpected errors", wrong.len());
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    let (memory, pipelines) = settled.into_inner().unwrap().unwrap_or_default();
    println!(
        "{:>9} pipelines of what lives throughout, {pipelines} of them after a tenth of the time",
        soak.pipelines()
    );
    println!(
        "memory: {} after a tenth of the time, {} at the end, of which {} stay with contexts that timed out; {} at most",
        mib(memory),
        mib(memory::now()),
        mib(soak.kept_in_all()),
        mib(memory::peak())
    );
    wrong.iter().take(TOLD).for_each(|what| println!("wrong: {what}"));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The value of an option on the command line.
fn option<T: FromStr<Err: Error + 'static>>(name: &str) -> Result<Option<T>, Box<dyn Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(value)) => Ok(Some(value.parse()?)),
        (Some(_), None) => Err(format!("{name} needs a value").into()),
    }
}

/// wgpu panics over some lost devices; the library catches that, and Rust would print each of them. All others are
/// told as ever.
fn count_panics_of_dependencies() -> &'static AtomicU64 {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The workspace's own files have paths within it.
        if panic.location().is_some_and(|location| Path::new(location.file()).is_absolute()) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        } else {
            told(panic);
        }
    }));
    &PANICS
}

/// A judge that accepts anything would make all of this worthless: right answers with one element made wrong.
fn try_the_judge(soak: &Soak) -> Result<(), Box<dyn Error>> {
    let gpu = Processor::Gpu(soak.gpu.clone());
    for seed in 0..20 {
        let matter = Matter::in_windows(&mut Random::new(seed));
        let Answer::Values(values) = matter.put(&gpu, Way::Blocking)? else { return Err("no values".into()) };
        let place = values.len() / 2;
        let value = values.get(place);
        let other = if value.is_nan() { 0.0 } else { value + 0.1 * value.abs().max(1e-3) };
        let changed = values.replaced([place], other);
        if !values.same_bits(&changed) && matter.judge(&Answer::Values(changed)).is_ok() {
            return Err(format!("the judge accepts {other:e} where {value:e} was computed").into());
        }
        matter.judge(&Answer::Values(values))?;
    }
    Ok(())
}
