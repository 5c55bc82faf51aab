//! One call from host memory to host memory, on the CPU or a GPU: what a program does that has its data there.

use wgpu_softmax::{
    Cpu, CrossEntropy, Element, Gpu, Losses, Op, Operand, Options, Reduction, Request, Result,
};

use super::cases::Case;
use super::data::Number;
use super::judge::Inputs;

/// What answers in one call.
pub trait OneCall {
    /// What calls are made with.
    fn options(&self) -> Options {
        Options::default()
    }

    fn answer_into<T: Element>(&self, request: &Request<'_>, result: &mut [T]) -> Result<()>;
    fn cross_entropy<T: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<T>>;
}

impl OneCall for Cpu {
    fn answer_into<T: Element>(&self, request: &Request<'_>, result: &mut [T]) -> Result<()> {
        Cpu::answer_into(self, request, result)
    }

    fn cross_entropy<T: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<T>> {
        Cpu::cross_entropy(self, loss)
    }
}

impl OneCall for Gpu {
    /// A context has a table only where `--tuned` asks for it.
    fn options(&self) -> Options {
        Options::default().tuned(self.capabilities().tuning.is_some())
    }

    fn answer_into<T: Element>(&self, request: &Request<'_>, result: &mut [T]) -> Result<()> {
        self.answer_into_blocking(request, result)
    }

    fn cross_entropy<T: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<T>> {
        self.cross_entropy_blocking(loss)
    }
}

/// Computes a case into `result`; a loss comes back in memory of its own, which the library allocates.
pub fn compute<T: Number>(
    on: &impl OneCall,
    case: &Case,
    inputs: Inputs<'_, T>,
    result: &mut [T],
) -> Result<Option<Losses<T>>> {
    let shape = [case.batch.rows, case.batch.classes];
    if case.op.is_loss() {
        let logits = T::elements(inputs.logits);
        let loss = CrossEntropy::new(logits, &shape, 1, inputs.labels).reduction(Reduction::None);
        let loss = loss.options(on.options());
        let loss = if case.op == Op::CrossEntropyGradient { loss.with_gradient() } else { loss };
        return on.cross_entropy(&loss).map(Some);
    }
    let request = Request::new(case.op, T::elements(inputs.logits), &shape, 1).options(on.options());
    let operand = T::elements(inputs.operand);
    let request = match case.op.operand() {
        Some(Operand::Cotangent) => request.cotangent(operand),
        Some(Operand::Tangent) => request.tangent(operand),
        _ => request,
    };
    on.answer_into(&request, result).map(|()| None)
}
