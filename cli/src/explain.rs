//! `explain`: what would run for a shape, and why, without running it.

use std::fmt::Write;

use wgpu_softmax::{Axes, Capabilities, Device, Dtype, Error, Options, Plan, Rows};

use crate::args::{Computation, Explain};
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
    let chosen = device::open(&computation.device, dtype)?;

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
    match chosen.engine.gpu().filter(|_| chosen.engine.uses_gpu(dtype)) {
        Some(gpu) => {
            let plan = plan(computation, dtype, &rows, gpu.capabilities())?;
            let _ = writeln!(text, "{plan}");
        }
        None => {
            let elements = rows.elements().saturating_add(rows.result(computation.op).elements());
            let bytes = report::bytes(elements.saturating_mul(dtype.bytes()));
            line("plan", "the CPU's threads share the rows among them; there is no kernel to choose".into());
            line("memory", format!("{bytes} at the least: each logit read and each result written once"));
            if computation.device == Device::Auto && dtype == Dtype::F32 {
                // For the shape's sake only: what auto would run needs none of it.
                let _ = match plan(computation, dtype, &rows, &Capabilities::webgpu_defaults()) {
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
    computation: &Computation,
    dtype: Dtype,
    rows: &Rows,
    capabilities: &Capabilities,
) -> wgpu_softmax::Result<Plan> {
    let options = Options::default().precision(computation.precision);
    Plan::new(computation.op, dtype, rows, &options, capabilities)
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
