//! The second level: arrays that stay on the device between operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arrangement::Arrangement;
use crate::assemble::Dtypes;
use crate::encode::{Ranges, Whole, filled_buffer};
use crate::inputs::Inputs;
use crate::plan::Job;
use crate::recycled::Spare;
use crate::rows::{checked_product, result_shape, sizes_of};
use crate::transfer::{Input, Window, in_words};
use crate::wait::Waiting;
use crate::{
    Adjustment, Axes, Dtype, Element, Error, Gpu, Kernel, Op, Operand, Options, Output, Result, Rows,
};

/// A C-ordered array in device memory, of f32 unless it was made otherwise.
///
/// Operations on it are submitted at once and awaited by nobody: only reading waits. One that keeps a device of its class
/// busy for more than some tenth of a second is submitted in parts of no more, so that a desktop's watchdog leaves it alone.
///
/// A tensor that is dropped leaves its buffer to the next one of its size ([`Gpu::keep_at_most`]), unless it has
/// been shown to anybody ([`Tensor::buffer`]). What was prepared for an operation is kept as well, for the last 64
/// of them, so that asking the same of the same tensors again costs the submission and allocates nothing. (Masks,
/// lengths, and temperatures of each row are the exception: they are uploaded each time.)
///
/// ```no_run
/// use wgpu_softmax::{Gpu, Op, Options};
/// let gpu = Gpu::new_blocking()?;
/// let logits = gpu.upload(&[1.0, 2.0, 0.0, 0.5, 1.5, 2.5], &[2, 3])?;
/// let log_probabilities = logits.compute(Op::LogSoftmax, -1, &Options::default())?;
/// let again = log_probabilities.compute(Op::Softmax, -1, &Options::default())?;
/// println!("{:?}", again.read_blocking()?);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug)]
pub struct Tensor {
    // Goes before the context: the last of a device's objects closes it, which is the context's to do.
    buffer: wgpu::Buffer,
    gpu: Gpu,
    offset: u64,
    shape: Vec<usize>,
    dtype: Dtype,
    /// Whether anybody else may hold the buffer.
    shown: AtomicBool,
}

/// An operation on a [`Tensor`], with all that it may be given besides.
///
/// ```no_run
/// use wgpu_softmax::{Adjustment, Gpu, Op, TensorRequest};
/// let gpu = Gpu::new_blocking()?;
/// let (scores, cotangent) = (gpu.upload(&[1.0, 5.0, 2.0, 2.0], &[2, 2])?, gpu.upload(&[1.0; 4], &[2, 2])?);
/// let causal = Adjustment::default().causal(0);
/// let gradient =
///     scores.answer(&TensorRequest::new(Op::Vjp, -1).operand(&cotangent).adjustment(causal))?;
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TensorRequest<'a> {
    pub(crate) op: Op,
    pub(crate) axes: Axes,
    pub(crate) options: Options,
    pub(crate) operand: Option<&'a Tensor>,
    pub(crate) adjustment: Adjustment<'a>,
    dtype: Option<Dtype>,
}

impl<'a> TensorRequest<'a> {
    /// `op` along `axes`, which must be adjacent.
    pub fn new(op: Op, axes: impl Into<Axes>) -> Self {
        let (axes, options, adjustment) = (axes.into(), Options::default(), Adjustment::default());
        TensorRequest { op, axes, options, operand: None, adjustment, dtype: None }
    }

    /// With other choices than the default ones.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The cotangent, the tangent or the weights: of the logits' shape.
    pub fn operand(mut self, operand: &'a Tensor) -> Self {
        self.operand = Some(operand);
        self
    }

    /// With a temperature or masks, which are uploaded.
    pub fn adjustment(mut self, adjustment: Adjustment<'a>) -> Self {
        self.adjustment = adjustment;
        self
    }

    /// The type of the result, where it is not the logits'.
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = Some(dtype);
        self
    }
}

