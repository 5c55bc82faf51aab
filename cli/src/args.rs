//! The command line: what may be asked for, and every check that needs nothing but the words themselves.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as Arguments, Parser, Subcommand, ValueEnum, ValueHint};
use wgpu_softmax::{Axes, Device, Dtype, Op, Precision};

const EXAMPLES: &str = "\
Examples:
  wgpu-softmax run logits.npy                        the most probable class of the rows
  wgpu-softmax run logits.npy -o probabilities.npy   the probabilities themselves
  wgpu-softmax run scores.npy --op logsumexp --axis -2,-1 --keepdims -o sums.npy
  wgpu-softmax explain 4096x50257 --device gpu       which kernel would run, and why

Exit status: 0; 2 for a wrong command line; 3 for input that cannot be read or does not fit; 4 for a device \
that is missing or cannot do it; 5 for output that cannot be written.";

const RUN_NOTES: &str = "\
Input: .npy with float16, float32, float64, integers or booleans, in either byte order, C or Fortran order, of \
any number of dimensions. The result is C-ordered and has the input's type; integers and booleans become \
float64, as in NumPy. float16 is computed in float32.

Examples:
  wgpu-softmax run logits.npy
  wgpu-softmax run logits.npy --axis 0 -o probabilities.npy
  wgpu-softmax run counts.npy --dtype f32 --device gpu --json
  produce | wgpu-softmax run - -o - --op log-softmax | consume";

/// Softmax, log-softmax and log-sum-exp of NumPy arrays, on any GPU that wgpu reaches and on the CPU.
#[derive(Debug, Parser)]
#[command(name = "wgpu-softmax", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute over an array, and write the result or summarise it.
    Run(Run),
    /// List what can be computed on, and what `auto` and `gpu` take.
    Devices(Devices),
    /// Tell which kernel, grid and memory traffic a shape would get, and why.
    Explain(Explain),
    /// Draw probabilities, losses or a Jacobian as SVG, of an array or as textbooks show them.
    #[command(subcommand)]
    Plot(Plot),
    /// Write every WGSL module to a folder, as a driver gets it; needs no GPU.
    Shaders(Shaders),
    /// Write a completion script for a shell to standard output.
    Completions(Completions),
}

#[derive(Debug, Arguments)]
#[command(after_help = RUN_NOTES)]
pub struct Run {
    /// The array: a .npy file, or - for standard input.
    #[arg(value_name = "INPUT.npy", value_hint = ValueHint::FilePath)]
    pub input: PathBuf,

    /// Write the result here as .npy, or to standard output with -; without this, print a summary.
    #[arg(short, long, value_name = "OUTPUT.npy", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub computation: Computation,

    /// Let logsumexp keep the normalised axes, with length 1.
    #[arg(long)]
    pub keepdims: bool,

    /// Print the summary's facts as one JSON object (to standard error with -o -).
    #[arg(long)]
    pub json: bool,
}

/// What both `run` and `explain` are told.
#[derive(Debug, Arguments)]
pub struct Computation {
    /// What to compute.
    #[arg(
        long,
        value_name = "OP",
        default_value = Op::Softmax.name(),
        value_parser = PossibleValuesParser::new(Op::ALL.map(Op::name)).map(op_named)
    )]
    pub op: Op,

    /// Normalise along this axis, along several together (-2,-1), or over the whole array (all); negative
    /// ones count from the end [default: -1; all for an array without dimensions].
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true, value_parser = axes)]
    pub axis: Option<Axes>,

    /// Where to compute: auto, gpu (the best adapter), cpu, or a part of an adapter's name.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: Device,

    /// The result's type; input wider than it is rounded to it first [default: the input's].
    #[arg(long, value_name = "DTYPE", value_parser = PossibleValuesParser::new(["f32", "f64"]).map(dtype_named))]
    pub dtype: Option<Dtype>,

    /// Accurate to a few units in the last place, or the device's own exponential.
    #[arg(
        long,
        value_name = "PRECISION",
        default_value = "accurate",
        value_parser = PossibleValuesParser::new(["accurate", "fast"]).map(precision_named)
    )]
    pub precision: Precision,
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
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    wgpu-softmax explain 4096x50257\n  \
    wgpu-softmax explain 2x12x64x64 --axis -2 --op logsumexp --device gpu")]
pub struct Explain {
    /// The array's lengths, outermost first, such as 4096x50257 or 2x12x64x64.
    #[arg(value_name = "SHAPE", value_parser = shape)]
    pub shape: Shape,

    #[command(flatten)]
    pub computation: Computation,
}

/// An array's lengths, whose product fits 64 bits.
#[derive(Debug, Clone)]
pub struct Shape(pub Vec<usize>);

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    wgpu-softmax plot softmax -o softmax.svg\n  \
    wgpu-softmax plot jacobian logits.npy --row 3 -o jacobian.svg\n  \
    wgpu-softmax plot cross-entropy logits.npy --axis all -o - | rsvg-convert > losses.png")]
