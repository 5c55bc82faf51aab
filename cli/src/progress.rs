//! A progress bar for long work, on standard error, where somebody is watching.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Outcome;
use crate::interruption;
use crate::output::note;

/// Fewer elements than this are done before a bar could be read.
const LONG: u64 = 1 << 24;

/// Work that may take long: it shows how far it has come, and ends early where somebody cancels it. indicatif draws
/// nothing where standard error is no terminal.
#[derive(Debug)]
pub struct Work {
    bar: ProgressBar,
}

impl Work {
    /// Starts work on `total` elements.
    pub fn new(name: &'static str, total: u64) -> Work {
        if total < LONG {
            return Work::unseen();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:>10} {wide_bar} {percent:>3} %  {elapsed}, {eta} to go")
        {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(100));
        Work { bar }
    }

    /// Work that is part of another, or short.
    pub fn unseen() -> Work {
        Work { bar: ProgressBar::hidden() }
    }

    /// So many elements are done in all.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So many elements more are done.
    ///
    /// # Errors
    /// Where the work is cancelled.
    pub fn did(&self, elements: u64) -> Outcome {
        self.bar.inc(elements);
        self.go_on()
    }

    /// Whether it is worth going on.
    ///
    /// # Errors
    /// Where the work is cancelled.
    pub fn go_on(&self) -> Outcome {
        interruption::check()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Things that are done one after the other: a bar for those who watch, a line now and then for those who read later.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    total: u64,
    done: u64,
    told: Instant,
}

/// How often a line is written where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

impl Steps {
    /// Starts `total` steps.
    pub fn new(name: &'static str, total: u64) -> Steps {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix:>10} {wide_bar} {pos} of {len}  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        Steps { bar, total, done: 0, told: Instant::now() }
    }

    /// The next step begins.
    pub fn next(&mut self, what: &str) {
        self.done += 1;
        self.bar.set_position(self.done);
        self.bar.set_message(what.to_string());
        if self.bar.is_hidden() && self.told.elapsed() > BETWEEN_LINES {
            note(&format!("{} of {}: {what}", self.done, self.total));
            self.told = Instant::now();
        }
    }

    /// All are done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
