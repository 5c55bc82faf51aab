//! What single words of the command line stand for.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use wgpu_softmax::{Axes, Device, Dtype, FullyMasked, Op, Precision, Reduction, Tuning};

use super::bench::{Batch, Measured};
use crate::arrays::ArrayFile;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An operation on rows; a loss with its gradient where it is only to be planned.
    Rows(Op),
    /// The loss, with whatever is wanted beside it.
    CrossEntropy,
}

impl Operation {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Rows(op) => op.name(),
            Operation::CrossEntropy => "cross-entropy",
        }
    }

    /// All that may be told apart by a plan.
    fn all() -> impl Iterator<Item = Operation> {
        let losses = [Operation::CrossEntropy, Operation::Rows(Op::CrossEntropyGradient)];
        Op::ALL.into_iter().map(Operation::Rows).chain(losses)
    }

    /// All that are asked for by name: whether a log-sum-exp is weighted shows in what it is given, and
    /// whether a loss has a gradient in what is to be written.
    fn by_name() -> impl Iterator<Item = Operation> {
        use Op::{CrossEntropyGradient, SignedLogSumExp, WeightedLogSumExp};
        Operation::all().filter(|operation| {
            !matches!(operation, Operation::Rows(WeightedLogSumExp | SignedLogSumExp | CrossEntropyGradient))
        })
    }
}

/// An operation for `run`.
pub fn operation() -> impl TypedValueParser<Value = Operation> {
    PossibleValuesParser::new(Operation::by_name().map(Operation::name)).map(operation_named)
}

/// An operation for `explain`.
pub fn planned_operation() -> impl TypedValueParser<Value = Operation> {
    PossibleValuesParser::new(Operation::all().map(Operation::name)).map(operation_named)
}

fn operation_named(name: String) -> Operation {
    Operation::all().find(|operation| operation.name() == name).unwrap_or(Operation::Rows(Op::Softmax))
}

/// What `bench` measures, in the order of its reports, and how runners of other libraries spell it.
pub const MEASURED: [(Op, &str); 11] = [
    (Op::Softmax, "softmax"),
    (Op::LogSoftmax, "log_softmax"),
    (Op::LogSumExp, "logsumexp"),
    (Op::CrossEntropy, "cross_entropy"),
    (Op::CrossEntropyGradient, "cross_entropy_gradient"),
    (Op::Vjp, "vjp"),
    (Op::Jvp, "jvp"),
    (Op::LogSoftmaxVjp, "log_softmax_vjp"),
    (Op::LogSoftmaxJvp, "log_softmax_jvp"),
    (Op::Jacobian, "jacobian"),
    (Op::LogSoftmaxJacobian, "log_softmax_jacobian"),
];

/// An operation for `bench`, in either spelling.
pub fn measured_operation() -> impl TypedValueParser<Value = Op> {
    let spelt = MEASURED.map(|(op, underscored)| PossibleValue::new(op.name()).alias(underscored));
    let named = |name: String| {
        let found = MEASURED.iter().find(|(op, underscored)| name == op.name() || name == *underscored);
        found.map_or(Op::Softmax, |(op, _)| *op)
    };
    PossibleValuesParser::new(spelt).map(named)
}

/// Rows and classes of a batch that is measured.
pub fn batch(text: &str) -> Result<Batch, String> {
    match shape(text)?.0[..] {
        [rows, classes] if rows > 0 && classes > 0 => Ok(Batch { rows, classes }),
        [_, _] => Err("there is nothing to measure in an empty batch".into()),
        _ => Err(format!("{text:?} is not a batch: give rows and classes, like 65536x128")),
    }
}

/// What `bench` compares.
pub fn measured_device(text: &str) -> Result<Measured, String> {
    match text.trim().to_lowercase().as_str() {
        "reference" => Ok(Measured::Reference),
        "" | "auto" => Err("give gpu, cpu, reference, or a part of an adapter's name".into()),
        _ => device(text).map(Measured::Device),
    }
}

/// An adapter.
pub fn adapter(text: &str) -> Result<Device, String> {
    match device(text) {
        Ok(device @ (Device::Gpu | Device::Named(_))) => Ok(device),
        _ => Err("give gpu, or a part of an adapter's name: there is no kernel to choose on the CPU".into()),
    }
}

