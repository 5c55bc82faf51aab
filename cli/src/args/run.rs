//! What `run` is told, and which of it goes together.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args as Arguments, ValueHint};
use wgpu_softmax::{Axes, Dtype, FullyMasked, Op, Operand, Reduction};

use super::Computation;
use super::values::{self, Operation, Temperature};
use crate::arrays::ArrayFile;

const NOTES: &str = "\
Files: .npy, or .safetensors by their ending, where FILE.safetensors:NAME names one tensor of several (or the \
one that is written, \"result\" otherwise). Elements are float16, float32, float64, integers or booleans, in \
either byte order, C- or Fortran-ordered, of any number of dimensions; bfloat16 in .safetensors alone. One of the \
inputs may be - for standard input, one of the outputs - for standard output: .npy, both.

Types: results are C-ordered and have the logits' type, or --dtype; integers and booleans become float64, as in \
NumPy. 16-bit logits are computed in float32. Input wider than the result is rounded to its type first, \
narrower input loses nothing.

Shapes: --cotangent, --tangent and --target-probs have the logits' shape; --labels and --lengths have it without \
the normalised axes, --temperature is broadcast to that; --mask, --add-mask and the weights of logsumexp are \
broadcast to the logits'. A result of one number is an array without dimensions.

Size: arrays may be larger than the memory. They go through --memory in windows of whole rows, with the same \
bits. A row that does not fit is computed in pieces, on the CPU, unless its Jacobian is wanted. What comes or goes \
by a pipe is held in a file without a name (in TMPDIR). With --resume, what is done stays beside the \
result as .wgpu-softmax-NAME.unfinished, and the same command goes on with it.

Examples:
  wgpu-softmax run logits.npy
  wgpu-softmax run logits.npy --axis 0 -o probabilities.npy
  wgpu-softmax run counts.npy --dtype f32 --device gpu --json
  produce | wgpu-softmax run - -o - --op log-softmax | consume
  wgpu-softmax run logits.npy --op vjp --cotangent v.npy -o gradient.npy
  wgpu-softmax run scores.npy --causal --window 16 --mask padding.npy --fully-masked zero -o attention.npy
  wgpu-softmax run logits.npy --op cross-entropy --labels labels.npy --label-smoothing 0.1 --grad gradient.npy
  wgpu-softmax run huge.npy -o probabilities.npy --memory 2GiB --resume
  wgpu-softmax run model.safetensors:logits --dtype bf16 -o out.safetensors:probabilities";

#[derive(Debug, Arguments)]
#[command(after_help = NOTES)]
pub struct Run {
    /// The logits: a file, or - for standard input.
    #[arg(value_name = "INPUT", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub input: ArrayFile,

    /// Write the result here, or to standard output with -; without this, print a summary.
    #[arg(short, long, value_name = "OUTPUT", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub output: Option<ArrayFile>,

    /// What to compute.
    #[arg(
        long = "op",
        value_name = "OP",
        default_value = Op::Softmax.name(),
        value_parser = values::operation()
    )]
    pub operation: Operation,

    #[command(flatten)]
    pub computation: Computation,

    /// Let logsumexp keep the normalised axes, with length 1.
    #[arg(long)]
    pub keepdims: bool,

    /// Print the summary's facts as one JSON object (to standard error where a result goes to standard output).
    #[arg(long)]
    pub json: bool,

    /// Keep what the driver has built for a GPU in this file, for later runs to start sooner; trust it as you trust a
    /// program. Without a GPU, or where the driver has no such thing, nothing is written.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub keep_pipelines: Option<PathBuf>,

    /// Take at most so much memory for arrays, such as 512MiB or 2GB: larger ones go in windows. By default,
    /// 512MiB, or what a single row needs that cannot be cut.
    #[arg(long, value_name = "BYTES", value_parser = values::memory)]
    pub memory: Option<u64>,

    /// Keep what is done where the run is cancelled or killed, and go on with what an earlier one has left.
    #[arg(long)]
    pub resume: bool,

    #[command(flatten)]
    pub multiplying: Multiplying,

    #[command(flatten)]
    pub adjusting: Adjusting,

    #[command(flatten)]
    pub losing: Losing,
}

/// What the operations on rows read and write beside logits and result.
#[derive(Debug, Arguments)]
#[command(next_help_heading = "Derivatives and weighted sums")]
pub struct Multiplying {
    /// What vjp and log-softmax-vjp pull back.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub cotangent: Option<ArrayFile>,

    /// What jvp and log-softmax-jvp push forward.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub tangent: Option<ArrayFile>,

