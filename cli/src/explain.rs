//! `explain`: what would run for a shape, and why, without running it.

use std::fmt::Write;

use wgpu_softmax::{Axes, Capabilities, Device, Dtype, Error, Op, Options, Plan, Rows};

use crate::args::{Explain, Operation};
use crate::device;
use crate::failure::Outcome;
use crate::output::print;
use crate::report;

/// Prints the plan for the shape on the device.
pub fn run(asked: &Explain) -> Outcome {
    let computation = &asked.computation;
    let shape = &asked.shape.0;
    let axes = computation.axes(shape.len());
    let resolved = axes.resolve(shape.len())?;
    let (rows, permuted) = rows(shape, &axes, &resolved)?;
    let dtype = computation.dtype.unwrap_or(Dtype::F32);
    let chosen = device::open(&computation.device, dtype, computation.patience.timeout)?;
    let chosen = if computation.tuned { chosen.tuned(dtype)? } else { chosen };

    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line(
        "array",
        format!(
            "{} {dtype}, {}: {} of {}",
            report::shape(shape),
            report::along(&resolved, shape.len()),
            report::counted(rows.count(), "row", "rows"),
            report::counted(rows.classes(), "class", "classes"),
        ),
    );
    if permuted {
        line("order", "the axes are not adjacent: each row is brought together on the host first".into());
    }
    line("device", report::device(&chosen.identity));
    if let Some(table) = &chosen.identity.table {
        line("table", format!("{table}, measured on this adapter with this driver"));
    }
    match chosen.engine.gpu().filter(|_| chosen.engine.uses_gpu(dtype)) {
        Some(gpu) => {
            let plan = plan(asked, dtype, &rows, gpu.capabilities())?;
            let _ = writeln!(text, "{plan}");
        }
        None => {
            let bytes = report::bytes(least_bytes(planned(asked.operation), dtype, &rows));
            line("plan", "the CPU's threads share the rows among them; there is no kernel to choose".into());
            line("memory", format!("{bytes} at the least: each input read and each result written once"));
            if computation.device == Device::Auto && dtype != Dtype::F64 {
                // For the shape's sake only: what auto would run needs none of it.
                let _ = match plan(asked, dtype, &rows, &Capabilities::webgpu_defaults()) {
                    Ok(plan) => {
                        writeln!(
                            text,
                            "\nA GPU with no more than WebGPU's default limits would do this:\n{plan}"
                        )
                    }
                    Err(refusal) => writeln!(
                        text,
                        "\nA GPU with no more than WebGPU's default limits could not do it: {refusal}"
                    ),
                };
            }
        }
    }
    print(text.as_bytes())
}

fn plan(
    asked: &Explain,
    dtype: Dtype,
    rows: &Rows,
    capabilities: &Capabilities,
) -> wgpu_softmax::Result<Plan> {
    let options = Options::default().precision(asked.computation.precision).tuned(asked.computation.tuned);
    Plan::new(planned(asked.operation), dtype, rows, &options, capabilities)
}

/// The operation whose plan it is.
fn planned(operation: Operation) -> Op {
    match operation {
        Operation::Rows(op) => op,
        Operation::CrossEntropy => Op::CrossEntropy,
    }
}

/// What has to be read and written: the logits, a second operand of their size, the result. For a loss, a
/// label for each row, and beside a gradient the loss of each row.
fn least_bytes(op: Op, dtype: Dtype, rows: &Rows) -> u64 {
    let label_bytes = 8;
    let inputs = if op.operand().is_some() { 2 } else { 1 };
    let elements = rows.elements().saturating_mul(inputs).saturating_add(rows.result(op).elements());
    let beside = if op == Op::CrossEntropyGradient { rows.count() } else { 0 };
    let labels = if op.is_loss() { rows.count().saturating_mul(label_bytes) } else { 0 };
    elements.saturating_add(beside).saturating_mul(dtype.bytes()).saturating_add(labels)
}

/// The rows as a kernel sees them, and whether the host permutes the array to that end.
fn rows(shape: &[usize], axes: &Axes, resolved: &[usize]) -> Outcome<(Rows, bool)> {
    match Rows::of_shape(shape, axes) {
        Ok(rows) => Ok((rows, false)),
        Err(Error::AxesNotAdjacent { .. }) => {
            let lengths = |normalised: bool| {
                let chosen =
                    shape.iter().enumerate().filter(|(axis, _)| resolved.contains(axis) == normalised);
                chosen.map(|(_, &length)| length as u64).product()
            };
            Ok((Rows::batch(lengths(false), lengths(true))?, true))
        }
        Err(error) => Err(error.into()),
    }
}
