//! What calls on tensors leave for the next ones: buffers of tensors that are gone, and operations that were
//! prepared.
//!
//! wgpu fills a fresh buffer with zeros before its first use, also where all of it is about to be written, and
//! preparing an operation takes half a dozen objects. Small work costs less than either.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::adjustment::Unborrowed;
use crate::{Axes, Dtype, Op, Options, Prepared, Tensor, TensorRequest};

/// Bytes of spare buffers that a context keeps unless it is told otherwise.
pub(crate) const SPARE_BYTES: u64 = 512 << 20;

/// Spare buffers that are kept, however small.
const MOST_SPARES: usize = 64;

/// Operations that are kept.
const MOST_OPERATIONS: usize = 64;

/// Buffers and operations, within bounds: those unused for longest leave first.
pub(crate) struct Recycled {
    budget: u64,
    /// Bytes of all spares.
    bytes: u64,
    spares: VecDeque<Spare>,
    operations: VecDeque<KeptOperation>,
}

/// A buffer that nobody else has, with memory for a shape.
pub(crate) struct Spare {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) shape: Vec<usize>,
}

/// Where the elements of a tensor lie.
#[derive(PartialEq)]
struct Place {
    buffer: wgpu::Buffer,
    offset: u64,
    dtype: Dtype,
    elements: u64,
}

impl Place {
    fn of(tensor: &Tensor) -> Self {
        Place {
            buffer: tensor.held().clone(),
            offset: tensor.offset(),
            dtype: tensor.dtype(),
            elements: tensor.elements(),
        }
    }

    fn is_of(&self, tensor: &Tensor) -> bool {
        self.buffer == *tensor.held()
            && (self.offset, self.dtype) == (tensor.offset(), tensor.dtype())
            && self.elements == tensor.elements()
    }
}

/// An operation with all that it was prepared for. It holds its buffers: when the tensors of one are gone and the
/// buffer is not a spare, it has to go as well.
struct KeptOperation {
    op: Op,
    axes: Axes,
    options: Options,
    adjustment: Unborrowed,
    shape: Vec<usize>,
    logits: Place,
    operand: Option<Place>,
    /// `None` where the logits are overwritten.
    result: Option<Place>,
    result_shape: Vec<usize>,
    prepared: Arc<Prepared>,
}

impl KeptOperation {
    /// Whether the same is asked of the same tensors, whatever becomes of the result.
    fn answers(&self, logits: &Tensor, request: &TensorRequest<'_>, adjustment: Unborrowed) -> bool {
        let operands_agree = match (&self.operand, request.operand) {
            (None, None) => true,
            (Some(place), Some(operand)) => place.is_of(operand),
            _ => false,
        };
        self.logits.is_of(logits)
            && self.op == request.op
            && operands_agree
            && self.shape == logits.shape()
            && self.axes == request.axes
            && self.options == request.options
            && self.adjustment == adjustment
    }

    fn touches(&self, buffer: &wgpu::Buffer) -> bool {
        let places = [Some(&self.logits), self.operand.as_ref(), self.result.as_ref()];
        places.into_iter().flatten().any(|place| place.buffer == *buffer)
    }
}

impl Default for Recycled {
    fn default() -> Self {
        Recycled {
            budget: SPARE_BYTES,
            bytes: 0,
            spares: VecDeque::with_capacity(MOST_SPARES + 1),
            operations: VecDeque::with_capacity(MOST_OPERATIONS + 1),
        }
    }
}

impl Recycled {
    /// Keeps at most so many bytes from now on.
    pub(crate) fn keep_at_most(&mut self, bytes: u64) {
        self.budget = bytes;
        self.shrink();
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self) {
        self.operations.clear();
        self.spares.clear();
        self.bytes = 0;
    }

    fn shrink(&mut self) {
        while self.bytes > self.budget || self.spares.len() > MOST_SPARES {
            let Some(oldest) = self.spares.pop_front() else { return };
            self.bytes -= oldest.buffer.size();
            self.forget(&oldest.buffer);
        }
    }

    /// Keeps the buffer of a tensor that is gone.
    pub(crate) fn keep(&mut self, spare: Spare) {
        self.bytes += spare.buffer.size();
        self.spares.push_back(spare);
        self.shrink();
    }

    /// Lets go of what was prepared for a buffer.
    pub(crate) fn forget(&mut self, buffer: &wgpu::Buffer) {
        self.operations.retain(|operation| !operation.touches(buffer));
    }

    /// A spare of exactly so many bytes, with whatever it holds.
    pub(crate) fn spare(&mut self, bytes: u64) -> Option<Spare> {
        let place = self.spares.iter().rposition(|spare| spare.buffer.size() == bytes)?;
        self.take(place)
    }

    fn take(&mut self, place: usize) -> Option<Spare> {
        let spare = self.spares.remove(place)?;
        self.bytes -= spare.buffer.size();
        Some(spare)
    }

    /// The operation that was prepared for these tensors, and for this result or in place.
    pub(crate) fn prepared(
        &mut self,
        logits: &Tensor,
        request: &TensorRequest<'_>,
        result: Option<&Tensor>,
    ) -> Option<Arc<Prepared>> {
        let adjustment = request.adjustment.unborrowed()?;
        let place = self.operations.iter().rposition(|operation| {
            let results_agree = match (&operation.result, result) {
                (None, None) => true,
                (Some(place), Some(result)) => place.is_of(result),
                _ => false,
            };
            results_agree && operation.answers(logits, request, adjustment)
        })?;
        self.renewed(place)
    }

    /// An operation that was prepared for these tensors and for a buffer that is spare now, with that buffer: the
    /// shape that it comes with is the result's.
    pub(crate) fn prepared_with_spare(
        &mut self,
        logits: &Tensor,
        request: &TensorRequest<'_>,
        dtype: Dtype,
    ) -> Option<(Arc<Prepared>, Spare)> {
        let adjustment = request.adjustment.unborrowed()?;
        let (place, spare) = self.operations.iter().enumerate().rev().find_map(|(place, operation)| {
            let result =
                operation.result.as_ref().filter(|result| (result.dtype, result.offset) == (dtype, 0));
            let result = result.filter(|_| operation.answers(logits, request, adjustment))?;
            let spare = self.spares.iter().rposition(|spare| spare.buffer == result.buffer)?;
            Some((place, spare))
        })?;
        let mut spare = self.take(spare)?;
        spare.shape.clear();
        spare.shape.extend_from_slice(&self.operations[place].result_shape);
        Some((self.renewed(place)?, spare))
    }

    /// An operation's commands. It is the last one to leave now.
    fn renewed(&mut self, place: usize) -> Option<Arc<Prepared>> {
        let operation = self.operations.remove(place)?;
        let prepared = Arc::clone(&operation.prepared);
        self.operations.push_back(operation);
        Some(prepared)
    }

    /// Keeps an operation, unless it holds masks or the like: they may be others the next time.
    pub(crate) fn keep_prepared(
        &mut self,
        logits: &Tensor,
        request: &TensorRequest<'_>,
        result: Option<&Tensor>,
        result_shape: Vec<usize>,
        prepared: Arc<Prepared>,
    ) {
        let Some(adjustment) = request.adjustment.unborrowed() else { return };
        self.operations.push_back(KeptOperation {
            op: request.op,
            axes: request.axes.clone(),
            options: request.options,
            adjustment,
            shape: logits.shape().to_vec(),
            logits: Place::of(logits),
            operand: request.operand.map(Place::of),
            result: result.map(Place::of),
            result_shape,
            prepared,
        });
        if self.operations.len() > MOST_OPERATIONS {
            self.operations.pop_front();
        }
    }
}