    /// With logsumexp, what each term is multiplied with, of any sign; with cross-entropy, a weight for each
    /// class.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub weights: Option<ArrayFile>,

    /// Write the signs of weighted sums here, and the logarithms of their absolute values as the result;
    /// without this, a negative sum's is NaN.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub sign: Option<ArrayFile>,
}

/// What becomes of the logits first.
#[derive(Debug, Arguments)]
#[command(next_help_heading = "Temperature and masks")]
pub struct Adjusting {
    /// Divide the logits by this: one number for all rows, or a file with one for each (./1 is a file).
    #[arg(
        long,
        value_name = "T|FILE",
        value_hint = ValueHint::FilePath,
        allow_negative_numbers = true,
        value_parser = values::temperature()
    )]
    pub temperature: Option<Temperature>,

    /// Let only those logits take part for which this is true (booleans, or 0 and 1).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub mask: Option<ArrayFile>,

    /// Add this to the logits, after the temperature.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub add_mask: Option<ArrayFile>,

    /// Let query i, on the last axis but one, see only the keys j ≤ i on the last.
    #[arg(long)]
    pub causal: bool,

    /// See the keys j ≤ i + D instead.
    #[arg(long, value_name = "D", requires = "causal", allow_negative_numbers = true)]
    pub causal_offset: Option<i64>,

    /// See only the last W of those keys.
    #[arg(long, value_name = "W", requires = "causal", allow_negative_numbers = true, value_parser = values::window)]
    pub window: Option<u64>,

    /// Let only the first so many classes of each row take part.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub lengths: Option<ArrayFile>,

    /// What a row becomes in which no class takes part, or all are -inf: NaN, or 0 everywhere (-inf for
    /// log-softmax).
    #[arg(long, value_name = "WHAT", default_value = "nan", value_parser = values::fully_masked())]
    pub fully_masked: FullyMasked,
}

/// What makes up a loss.
#[derive(Debug, Arguments)]
#[command(next_help_heading = "Cross-entropy")]
pub struct Losing {
    /// The class of each row, from 0 on.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub labels: Option<ArrayFile>,

    /// A probability for every logit, in place of labels.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        value_parser = values::array_file(),
        conflicts_with = "labels"
    )]
    pub target_probs: Option<ArrayFile>,

    /// Leave out the rows with this label.
    #[arg(long, value_name = "I", allow_negative_numbers = true)]
    pub ignore_index: Option<i64>,

    /// How much of each target is spread over all classes evenly, from 0 to 1.
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = values::label_smoothing)]
    pub label_smoothing: Option<f64>,

    /// The coefficient of the squared log-sum-exp that is added to each row's loss.
    #[arg(long, value_name = "C", allow_negative_numbers = true, value_parser = values::z_loss)]
    pub z_loss: Option<f64>,

    /// How the rows' losses become the result: each for itself, their weighted mean, or their sum [default: mean].
    #[arg(long, value_name = "HOW", value_parser = values::reduction())]
    pub reduction: Option<Reduction>,

    /// Write the gradient of the reduced loss by the logits here.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub grad: Option<ArrayFile>,

    /// Write the log-probabilities here, as log-softmax does.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = values::array_file())]
    pub log_probs: Option<ArrayFile>,
}

/// Why words do not go together.
type Refusal = (ErrorKind, String);

