//! What is written: the result, and what was asked for beside it, all of it or nothing.

use crate::args::{Operation, Run};
use crate::arrays::{self, ArrayFile, Float, Written};
use crate::failure::{Failure, Outcome};
use crate::output::{Content, Destination, shown, write_together};
use crate::report::{OtherTarget, Target};

use super::Answer;
use super::inputs::Shapes;

/// Where an array goes.
struct Output {
    /// Its option's name.
    name: &'static str,
    file: ArrayFile,
    destination: Destination,
    shape: Vec<usize>,
}

/// Where everything goes that was asked for.
pub struct Outputs {
    result: Option<Output>,
    sign: Option<Output>,
    gradient: Option<Output>,
    log_probabilities: Option<Output>,
}

impl Outputs {
    /// Settles where everything goes, and refuses what can be known to fail.
    pub fn new(asked: &Run, shapes: &Shapes, result: &[usize], float: Float) -> Outcome<Outputs> {
        let to = |name: &'static str, file: &Option<ArrayFile>, shape: &[usize]| -> Outcome<Option<Output>> {
            let Some(file) = file else { return Ok(None) };
            if float == Float::Bf16 && !file.is_safetensors() {
                let path = shown(&file.path);
                return Err(Failure::Usage(format!(
                    "the .npy format has no bf16: write to a .safetensors file instead of {path}, or add --dtype f32"
                )));
            }
            let destination = Destination::of(&file.path)?;
            Ok(Some(Output { name, file: file.clone(), destination, shape: shape.to_vec() }))
        };
        let outputs = Outputs {
            result: to("output", &asked.output, result)?,
            sign: to("sign", &asked.multiplying.sign, result)?,
            gradient: to("grad", &asked.losing.grad, &shapes.logits)?,
            log_probabilities: to("log-probs", &asked.losing.log_probs, &shapes.logits)?,
        };
        let all: Vec<&Output> = outputs.all().collect();
        for (index, output) in all.iter().enumerate() {
            if all[..index].iter().any(|other| other.destination.is_same(&output.destination)) {
                let name = output.destination.name();
                return Err(Failure::Usage(format!("{name} is to be written twice: name a file for each")));
            }
        }
        Ok(outputs)
    }

    fn all(&self) -> impl Iterator<Item = &Output> {
        [&self.result, &self.sign, &self.gradient, &self.log_probabilities].into_iter().flatten()
    }

    /// Whether the result is written anywhere.
    pub fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// Whether any of it goes where reports would go otherwise.
    pub fn use_stdout(&self) -> bool {
        self.all().any(|output| output.destination.is_stdout())
    }

    /// What reports say of the result.
    pub fn result(&self, shape: Vec<usize>, dtype: Float) -> Target {
        Target { path: self.result.as_ref().map(|output| output.destination.name()), dtype, shape }
    }

    /// What reports say of the rest.
    pub fn others(&self, dtype: Float) -> Vec<OtherTarget> {
        let others = self.all().filter(|output| output.name != "output");
        let described = |Output { name, destination, shape, .. }: &Output| {
            let target = Target { path: Some(destination.name()), dtype, shape: shape.clone() };
            OtherTarget { name, target }
        };
        others.map(described).collect()
    }

    /// Writes all of it.
    pub fn write<R: Written>(&self, answer: &Answer<R>) -> Outcome {
        let Answer { result, sign, gradient, log_probabilities } = answer;
        let arrays = [
            (&self.result, result.as_slice()),
            (&self.sign, sign),
            (&self.gradient, gradient),
            (&self.log_probabilities, log_probabilities),
        ];
        let contents: Vec<_> = (arrays.into_iter())
            .filter_map(|(output, values)| Some((output.as_ref()?, values)))
            .map(|(output, values)| {
                let content = move |writer: &mut dyn std::io::Write| {
                    arrays::write(writer, &output.file.format, &output.shape, values)
                };
                (&output.destination, content)
            })
            .collect();
        let parts: Vec<(&Destination, Content<'_>)> =
            contents.iter().map(|(destination, content)| (*destination, content as Content<'_>)).collect();
        write_together(&parts)
    }
}

/// The shape of what `asked` results in.
pub fn result_shape(asked: &Run, shapes: &Shapes) -> wgpu_softmax::Result<Vec<usize>> {
    use wgpu_softmax::{Axes, Op, Reduction, result_shape};
    let axes = Axes::Several(shapes.axes.iter().map(|&axis| axis as isize).collect());
    match asked.operation {
        Operation::Rows(op) => result_shape(op, &shapes.logits, &axes, asked.keepdims),
        Operation::CrossEntropy => {
            // That the logits' own shape is possible, whatever becomes of it.
            result_shape(Op::LogSoftmax, &shapes.logits, &axes, false)?;
            Ok(match asked.losing.reduction.unwrap_or_default() {
                Reduction::None => shapes.rows.clone(),
                Reduction::Sum | Reduction::Mean => Vec::new(),
            })
        }
    }
}
