//! What `bench` is told, and which of it goes together.

use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum, ValueHint};
use wgpu_softmax::{Device, Dtype, Op};

use super::{Patience, values};

const NOTES: &str = "\
What is measured: on an adapter, the kernel alone (by timestamp queries; where there are none, by many dispatches in one \
submission), resident (from submission to done, with the data on the device) and end to end (from host memory to host \
memory); on the CPU, one thread and all; the textbook in f64. Each result is held against the textbook before it is timed: \
one that is wrong is told, not timed, and ends the run with status 4.

Shares are of what this machine's memory allows, measured in the same run with the same bytes: a copy for operations \
with a value per logit, a read for those with a value per row, a fill for Jacobians.

Examples:
  wgpu-softmax bench
  wgpu-softmax bench --preset full --devices gpu --json > results.jsonl
  wgpu-softmax bench --ops softmax,vjp --shapes 65536x128,4096x32768 --dtypes f32,f16 --plot speed.svg
  wgpu-softmax bench --lines --mode cpu --threads 2 --seconds 0.5 --ops softmax --shapes 65536x32";

#[derive(Debug, Arguments)]
#[command(after_help = NOTES)]
pub struct Bench {
    /// What to measure [default: softmax, log-softmax, logsumexp, cross-entropy, cross-entropy-gradient, vjp,
    /// jacobian].
    #[arg(long, value_name = "OP,…", value_delimiter = ',', value_parser = values::measured_operation())]
    pub ops: Option<Vec<Op>>,

    /// Batches as rows x classes, such as 65536x128,4096x32768.
    #[arg(long, value_name = "NxK,…", value_delimiter = ',', value_parser = values::batch)]
    pub shapes: Option<Vec<Batch>>,

    /// Batches for Jacobians, which have K numbers for each logit [default: those of --shapes].
    #[arg(long, value_name = "NxK,…", value_delimiter = ',', value_parser = values::batch)]
    pub jac_shapes: Option<Vec<Batch>>,

    /// Types of the elements [default: f32; f32 and f16 in the full preset].
    #[arg(long, value_name = "DTYPE,…", value_delimiter = ',', value_parser = values::dtype())]
    pub dtypes: Option<Vec<Dtype>>,

    /// Where: gpu (the best adapter), cpu, reference (the textbook), or parts of adapters' names [default: all
    /// three; no adapter is no error then].
    #[arg(long, value_name = "DEVICE,…", value_delimiter = ',', value_parser = values::measured_device)]
    pub devices: Option<Vec<Measured>>,

    #[command(flatten)]
    pub patience: Patience,

    /// Measure adapters as they run by the tables that `tune` has stored for them.
    #[arg(long)]
    pub tuned: bool,

    /// Time each case so often, rather than for so long.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub repeats: Option<u32>,

    /// Time the very first call, in which pipelines are built and memory is new.
    #[arg(long)]
    pub cold: bool,

    /// Print one JSON object a line, as soon as it is measured.
    #[arg(long)]
    pub json: bool,

    /// Draw the shares over rows and classes, the speed over classes, and where CPU and GPU cross over.
    #[arg(long, value_name = "OUT.svg", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,

    /// Which shapes, and how long each is timed.
    #[arg(long, value_name = "WHICH", conflicts_with_all = ["shapes", "jac_shapes"])]
    pub preset: Option<Preset>,

    /// Time each case for so long [default: what the preset says; 0.2 without, 1 with --lines].
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    pub seconds: Option<f64>,

    /// Answer as a runner of a comparison with other libraries: one JSON object for each case, with data seeded by
    /// its shape.
    #[arg(long, requires = "mode", conflicts_with_all = ["dtypes", "repeats", "cold", "json", "plot", "preset"])]
    pub lines: bool,

    /// What a runner measures.
    #[arg(long, value_name = "MODE", requires = "lines")]
    pub mode: Option<Mode>,

    /// Threads of a runner's CPU path [default: all].
    #[arg(long, value_name = "T", requires = "lines", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// N rows of K classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch {
    pub rows: usize,
    pub classes: usize,
}

/// What a column of the comparison is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    Device(Device),
    /// The textbook in f64.
    Reference,
}

/// Lists of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A few shapes, in well under a minute on two cores.
    Quick,
    /// K from 2 to 1,000,000, in at most five minutes.
    Full,
}

/// What a runner measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The CPU path, into the caller's memory.
    Cpu,
    /// From submission to done, with the data on the device.
    GpuResident,
    /// From host memory to host memory.
    GpuE2e,
}

impl Mode {
    /// The word for it, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Cpu => "cpu",
            Mode::GpuResident => "gpu-resident",
            Mode::GpuE2e => "gpu-e2e",
        }
    }
}