impl Run {
    /// Whether the words go together.
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_uses()?;
        self.check_needs()?;
        self.check_causal()?;
        self.check_files()
    }

    /// What is given has a use.
    fn check_uses(&self) -> Result<(), Refusal> {
        let Run { multiplying, losing, operation, .. } = self;
        let operand = match operation {
            Operation::Rows(op) => op.operand(),
            Operation::CrossEntropy => None,
        };
        let is_loss = *operation == Operation::CrossEntropy;
        let is_sum = *operation == Operation::Rows(Op::LogSumExp);
        let loss = "cross-entropy";
        let uses = [
            (
                "--cotangent",
                multiplying.cotangent.is_some(),
                operand == Some(Operand::Cotangent),
                "vjp or log-softmax-vjp",
            ),
            (
                "--tangent",
                multiplying.tangent.is_some(),
                operand == Some(Operand::Tangent),
                "jvp or log-softmax-jvp",
            ),
            ("--weights", multiplying.weights.is_some(), is_sum || is_loss, "logsumexp or cross-entropy"),
            ("--sign", multiplying.sign.is_some(), is_sum, "logsumexp"),
            ("--labels", losing.labels.is_some(), is_loss, loss),
            ("--target-probs", losing.target_probs.is_some(), is_loss, loss),
            ("--ignore-index", losing.ignore_index.is_some(), is_loss, loss),
            ("--label-smoothing", losing.label_smoothing.is_some(), is_loss, loss),
            ("--z-loss", losing.z_loss.is_some(), is_loss, loss),
            ("--reduction", losing.reduction.is_some(), is_loss, loss),
            ("--grad", losing.grad.is_some(), is_loss, loss),
            ("--log-probs", losing.log_probs.is_some(), is_loss, loss),
        ];
        if let Some((name, .., of)) = uses.into_iter().find(|&(_, given, used, _)| given && !used) {
            let why = format!("{name} goes with --op {of}, not with {}", operation.name());
            return Err((ErrorKind::ArgumentConflict, why));
        }
        if self.keepdims && is_loss {
            let why = "--keepdims goes with --op logsumexp, not with cross-entropy".into();
            return Err((ErrorKind::ArgumentConflict, why));
        }
        if losing.ignore_index.is_some() && losing.target_probs.is_some() {
            let why =
                "--ignore-index goes with --labels: with target probabilities no row has a label".into();
            return Err((ErrorKind::ArgumentConflict, why));
        }
        Ok(())
    }

    /// What is needed is given.
    fn check_needs(&self) -> Result<(), Refusal> {
        let Run { multiplying, losing, operation, .. } = self;
        let missing = match operation {
            Operation::Rows(op) => match op.operand() {
                Some(Operand::Cotangent) if multiplying.cotangent.is_none() => "--cotangent FILE",
                Some(Operand::Tangent) if multiplying.tangent.is_none() => "--tangent FILE",
                _ if multiplying.sign.is_some() && multiplying.weights.is_none() => {
                    let why = "--sign needs --weights FILE: without them every sum is positive".into();
                    return Err((ErrorKind::MissingRequiredArgument, why));
                }
                _ => return Ok(()),
            },
            Operation::CrossEntropy if losing.labels.is_none() && losing.target_probs.is_none() => {
                "--labels FILE or --target-probs FILE"
            }
            Operation::CrossEntropy => return Ok(()),
        };
        Err((ErrorKind::MissingRequiredArgument, format!("--op {} needs {missing}", operation.name())))
    }

    /// Causality needs the last axis, by itself.
    fn check_causal(&self) -> Result<(), Refusal> {
        let wrong = match &self.computation.axis {
            Some(Axes::All) => true,
            Some(Axes::One(axis)) => *axis < -1,
            Some(Axes::Several(axes)) => axes.len() != 1 || axes[0] < -1,
            _ => false,
        };
        if self.adjusting.causal && wrong {
            let why = "--causal needs the last axis, and no other, to be normalised: keys lie on it, and queries on \
                       the one before";
            return Err((ErrorKind::ArgumentConflict, why.into()));
        }
        Ok(())
    }

    /// Standard input is read once, each file written once, and in a format that has the type.
    fn check_files(&self) -> Result<(), Refusal> {
        let Run { multiplying, adjusting, losing, .. } = self;
        let temperature = match &adjusting.temperature {
            Some(Temperature::File(file)) => Some(file),
            _ => None,
        };
        let inputs = [
            Some(&self.input),
            multiplying.cotangent.as_ref(),
            multiplying.tangent.as_ref(),
            multiplying.weights.as_ref(),
            temperature,
            adjusting.mask.as_ref(),
            adjusting.add_mask.as_ref(),
            adjusting.lengths.as_ref(),
            losing.labels.as_ref(),
            losing.target_probs.as_ref(),
        ];
        if inputs.into_iter().flatten().filter(|input| input.is_stream()).count() > 1 {
            let why = "only one of the inputs can be standard input".into();
            return Err((ErrorKind::ArgumentConflict, why));
        }
        let outputs: Vec<&ArrayFile> = [&self.output, &multiplying.sign, &losing.grad, &losing.log_probs]
            .into_iter()
            .flatten()
            .collect();
        for (index, output) in outputs.iter().enumerate() {
            if outputs[..index].iter().any(|other| other.path == output.path) {
                let why = format!("{} is to be written twice: name a file for each", output.path.display());
                return Err((ErrorKind::ArgumentConflict, why));
            }
            if self.computation.dtype == Some(Dtype::Bf16) && !output.is_safetensors() {
                let path = output.path.display();
                let why =
                    format!("the .npy format has no bf16: write to a .safetensors file instead of {path}");
                return Err((ErrorKind::ArgumentConflict, why));
            }
        }
        Ok(())
    }
}
