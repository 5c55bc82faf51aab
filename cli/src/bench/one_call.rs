//! One call from host memory to host memory, on the CPU or a GPU: what a program does that has its data there.

use wgpu_softmax::{
    Cpu, CrossEntropy, Element, Gpu, LossMemory, Op, Operand, Options, Reduction, Request, Result,
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
    fn cross_entropy_into<T: Element>(
        &self,
        loss: &CrossEntropy<'_>,
        memory: LossMemory<'_, T>,
    ) -> Result<()>;
}

impl OneCall for Cpu {
    fn answer_into<T: Element>(&self, request: &Request<'_>, result: &mut [T]) -> Result<()> {
        Cpu::answer_into(self, request, result)
    }

    fn cross_entropy_into<T: Element>(
        &self,
        loss: &CrossEntropy<'_>,
        memory: LossMemory<'_, T>,
    ) -> Result<()> {
        Cpu::cross_entropy_into(self, loss, memory).map(drop)
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

    fn cross_entropy_into<T: Element>(
        &self,
        loss: &CrossEntropy<'_>,
        memory: LossMemory<'_, T>,
    ) -> Result<()> {
        self.cross_entropy_into_blocking(loss, memory).map(drop)
    }
}

/// Where a call writes.
#[derive(Debug)]
pub struct Results<'m, T: Element> {
    /// What comes of the case; of a loss, its gradient, if that is the case.
    pub result: &'m mut [T],
    /// One for each row, where the case is a loss.
    pub losses: &'m mut [T::Computed],
}

/// Computes a case into memory that is there already.
pub fn compute<T: Number>(
    on: &impl OneCall,
    case: &Case,
    inputs: Inputs<'_, T>,
    results: Results<'_, T>,
) -> Result<()> {
    let shape = [case.batch.rows, case.batch.classes];
    if case.op.is_loss() {
        let logits = T::elements(inputs.logits);
        let loss = CrossEntropy::new(logits, &shape, 1, inputs.labels).reduction(Reduction::None);
        let loss = loss.options(on.options());
        let memory = LossMemory::new(results.losses);
        return match case.op {
            Op::CrossEntropyGradient => {
                on.cross_entropy_into(&loss.with_gradient(), memory.gradient(results.result))
            }
            _ => on.cross_entropy_into::<T>(&loss, memory),
        };
    }
    let request = Request::new(case.op, T::elements(inputs.logits), &shape, 1).options(on.options());
    let operand = T::elements(inputs.operand);
    let request = match case.op.operand() {
        Some(Operand::Cotangent) => request.cotangent(operand),
        Some(Operand::Tangent) => request.tangent(operand),
        _ => request,
    };
    on.answer_into(&request, results.result)
}
