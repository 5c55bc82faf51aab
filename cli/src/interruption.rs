//! Ctrl-C, and being asked to end: the work stops at its next step, and what is unfinished goes.
//!
//! A handler that may run between any two instructions only sets a flag. Whoever works looks at it between two steps
//! ([`check`]) and returns as from any failure. Where that takes too long (a pipe that nobody writes to, a device that
//! does not answer) a thread of its own removes what is unfinished and ends the process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{fs, io};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{Failure, Outcome};
use crate::output::note;

/// The number of the signal that came; 0 for none.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Files that go where the process ends early.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often the thread looks whether a signal came.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How long the work may take to its next step.
const PATIENCE: Duration = Duration::from_secs(2);

/// From now on, signals cancel the work.
pub fn watch() -> Outcome {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&SIGNAL), signal as usize)
            .map_err(|error| about(&error))?;
    }
    let waiting = || {
        while SIGNAL.load(Ordering::SeqCst) == 0 {
            thread::sleep(BETWEEN_LOOKS);
        }
        thread::sleep(PATIENCE);
        // Never given back: nothing takes its final name from here on.
        let unfinished = unfinished();
        note("error: cancelled before the step at hand was done");
        for file in unfinished.iter() {
            let _ = fs::remove_file(file);
        }
        signal_hook::low_level::exit(cancelled(SIGNAL.load(Ordering::SeqCst)).status().into())
    };
    thread::Builder::new().name("interruption".into()).spawn(waiting).map_err(|error| about(&error))?;
    Ok(())
}

/// Whether the work may go on.
///
/// # Errors
/// [`Failure::Cancelled`] once a signal came.
pub fn check() -> Outcome {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(cancelled(signal)),
    }
}

fn cancelled(signal: usize) -> Failure {
    Failure::Cancelled { signal, can_go_on: false }
}

/// Does what must be done wholly or not at all, such as giving several files their names.
pub fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let _held = unfinished();
    work()
}

/// A file that goes where the process ends early, as long as this lives.
#[derive(Debug)]
pub struct Passing(PathBuf);

impl Passing {
    pub fn new(file: &Path) -> Passing {
        unfinished().push(file.to_path_buf());
        Passing(file.to_path_buf())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        unfinished().retain(|file| *file != self.0);
    }
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn about(error: &io::Error) -> Failure {
    Failure::Device(format!("cannot listen for Ctrl-C: {error}"))
}
