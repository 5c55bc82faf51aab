//! `completions`: a script that teaches a shell the command line.

use clap::CommandFactory;

use crate::args::{Args, Completions};
use crate::failure::Outcome;
use crate::output::print;

/// Writes the script to standard output.
pub fn run(asked: &Completions) -> Outcome {
    // By way of memory, because clap_complete panics where its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Args::command(), "wgpu-softmax", &mut script);
    print(&script)
}
