//! What is written: the result, and what was asked for beside it, window by window; all of it or nothing.

use std::path::PathBuf;

use crate::args::{Operation, Run};
use crate::arrays::{ArrayFile, Float, Outgoing, Region, Written};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Destination, Unfinished, shown};
use crate::progress::Work;
use crate::report::{OtherTarget, Target};

use super::Answer;
use super::inputs::Shapes;
use super::windows::Window;

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

    /// Begins to write all of it, or where it is to be `lasting`, goes on with what there is.
    pub fn begin(&self, float: Float, lasting: bool) -> Outcome<Writing> {
        let mut is_whole = true;
        let mut begin = |output: &Option<Output>| -> Outcome<Option<Outgoing>> {
            let Some(Output { file, destination, shape, .. }) = output else { return Ok(None) };
            let unfinished = match lasting {
                true => Unfinished::resume(destination)?,
                false => Unfinished::begin(destination)?,
            };
            let bytes = unfinished.bytes();
            let outgoing = Outgoing::begin(unfinished, &file.format, shape, float)?;
            is_whole &= bytes == outgoing.bytes();
            Ok(Some(outgoing))
        };
        Ok(Writing {
            result: begin(&self.result)?,
            sign: begin(&self.sign)?,
            gradient: begin(&self.gradient)?,
            log_probabilities: begin(&self.log_probabilities)?,
            is_whole,
        })
    }

    /// Where it stands how far the results have come.
    ///
    /// # Errors
    /// Where nothing is written, or not to files alone.
    pub fn progress(&self) -> Outcome<PathBuf> {
        for output in self.all() {
            if output.destination.place().is_none() {
                return Err(Failure::Usage(format!(
                    "--resume needs files to write to, and {} is none",
                    output.destination.name()
                )));
            }
        }
        let first = self.all().find_map(|output| output.destination.progress());
        first.ok_or_else(|| Failure::Usage("--resume needs a file to write to: add -o FILE".into()))
    }
}

/// What is being written.
pub struct Writing {
    result: Option<Outgoing>,
    sign: Option<Outgoing>,
    gradient: Option<Outgoing>,
    log_probabilities: Option<Outgoing>,
    /// Whether all files were there in their full length before.
    pub is_whole: bool,
}

impl Writing {
    /// Writes what came of a window, of the result where it has a value for so much.
    pub fn write<R: Written>(
        &mut self,
        output: Option<wgpu_softmax::Output>,
        shapes: &Shapes,
        window: &Window,
        answer: &Answer<R>,
        work: &Work,
    ) -> Outcome {
        use wgpu_softmax::Output::{PerElement, PerPair, PerRow, TwoPerRow};
        let Answer { result, sign, gradient, log_probabilities } = answer;
        if let (Some(outgoing), Some(output)) = (&mut self.result, output) {
            match output {
                PerElement => outgoing.write_region(&shapes.logits, &window.logits, result, work)?,
                PerRow | TwoPerRow => outgoing.write_region(&shapes.rows, &window.rows, result, work)?,
                PerPair => {
                    let classes = shapes.class_count();
                    let (mut shape, mut region) = (shapes.rows.clone(), window.rows.clone());
                    shape.extend([classes, classes]);
                    region.start.extend([window.part.start, 0]);
                    region.lengths.extend([window.part.len(), classes]);
                    outgoing.write_region(&shape, &region, result, work)?;
                }
            }
        }
        if let Some(outgoing) = &mut self.sign {
            outgoing.write_region(&shapes.rows, &window.rows, sign, work)?;
        }
        for (outgoing, values) in
            [(&mut self.gradient, gradient), (&mut self.log_probabilities, log_probabilities)]
        {
            if let Some(outgoing) = outgoing {
                outgoing.write_region(&shapes.logits, &window.logits, values, work)?;
            }
        }
        Ok(())
    }

    /// Writes the only number that the result is.
    pub fn write_number<R: Written>(&mut self, number: R, work: &Work) -> Outcome {
        match &mut self.result {
            Some(outgoing) => outgoing.write_region(&[], &Region::whole(&[]), &[number], work),
            None => Ok(()),
        }
    }

    /// Sees to it that what is written stays.
    pub fn secure(&mut self) -> Outcome {
        self.all().try_for_each(Outgoing::secure)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Outgoing> {
        let Writing { result, sign, gradient, log_probabilities, .. } = self;
        [result, sign, gradient, log_probabilities].into_iter().flatten()
    }

    /// Lets all of it appear.
    pub fn finish(self) -> Outcome {
        let Writing { result, sign, gradient, log_probabilities, .. } = self;
        let all = [result, sign, gradient, log_probabilities].into_iter().flatten();
        output::finish(all.map(Outgoing::end).collect())
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