/// A type that GPUs compute in.
pub fn dtype_on_gpu() -> impl TypedValueParser<Value = Dtype> {
    let named =
        |name: String| Dtype::ON_GPU.into_iter().find(|dtype| dtype.name() == name).unwrap_or(Dtype::F32);
    PossibleValuesParser::new(Dtype::ON_GPU.map(Dtype::name)).map(named)
}

/// A length of rows that is measured.
pub fn length(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(classes) if Tuning::span(classes).is_some() => Ok(classes),
        _ => Err(format!("give a number of classes from 1 to {}", Tuning::LONGEST)),
    }
}

/// A span of time.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (1e-3..=3600.0).contains(&number) => Ok(number),
        _ => Err("give a number of seconds from 0.001 to 3600".into()),
    }
}

/// The longest wait for a device.
pub fn timeout(text: &str) -> Result<Duration, String> {
    seconds(text).map(Duration::from_secs_f64)
}

/// The type of a result.
pub fn dtype() -> impl TypedValueParser<Value = Dtype> {
    let named =
        |name: String| Dtype::ALL.into_iter().find(|dtype| dtype.name() == name).unwrap_or(Dtype::F32);
    PossibleValuesParser::new(Dtype::ALL.map(Dtype::name)).map(named)
}

pub fn precision() -> impl TypedValueParser<Value = Precision> {
    let named = |name: String| if name == "fast" { Precision::Fast } else { Precision::Accurate };
    PossibleValuesParser::new(["accurate", "fast"]).map(named)
}

pub fn reduction() -> impl TypedValueParser<Value = Reduction> {
    PossibleValuesParser::new(["none", "mean", "sum"]).map(|name: String| match name.as_str() {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        _ => Reduction::Mean,
    })
}

pub fn fully_masked() -> impl TypedValueParser<Value = FullyMasked> {
    let named = |name: String| if name == "zero" { FullyMasked::Zero } else { FullyMasked::Nan };
    PossibleValuesParser::new(["nan", "zero"]).map(named)
}

/// A file to read or to write.
pub fn array_file() -> impl TypedValueParser<Value = ArrayFile> {
    PathBufValueParser::new().try_map(ArrayFile::of)
}

/// An array's lengths, whose product fits 64 bits.
#[derive(Debug, Clone)]
pub struct Shape(pub Vec<usize>);

/// What logits are divided by.
#[derive(Debug, Clone)]
pub enum Temperature {
    /// One number.
    Number(f64),
    /// A file with one for each row.
    File(ArrayFile),
}

/// A number where it reads as one, else a file.
pub fn temperature() -> impl TypedValueParser<Value = Temperature> {
    PathBufValueParser::new().try_map(|word: PathBuf| match word.to_str().map(str::parse::<f64>) {
        Some(Ok(number)) if number.is_finite() && number > 0.0 => Ok(Temperature::Number(number)),
        Some(Ok(number)) => {
            Err(format!("{number} is no temperature: give one that is finite and more than 0"))
        }
        _ => ArrayFile::of(word).map(Temperature::File),
    })
}

/// A number of bytes.
pub fn memory(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(bytes)) if bytes >= LEAST_MEMORY => Ok(bytes),
        Ok(_) => Err(format!("give at least {}", ByteSize(LEAST_MEMORY))),
        Err(_) => Err("give a number of bytes, such as 512MiB or 2GB".into()),
    }
}

/// Less would go for buffers alone.
const LEAST_MEMORY: u64 = 1 << 20;

pub fn window(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number from 0 on".into())
}

pub fn label_smoothing(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("give a number from 0 to 1".into()),
    }
}

pub fn z_loss(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("give a finite number".into()),
    }
}

/// One axis, several, or all.
pub fn axes(text: &str) -> Result<Axes, String> {
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
    Ok(match axes[..] {
        [axis] => Axes::One(axis),
        _ => Axes::Several(axes),
    })
}

pub fn device(text: &str) -> Result<Device, String> {
    match text.trim().to_lowercase().as_str() {
        "" => Err("give auto, gpu, cpu, or a part of an adapter's name".into()),
        "auto" => Ok(Device::Auto),
        "gpu" => Ok(Device::Gpu),
        "cpu" => Ok(Device::Cpu),
        _ => Ok(Device::Named(text.trim().into())),
    }
}

/// Lengths whose product fits 64 bits.
pub fn shape(text: &str) -> Result<Shape, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
