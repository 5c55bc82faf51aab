//! The command line: what may be asked for, and every check that needs nothing but the words themselves.
//!
//! [`values`] knows what single words stand for, [`run`] what `run` is told and which of it goes together,
//! [`bench`] what `bench` is told, [`tune`] what `tune` is told, [`plot`] what `plot` is told.

mod bench;
mod plot;
mod run;
mod tune;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, CommandFactory, Parser, Subcommand, ValueHint};
use wgpu_softmax::{Axes, Device, Dtype, Op, Precision};

pub use bench::{Batch, Bench, Measured, Mode, Preset};
pub use plot::{Over, Plot, Plotted, SoftmaxPlot};
pub use run::{Adjusting, Losing, Run};
pub use tune::Tune;
pub use values::{MEASURED, Operation, Shape, Temperature};

const EXAMPLES: &str = "\
Examples:
  wgpu-softmax run logits.npy                        the most probable class of the rows
  wgpu-softmax run logits.npy -o probabilities.npy   the probabilities themselves
  wgpu-softmax run scores.npy --op logsumexp --axis -2,-1 --keepdims -o sums.npy
  wgpu-softmax run logits.npy --op cross-entropy --labels labels.npy --grad gradient.npy
  wgpu-softmax explain 4096x50257 --device gpu       which kernel would run, and why
  wgpu-softmax plot jacobian logits.npy --row 3 -o jacobian.svg
  wgpu-softmax bench --devices cpu,gpu               how fast it is here, beside what the memory allows
  wgpu-softmax tune                                  which kernels are fastest here, for --tuned

Exit status: 0; 2 for a wrong command line; 3 for input that cannot be read or does not fit; 4 for a device \
that is missing, cannot do it, is lost or does not answer, and for too little memory; 5 for output that cannot be \
written; 130 after Ctrl-C.";

/// Softmax and what belongs to it, of arrays in .npy and .safetensors files, on any GPU that wgpu reaches and
/// on the CPU: its logarithm, derivatives and cross-entropy, with masks and temperature.
#[derive(Debug, Parser)]
#[command(name = "wgpu-softmax", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute over an array, and write the result or summarise it.
    Run(Box<Run>),
    /// List what can be computed on, and what `auto` and `gpu` take.
    Devices(Devices),
    /// Tell which kernel, grid and memory traffic a shape would get, and why.
    Explain(Explain),
    /// Measure how fast it is here, beside what the memory allows.
    Bench(Box<Bench>),
    /// Measure which kernel is fastest for rows of every length on an adapter, for --tuned to go by.
    Tune(Tune),
    /// Draw probabilities, losses or a Jacobian as SVG, of an array or as textbooks show them.
    #[command(subcommand)]
    Plot(Plot),
    /// Write every WGSL module to a folder, as a driver gets it; needs no GPU.
    Shaders(Shaders),
    /// Write a completion script for a shell to standard output.
    Completions(Completions),
}

impl Args {
    /// Refuses words that do not go together, as clap does where it can tell by itself.
    ///
    /// # Errors
    /// clap's, with status 2.
    pub fn checked(self) -> Result<Args, clap::Error> {
        if let Command::Run(run) = &self.command
            && let Err((kind, why)) = run.check()
        {
            let mut command = Args::command();
            command.build();
            let told = command.find_subcommand_mut("run").map(|run| run.error(kind, &why));
            return Err(told.unwrap_or_else(|| Args::command().error(kind, why)));
        }
        Ok(self)
    }
}

/// What both `run` and `explain` are told.
#[derive(Debug, Arguments)]
pub struct Computation {
    /// Normalise along this axis, along several together (-2,-1), or over the whole array (all); negative
    /// ones count from the end [default: -1; all for an array without dimensions].
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true, value_parser = values::axes)]
    pub axis: Option<Axes>,

    /// The result's type; input wider than it is rounded to it first [default: the input's].
    #[arg(long, value_name = "DTYPE", value_parser = values::dtype())]
    pub dtype: Option<Dtype>,

    /// Where to compute: auto, gpu (the best adapter), cpu, or a part of an adapter's name.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = values::device)]
    pub device: Device,

    /// Accurate to a few units in the last place, or the device's own exponential.
    #[arg(long, value_name = "PRECISION", default_value = "accurate", value_parser = values::precision())]
    pub precision: Precision,

    /// Let the table that `tune` has stored for the adapter choose the kernel; the last bits of results may differ
    /// from those without.
    #[arg(long)]
    pub tuned: bool,

    #[command(flatten)]
    pub patience: Patience,
}

/// How long a device is waited for.
#[derive(Debug, Clone, Copy, Arguments)]
pub struct Patience {
    /// Give up where a GPU does not answer within so many seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::timeout)]
    pub timeout: Duration,
}

impl Computation {
    /// The axes for an array of `rank` dimensions. One without dimensions has no last axis, so that by
    /// default the whole of it, its one element, is the row.
    pub fn axes(&self, rank: usize) -> Axes {
        match &self.axis {
            Some(axes) => axes.clone(),
            None if rank == 0 => Axes::All,
            None => Axes::from(-1),
        }
    }
}

#[derive(Debug, Arguments)]
pub struct Devices {
    #[command(flatten)]
    pub patience: Patience,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    wgpu-softmax explain 4096x50257\n  \
    wgpu-softmax explain 2x12x64x64 --axis -2 --op logsumexp --device gpu\n  \
    wgpu-softmax explain 64x1000 --op vjp --dtype f16")]
pub struct Explain {
    /// The array's lengths, outermost first, such as 4096x50257 or 2x12x64x64.
    #[arg(value_name = "SHAPE", value_parser = values::shape)]
    pub shape: Shape,

    /// What would be computed.
    #[arg(
        long = "op",
        value_name = "OP",
        default_value = Op::Softmax.name(),
        value_parser = values::planned_operation()
    )]
    pub operation: Operation,

    #[command(flatten)]
    pub computation: Computation,
}

#[derive(Debug, Arguments)]
pub struct Shaders {
    /// The folder, made where there is none; files of the same names in it are replaced.
    #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = folder)]
    pub output: PathBuf,

    /// Write them as a browser gets them, which wants WGSL's extensions enabled in the text.
    #[arg(long)]
    pub browser: bool,
}

#[derive(Debug, Arguments)]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

fn folder(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err("give a folder: there is one file for every module".into()),
        _ => Ok(PathBuf::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
