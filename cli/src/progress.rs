//! A progress bar for long work, on standard error, where somebody is watching.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Fewer elements than this are done before a bar could be read.
const LONG: u64 = 1 << 24;

/// One phase of the work. indicatif draws nothing where standard error is no terminal.
#[derive(Debug)]
pub struct Phase {
    bar: ProgressBar,
}

impl Phase {
    /// Starts a phase of `total` elements.
    pub fn new(name: &'static str, total: u64) -> Phase {
        if total < LONG {
            return Phase { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:>10} {wide_bar} {percent:>3} %  {elapsed}, {eta} to go")
        {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(100));
        Phase { bar }
    }

    /// So many elements are done.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
