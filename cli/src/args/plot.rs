//! What `plot` is told.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand, ValueEnum, ValueHint};
use wgpu_softmax::Axes;

use super::values;
use crate::arrays::ArrayFile;

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
    /// The logits: a .npy or .safetensors file, or - for standard input.
    #[arg(value_name = "INPUT.npy", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub input: Option<ArrayFile>,

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
        value_parser = values::axes
    )]
    pub axis: Axes,
}