pub enum Plot {
    /// The probabilities of a row; without an array, the softmax of 0, 1, …, 10 over these numbers.
    Softmax(SoftmaxPlot),
    /// The loss of a binary classifier, −ln z and −ln(1 − z), over the sigmoid z of its logit; a row of
    /// logits is marked on both curves.
    CrossEntropy(Plotted),
    /// The Jacobian of a row's softmax as a heat map; without an array, that of 1.25, 2.44, 0.78, 0.12.
    Jacobian(Plotted),
}

#[derive(Debug, Arguments)]
pub struct SoftmaxPlot {
    #[command(flatten)]
    pub plotted: Plotted,

    /// Draw over the classes, in their order, or over the logits [default: classes; logits without an array].
    #[arg(long, value_name = "WHAT")]
    pub over: Option<Over>,
}

/// What the horizontal axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    Classes,
    Logits,
}

#[derive(Debug, Arguments)]
pub struct Plotted {
    /// The logits: a .npy file, or - for standard input.
    #[arg(value_name = "INPUT.npy", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,

    /// Write the picture here, or to standard output with -.
    #[arg(short, long, value_name = "OUT.svg", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,

    /// The row, counted from 0 in C order over the axes that are not normalised.
    #[arg(long, value_name = "ROW", default_value_t = 0, requires = "input")]
    pub row: usize,

    /// Rows lie along this axis, along several together (-2,-1), or the whole array is one (all).
    #[arg(
        long,
        value_name = "AXIS",
        default_value = "-1",
        requires = "input",
        allow_hyphen_values = true,
        value_parser = axes
    )]
    pub axis: Axes,
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

fn op_named(name: String) -> Op {
    Op::ALL.into_iter().find(|op| op.name() == name).unwrap_or(Op::Softmax)
}

fn dtype_named(name: String) -> Dtype {
    if name == "f64" { Dtype::F64 } else { Dtype::F32 }
}

fn precision_named(name: String) -> Precision {
    if name == "fast" { Precision::Fast } else { Precision::Accurate }
}

fn axes(text: &str) -> Result<Axes, String> {
    if text == "all" {
        return Ok(Axes::All);
    }
    let mut axes: Vec<isize> = Vec::new();
    for part in text.split(',') {
        let axis = part.trim().parse().map_err(|_| {
            format!("{part:?} is not an axis: give a whole number, several with commas between them, or all")
        })?;
        // The same axis by two names (1 and -1) only shows once the array is known.
        if axes.contains(&axis) {
            return Err(format!("axis {axis} is named more than once"));
        }
        axes.push(axis);
    }
    Ok(Axes::Several(axes))
}

fn device(text: &str) -> Result<Device, String> {
    match text.trim().to_lowercase().as_str() {
        "" => Err("give auto, gpu, cpu, or a part of an adapter's name".into()),
        "auto" => Ok(Device::Auto),
        "gpu" => Ok(Device::Gpu),
        "cpu" => Ok(Device::Cpu),
        _ => Ok(Device::Named(text.trim().into())),
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    let lengths: Vec<usize> = text
        .split(['x', 'X', '×'])
        .map(|length| {
            // `parse` would take "+4" too.
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = if digits { length.parse().ok() } else { None };
            length.ok_or_else(|| {
                format!("{text:?} is not a shape: give lengths with x between them, like 4096x10")
            })
        })
        .collect::<Result<_, String>>()?;
    let bytes_of_f64 = 8u64;
    let bytes =
        lengths.iter().try_fold(bytes_of_f64, |bytes, &length| bytes.checked_mul((length as u64).max(1)));
    match bytes {
        Some(_) => Ok(Shape(lengths)),
        None => Err("no array is that large: its bytes are more than 64 bits count".into()),
    }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err("give a folder: there is one file for every module".into()),
        _ => Ok(PathBuf::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn axes_are_one_several_or_all() {
        assert_eq!(axes("-1"), Ok(Axes::from(-1)));
        assert_eq!(axes("0,-1, 2"), Ok(Axes::from([0, -1, 2])));
        assert_eq!(axes("all"), Ok(Axes::All));
        for wrong in ["", ",", "1,", "foo", "1.5", "1,1", "-", "99999999999999999999"] {
            assert!(axes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn shapes_are_lengths_with_x_between_them() {
        assert_eq!(shape("2x12X64×64").unwrap().0, [2, 12, 64, 64]);
        assert_eq!(shape("0x5").unwrap().0, [0, 5]);
        for wrong in ["", "4x", "0x", "x4", "4xx4", "-4x4", "+4x4", "4 x 4", "axb", "4294967296x4294967296"] {
            assert!(shape(wrong).is_err(), "{wrong:?}");
        }
    }
}