impl Gpu {
    /// Copies a C-ordered array of `shape` to the device.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::LimitExceeded`] where one buffer cannot hold it,
    /// [`Error::OutOfMemory`].
    pub fn upload(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        self.upload_elements(data, shape)
    }

    /// Copies a C-ordered array of any type that GPUs load to the device.
    ///
    /// # Errors
    /// As [`Gpu::upload`], and [`Error::UnsupportedDtype`].
    pub fn upload_elements<T: Element>(&self, data: &[T], shape: &[usize]) -> Result<Tensor> {
        let elements = checked_product(&sizes_of(shape))?;
        check_length("the data", elements, data.len() as u64)?;
        self.check_buffer(elements, T::DTYPE)?;
        let tensor = self.unwritten(T::DTYPE, shape)?;
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let (words, half) = bytes.split_at(bytes.len() / 4 * 4);
        self.guarded(|| {
            if !words.is_empty() {
                self.queue().write_buffer(&tensor.buffer, 0, words);
            }
            if let Ok(half) = <[u8; 2]>::try_from(half) {
                let word = [half[0], half[1], 0, 0];
                self.queue().write_buffer(&tensor.buffer, words.len() as u64, &word);
            }
            Ok(())
        })?;
        Ok(tensor)
    }

    /// An array of `shape` on the device, all zero: for results.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub fn empty(&self, shape: &[usize]) -> Result<Tensor> {
        self.empty_of(Dtype::F32, shape)
    }

    /// An array of `shape` of any type that GPUs store, all zero.
    ///
    /// # Errors
    /// As [`Gpu::upload`], and [`Error::UnsupportedDtype`].
    pub fn empty_of(&self, dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.unwritten(dtype, shape)?;
        self.guarded(|| {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            encoder.clear_buffer(&tensor.buffer, 0, None);
            self.queue().submit([encoder.finish()]);
            Ok(())
        })?;
        Ok(tensor)
    }

    /// An array of `shape` that holds whatever its buffer held before.
    fn unwritten(&self, dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
        let elements = checked_product(&sizes_of(shape))?;
        self.check_buffer(elements, dtype)?;
        let size = in_words(elements * dtype.bytes()).max(4);
        let spare = self.recycled().spare(size);
        let spare = match spare {
            Some(Spare { buffer, shape: mut memory }) => {
                memory.clear();
                memory.extend_from_slice(shape);
                Spare { buffer, shape: memory }
            }
            None => Spare { buffer: self.new_buffer(size)?, shape: shape.to_vec() },
        };
        Ok(self.tensor_in(spare, dtype))
    }

    fn tensor_in(&self, Spare { buffer, shape }: Spare, dtype: Dtype) -> Tensor {
        Tensor { gpu: self.clone(), buffer, offset: 0, shape, dtype, shown: AtomicBool::new(false) }
    }

    fn new_buffer(&self, size: u64) -> Result<wgpu::Buffer> {
        let descriptor =
            wgpu::BufferDescriptor { label: Some("tensor"), size, usage: TENSOR, mapped_at_creation: false };
        let made = || self.guarded(|| Ok(self.device().create_buffer(&descriptor)));
        match made() {
            Err(Error::OutOfMemory { .. }) => {
                // What is kept for later is in the way now.
                self.release_memory();
                made()
            }
            outcome => outcome,
        }
    }

    /// An array of `shape` in a buffer of the caller's, starting at `slice`.
    ///
    /// The buffer needs [`BufferUsages::STORAGE`](wgpu::BufferUsages::STORAGE), and
    /// [`COPY_SRC`](wgpu::BufferUsages::COPY_SRC) for [`Tensor::read`].
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::BufferUsage`], [`Error::BufferMisaligned`].
    pub fn tensor(&self, slice: wgpu::BufferSlice<'_>, shape: &[usize]) -> Result<Tensor> {
        let needed = checked_product(&sizes_of(shape))? * Dtype::F32.bytes();
        let (what, alignment) = ("tensor's", Dtype::F32.bytes());
        if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::BufferUsage { what, usage: "STORAGE" });
        }
        if slice.offset() % alignment != 0 {
            return Err(Error::BufferMisaligned { what, offset: slice.offset(), alignment });
        }
        if needed > slice.size() {
            return Err(Error::BufferTooSmall { what, needed, actual: slice.size() });
        }
        Ok(Tensor {
            gpu: self.clone(),
            buffer: slice.buffer().clone(),
            offset: slice.offset(),
            shape: shape.to_vec(),
            dtype: Dtype::F32,
            shown: AtomicBool::new(true),
        })
    }

    fn check_buffer(&self, elements: u64, dtype: Dtype) -> Result<()> {
        if dtype == Dtype::F64 {
            return Err(Error::UnsupportedDtype { dtype, device: self.capabilities().name.clone() });
        }
        let (needed, limit) = (in_words(elements * dtype.bytes()), self.capabilities().buffer_bytes);
        let remedy = "keep it in several tensors, or use the one-call functions, which go window by window";
        if needed > limit {
            Err(Error::LimitExceeded { what: "one tensor", needed, limit, remedy })
        } else {
            Ok(())
        }
    }
}

const TENSOR: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

impl Tensor {
    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its buffer, for operations of the caller's own.
    ///
    /// The buffer is no other tensor's from then on: it may be cloned, bound and recorded, and stays what it is
    /// when this tensor is gone.
    pub fn buffer(&self) -> &wgpu::Buffer {
        self.shown.store(true, Ordering::Relaxed);
        &self.buffer
    }

    /// Its buffer, for this crate, which never holds it for longer than the tensor is there.
    pub(crate) fn held(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where its first element lies in the buffer, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&length| length as u64).product()
    }

    /// Its range of the buffer. Where it has no elements that would be empty, which no range may be; all of
    /// the rest will do, since nothing of it is read.
    fn slice(&self) -> wgpu::BufferSlice<'_> {
        match self.elements() * self.dtype.bytes() {
            0 => self.buffer.slice(self.offset..),
            bytes => self.buffer.slice(self.offset..self.offset + bytes),
        }
    }

    /// Computes `op` along `axes`, which must be adjacent, into a new tensor.
    ///
    /// A result with one value per row loses the axes.
    ///
    /// # Errors
    /// [`Error::AxesNotAdjacent`], [`Error::AxisOutOfRange`], and what [`Gpu::prepare`] reports.
    pub fn compute(&self, op: Op, axes: impl Into<Axes>, options: &Options) -> Result<Tensor> {
        self.answer(&TensorRequest::new(op, axes).options(*options))
    }

    /// [`Tensor::compute`] into a tensor that is there already, of the same number of elements.
    ///
    /// # Errors
    /// As [`Tensor::compute`], and [`Error::LengthMismatch`], [`Error::ForeignTensor`], [`Error::SameBuffer`].
    pub fn compute_into(
        &self,
        op: Op,
        axes: impl Into<Axes>,
        options: &Options,
        result: &Tensor,
    ) -> Result<()> {
        self.answer_into(&TensorRequest::new(op, axes).options(*options), result)
    }

    /// Computes what is asked for into a new tensor.
    ///
    /// A result with one value per row loses the axes.
    ///
    /// # Errors
    /// As [`Tensor::compute`], [`Error::OperandMissing`], [`Error::OperandUnused`], and what an
    /// [`Adjustment`] that does not fit ends in.
    pub fn answer(&self, request: &TensorRequest<'_>) -> Result<Tensor> {
        let dtype = request.dtype.unwrap_or(self.dtype);
        self.check_context(request.operand)?;
        let again = self.gpu.recycled().prepared_with_spare(self, request, dtype);
        if let Some((prepared, spare)) = again {
            let result = self.gpu.tensor_in(spare, dtype);
            self.submit(&prepared)?;
            return Ok(result);
        }
        let shape = result_shape(request.op, &self.shape, &request.axes, false)?;
        // Every element of it is written.
        let result = self.gpu.unwritten(dtype, &shape)?;
        self.answer_into(request, &result)?;
        Ok(result)
    }

    /// [`Tensor::answer`] into a tensor that is there already, of the same number of elements, and of any
    /// type.
    ///
    /// # Errors
    /// As [`Tensor::answer`], and [`Error::LengthMismatch`], [`Error::ForeignTensor`], [`Error::SameBuffer`].
    pub fn answer_into(&self, request: &TensorRequest<'_>, result: &Tensor) -> Result<()> {
        self.check_context(Some(result))?;
        self.check_context(request.operand)?;
        let again = self.gpu.recycled().prepared(self, request, Some(result));
        if let Some(prepared) = again {
            return self.submit(&prepared);
        }
        let op = request.op;
        let rows = Rows::of_shape(&self.shape, &request.axes)?;
        check_length("the result", rows.result(op).elements(), result.elements())?;
        let needed = op.operand().map(Operand::name);
        match (needed, request.operand) {
            (Some(needed), None) => return Err(Error::OperandMissing { op, needed }),
            (None, Some(_)) => return Err(Error::OperandUnused { op, given: "a second tensor" }),
            (_, Some(operand)) => check_length("the operand", self.elements(), operand.elements())?,
            _ => {}
        }
        if op.is_loss() {
            return Err(Error::OperandMissing { op, needed: "targets, which `Gpu::preparation` takes" });
        }
        if op.output() == Output::TwoPerRow && rows.inner() != 1 {
            let why = "the two values of a row are its last axis, which has to be the one normalised".into();
            return Err(Error::KernelUnsuitable { kernel: Kernel::LanePerColumn, why });
        }
        if result.elements() == 0 {
            return Ok(());
        }
        let mut arrangement = Arrangement::new(op, &self.shape, &request.axes)?;
        arrangement.rows = rows;
        let adjustment = request.adjustment.resolve(&self.shape, &arrangement, Dtype::F32)?;
        let dtypes = Dtypes {
            logits: self.dtype,
            result: result.dtype,
            operand: request.operand.map(|operand| operand.dtype),
        };
        let job = Job { dtypes, ..Job::plain(op, Dtype::F32, &rows, &rows.result(op), &request.options) };
        let inputs = Inputs::beside_tensors(job, &arrangement, &adjustment);
        let all = Window::all(&rows);
        let part = inputs.part(&all, rows);
        let gpu = &self.gpu;
        let sent = |input: Input| -> Result<Option<wgpu::Buffer>> {
            let length = part.input_bytes[input as usize] as usize;
            if length == 0 {
                return Ok(None);
            }
            let mut bytes = Vec::with_capacity(length);
            inputs.gather(input, &all, &mut |piece| bytes.extend_from_slice(piece));
            bytes.resize(length, 0);
            let usage = wgpu::BufferUsages::STORAGE;
            gpu.guarded(|| Ok(Some(filled_buffer(gpu.device(), "beside a tensor", &bytes, usage))))
        };
        let [mask, additive_mask, per_row] =
            [sent(Input::Mask)?, sent(Input::AdditiveMask)?, sent(Input::PerRow)?];
        let ranges = Ranges {
            operand: request.operand.map(Tensor::slice),
            mask: mask.as_ref().map(|buffer| Whole::of(buffer.slice(..))),
            additive_mask: additive_mask.as_ref().map(|buffer| Whole::of(buffer.slice(..))),
            per_row: per_row.as_ref().map(|buffer| Whole::of(buffer.slice(..))),
            ..Ranges::of(self.slice(), Some(result.slice()))
        };
        let prepared = Arc::new(gpu.prepare_job(part.job, ranges)?);
        self.submit(&prepared)?;
        let shape = result_shape(op, &self.shape, &request.axes, false)?;
        gpu.recycled().keep_prepared(self, request, Some(result), shape, prepared);
        Ok(())
    }

    fn check_context(&self, other: Option<&Tensor>) -> Result<()> {
        match other {
            Some(other) if !self.gpu.same_context(&other.gpu) => Err(Error::ForeignTensor),
            _ => Ok(()),
        }
    }

    /// Computes `op` along `axes` so that the result overwrites this tensor, which it returns.
    ///
    /// # Errors
    /// [`Error::NotInPlace`] for an operation without a value per logit, otherwise as [`Tensor::compute`].
    pub fn compute_in_place(self, op: Op, axes: impl Into<Axes>, options: &Options) -> Result<Tensor> {
        let request = TensorRequest::new(op, axes).options(*options);
        let again = self.gpu.recycled().prepared(&self, &request, None);
        if let Some(prepared) = again {
            self.submit(&prepared)?;
            return Ok(self);
        }
        let rows = Rows::of_shape(&self.shape, &request.axes)?;
        if op.output() != Output::PerElement {
            return Err(Error::NotInPlace { op });
        }
        if self.elements() > 0 {
            let job = Job::plain(op, self.dtype, &rows, &rows, options);
            let prepared = Arc::new(self.gpu.prepare_job(job, Ranges::of(self.slice(), None))?);
            self.submit(&prepared)?;
            self.gpu.recycled().keep_prepared(&self, &request, None, Vec::new(), prepared);
        }
        Ok(self)
    }

    fn submit(&self, prepared: &crate::Prepared) -> Result<()> {
        self.gpu.guarded_briefly(|| {
            let encoder = self.gpu.device().create_command_encoder(&Default::default());
            let encoder = prepared.record_in_time(&self.gpu, encoder);
            self.gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
    }

    /// Waits for everything submitted before, and copies the tensor to the host.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`]; [`Error::BufferUsage`] for a caller's buffer without
    /// `COPY_SRC`; [`Error::DtypeMismatch`] for elements of another type than f32.
    pub async fn read(&self) -> Result<Vec<f32>> {
        self.read_elements().await
    }

    /// [`Tensor::read`] for elements of the tensor's type.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub async fn read_elements<T: Element>(&self) -> Result<Vec<T>> {
        let mut result = vec![T::default(); self.elements() as usize];
        self.read_waiting(&mut result, Waiting::default()).await?;
        Ok(result)
    }

    /// [`Tensor::read`] into the caller's memory.
    ///
    /// # Errors
    /// As [`Tensor::read`], and [`Error::LengthMismatch`].
    pub async fn read_into(&self, result: &mut [f32]) -> Result<()> {
        self.read_waiting(result, Waiting::default()).await
    }

    /// [`Tensor::read`], blocking.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_blocking(&self) -> Result<Vec<f32>> {
        self.read_elements_blocking()
    }

    /// [`Tensor::read_elements`], blocking.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_elements_blocking<T: Element>(&self) -> Result<Vec<T>> {
        let mut result = vec![T::default(); self.elements() as usize];
        pollster::block_on(self.read_waiting(&mut result, Waiting::Here))?;
        Ok(result)
    }

    /// [`Tensor::read_into`], blocking.
    ///
    /// # Errors
    /// As [`Tensor::read_into`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_into_blocking(&self, result: &mut [f32]) -> Result<()> {
        pollster::block_on(self.read_waiting(result, Waiting::Here))
    }

    async fn read_waiting<T: Element>(&self, result: &mut [T], waiting: Waiting) -> Result<()> {
        if T::DTYPE != self.dtype {
            return Err(Error::DtypeMismatch { stored: self.dtype, asked: T::DTYPE });
        }
        check_length("the memory to read into", self.elements(), result.len() as u64)?;
        if !self.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::BufferUsage { what: "tensor's", usage: "COPY_SRC" });
        }
        let bytes = bytemuck::cast_slice_mut(result);
        self.gpu.read_buffer(&self.buffer, self.offset, bytes, waiting).await
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        let mut recycled = self.gpu.recycled();
        if *self.shown.get_mut() {
            recycled.forget(&self.buffer);
        } else {
            let shape = std::mem::take(&mut self.shape);
            recycled.keep(Spare { buffer: self.buffer.clone(), shape });
        }
    }
}

pub(crate) fn check_length(what: &'static str, expected: u64, actual: u64) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::LengthMismatch { what, expected, actual }) }
}
