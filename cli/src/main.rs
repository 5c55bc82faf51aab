//! `wgpu-softmax` on the command line: the library for people with arrays in files and no Rust.
//!
//! Arguments are parsed in [`args`], one module per command does the work, and what went wrong comes back
//! as a [`Failure`] that knows its exit status. Results go to standard output, all else
//! to standard error. Nothing here prints with `println!`, which panics where its reader has gone.

mod args;
mod arrays;
mod bench;
mod completions;
mod device;
mod devices;
mod explain;
mod failure;
mod interruption;
mod output;
mod plot;
mod progress;
mod report;
mod run;
mod shaders;
mod tables;
mod tune;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::{Failure, OUTPUT_STATUS};

fn main() -> ExitCode {
    keep_drivers_quiet();
    keep_losses_quiet();
    let args = match Args::try_parse().and_then(Args::checked) {
        Ok(args) => args,
        Err(refusal) => {
            // Help that was asked for is output like any other.
            let printed = refusal.print();
            let asked_for = refusal.exit_code() == 0;
            let status =
                if asked_for && printed.is_err() { OUTPUT_STATUS } else { refusal.exit_code() as u8 };
            return ExitCode::from(status);
        }
    };
    let outcome = match &args.command {
        Command::Run(run) => run::run(run),
        Command::Devices(devices) => devices::run(devices),
        Command::Explain(explain) => explain::run(explain),
        Command::Bench(bench) => bench::run(bench),
        Command::Tune(tune) => tune::run(tune),
        Command::Plot(plot) => plot::run(plot),
        Command::Shaders(shaders) => shaders::run(shaders),
        Command::Completions(completions) => completions::run(completions),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                output::note(&format!("error: {failure}"));
            }
            ExitCode::from(failure.status())
        }
    }
}

/// wgpu panics where a device is lost while it is waited for. The library makes an error of it, which is told; the
/// panic itself is no news then.
fn keep_losses_quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if !message.is_some_and(|message| message.contains("Parent device is lost")) {
            usual(panic);
        }
    }));
}

/// Vulkan drivers look for a window system, and complain on standard error where no desktop has set a folder
/// for it. This program opens no window: a folder without one in it is the answer that they take in silence.
fn keep_drivers_quiet() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing that happens in the process, so that no other thread reads the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/nonexistent") };
    }
}
