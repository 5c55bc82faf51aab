//! The second level: arrays that stay on the device between operations.

use crate::encode::filled_buffer;
use crate::rows::{checked_product, result_shape, sizes_of};
use crate::wait::Waiting;
use crate::{Axes, Dtype, Error, Gpu, Op, Options, Output, Result, Rows};

/// A C-ordered f32 array in device memory.
///
/// Operations on it are submitted at once and awaited by nobody: only reading waits.
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
    gpu: Gpu,
    buffer: wgpu::Buffer,
    offset: u64,
    shape: Vec<usize>,
}

impl Gpu {
    /// Copies a C-ordered array of `shape` to the device.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::LimitExceeded`] where one buffer cannot hold it,
    /// [`Error::OutOfMemory`].
    pub fn upload(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        let elements = checked_product(&sizes_of(shape))?;
        check_length("the data", elements, data.len() as u64)?;
        self.check_buffer(elements)?;
        let buffer =
            self.guarded(|| Ok(filled_buffer(self.device(), "tensor", bytemuck::cast_slice(data), TENSOR)))?;
        Ok(Tensor { gpu: self.clone(), buffer, offset: 0, shape: shape.to_vec() })
    }

    /// An array of `shape` on the device, all zero: for results.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub fn empty(&self, shape: &[usize]) -> Result<Tensor> {
        let elements = checked_product(&sizes_of(shape))?;
        self.check_buffer(elements)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some("tensor"),
            size: (elements * Dtype::F32.bytes()).max(4),
            usage: TENSOR,
            mapped_at_creation: false,
        };
        let buffer = self.guarded(|| Ok(self.device().create_buffer(&descriptor)))?;
        Ok(Tensor { gpu: self.clone(), buffer, offset: 0, shape: shape.to_vec() })
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
        })
    }

    fn check_buffer(&self, elements: u64) -> Result<()> {
        let (needed, limit) = (elements * Dtype::F32.bytes(), self.capabilities().buffer_bytes);
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
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where its first element lies in the buffer, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its number of elements.
    pub fn elements(&self) -> u64 {
        sizes_of(&self.shape).iter().product()
    }

    fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(self.offset..self.offset + self.elements() * Dtype::F32.bytes())
    }

    /// Computes `op` along `axes`, which must be adjacent, into a new tensor.
    ///
    /// A result with one value per row loses the axes.
    ///
    /// # Errors
    /// [`Error::AxesNotAdjacent`], [`Error::AxisOutOfRange`], and what [`Gpu::prepare`] reports.
    pub fn compute(&self, op: Op, axes: impl Into<Axes>, options: &Options) -> Result<Tensor> {
        let axes = axes.into();
        let result = self.gpu.empty(&result_shape(op, &self.shape, &axes, false)?)?;
        self.compute_into(op, axes, options, &result)?;
        Ok(result)
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
        if !self.gpu.same_context(&result.gpu) {
            return Err(Error::ForeignTensor);
        }
        let rows = Rows::of_shape(&self.shape, &axes.into())?;
        check_length("the result", rows.result(op).elements(), result.elements())?;
        if result.elements() == 0 {
            return Ok(());
        }
        // Rows without classes leave nothing to slice; any range will do, since nothing of it is read.
        let logits = if self.elements() == 0 { self.buffer.slice(..) } else { self.slice() };
        let prepared = self.gpu.prepare(op, &rows, logits, result.slice(), options)?;
        self.submit(&prepared)
    }

    /// Computes `op` along `axes` so that the result overwrites this tensor, which it returns.
    ///
    /// # Errors
    /// [`Error::NotInPlace`] for an operation without a value per logit, otherwise as [`Tensor::compute`].
    pub fn compute_in_place(self, op: Op, axes: impl Into<Axes>, options: &Options) -> Result<Tensor> {
        let rows = Rows::of_shape(&self.shape, &axes.into())?;
        if op.output() != Output::PerElement {
            return Err(Error::NotInPlace { op });
        }
        if self.elements() > 0 {
            let prepared = self.gpu.prepare_in_place(op, &rows, self.slice(), options)?;
            self.submit(&prepared)?;
        }
        Ok(self)
    }

    fn submit(&self, prepared: &crate::Prepared) -> Result<()> {
        self.gpu.guarded(|| {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            prepared.record(&mut encoder);
            self.gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
    }

    /// Waits for everything submitted before, and copies the tensor to the host.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`]; [`Error::BufferUsage`] for a caller's buffer without
    /// `COPY_SRC`.
    pub async fn read(&self) -> Result<Vec<f32>> {
        let mut result = vec![0.0; self.elements() as usize];
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
        let mut result = vec![0.0; self.elements() as usize];
        self.read_into_blocking(&mut result)?;
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

    async fn read_waiting(&self, result: &mut [f32], waiting: Waiting) -> Result<()> {
        check_length("the memory to read into", self.elements(), result.len() as u64)?;
        if !self.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::BufferUsage { what: "tensor's", usage: "COPY_SRC" });
        }
        self.gpu.read_buffer(&self.buffer, self.offset, result, waiting).await
    }
}

pub(crate) fn check_length(what: &'static str, expected: u64, actual: u64) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::LengthMismatch { what, expected, actual }) }
}
