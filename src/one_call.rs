//! The third level's public face: a slice in, a vector out, on a GPU, on the CPU, or on whichever is better.

use std::ops::Range;

use crate::cross_entropy::ArrangedLoss;
use crate::engine::Choice;
use crate::request::Arranged;
use crate::tensor::check_length;
use crate::transfer::unobserved;
use crate::wait::Waiting;
use crate::{
    Axes, Cpu, CrossEntropy, Dtype, Element, Elements, ElementsMut, Engine, Error, Gpu, LossMemory,
    LossTotals, Losses, Op, Options, Progress, Request, Result,
};

/// Room for so many elements. A Jacobian may ask for more than there is.
pub(crate) fn room_for<R>(elements: u64) -> Result<Vec<R>> {
    let exhausted = || Error::OutOfMemory { detail: format!("a result of {elements} elements on the host") };
    let length = usize::try_from(elements).map_err(|_| exhausted())?;
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| exhausted())?;
    Ok(room)
}

/// Memory for so many elements, all zero.
pub(crate) fn memory_for<R: Clone + Default>(elements: u64) -> Result<Vec<R>> {
    let mut memory = room_for(elements)?;
    memory.resize(elements as usize, R::default());
    Ok(memory)
}

fn check_result(arranged: &Arranged<'_>, result: &ElementsMut<'_>) -> Result<()> {
    check_length("the result's slice", arranged.result_elements(), result.len() as u64)
}

/// The widest type that logits, operand and result have.
pub(crate) fn widest(logits: Elements<'_>, operand: Option<Elements<'_>>, result: Dtype) -> Dtype {
    let f64s = [Some(logits.dtype()), operand.map(|operand| operand.dtype()), Some(result)];
    if f64s.contains(&Some(Dtype::F64)) { Dtype::F64 } else { Dtype::F32 }
}

impl Gpu {
    fn check_dtype(&self, dtype: Dtype) -> Result<()> {
        match dtype {
            Dtype::F64 => Err(Error::UnsupportedDtype { dtype, device: self.capabilities().name.clone() }),
            _ => Ok(()),
        }
    }

    async fn fulfil_observed<O: FnMut(Progress) + ?Sized>(
        &self,
        arranged: &Arranged<'_>,
        result: ElementsMut<'_>,
        waiting: Waiting,
        observe: &mut O,
    ) -> Result<()> {
        self.check_dtype(widest(arranged.logits, arranged.operand, result.dtype()))?;
        self.transfer(arranged, result, waiting, observe).await
    }

    async fn measure<R: Element>(
        &self,
        loss: &ArrangedLoss<'_>,
        memory: &mut LossMemory<'_, R>,
        waiting: Waiting,
    ) -> Result<LossTotals> {
        self.check_dtype(widest(loss.logits, loss.operand(), R::DTYPE))?;
        let sums = self.transfer_loss(loss, loss.places(memory), waiting).await?;
        Ok(loss.conclude(sums, memory))
    }
}

impl Cpu {
    fn fulfil_observed<O: FnMut(Progress) + ?Sized>(
        &self,
        arranged: &Arranged<'_>,
        result: ElementsMut<'_>,
        observe: &mut O,
    ) {
        let total = arranged.arrangement.rows.elements();
        let compute = self.compute_arranged(arranged, result);
        observe(Progress { done: total, total, compute, ..Progress::default() });
    }

    fn measure<R: Element>(&self, loss: &ArrangedLoss<'_>, memory: &mut LossMemory<'_, R>) -> LossTotals {
        let sums = self.loss_arranged(loss, R::DTYPE, loss.places(memory));
        loss.conclude(sums, memory)
    }

    /// Computes what is asked for.
    ///
    /// # Errors
    /// [`Error::AxisOutOfRange`], [`Error::AxisRepeated`], [`Error::LengthMismatch`], [`Error::SizeOverflow`],
    /// [`Error::OperandMissing`], [`Error::OperandUnused`], and what an [`Adjustment`](crate::Adjustment) that
    /// does not fit ends in.
    pub fn answer<R: Element>(&self, request: &Request<'_>) -> Result<Vec<R>> {
        let arranged = request.arranged()?;
        let mut result = memory_for(arranged.result_elements())?;
        self.compute_arranged(&arranged, R::elements_mut(&mut result));
        Ok(result)
    }

    /// [`Cpu::answer`] into the caller's memory.
    ///
    /// # Errors
    /// As [`Cpu::answer`].
    pub fn answer_into<R: Element>(&self, request: &Request<'_>, result: &mut [R]) -> Result<()> {
        let arranged = request.arranged()?;
        let result = R::elements_mut(result);
        check_result(&arranged, &result)?;
        self.compute_arranged(&arranged, result);
        Ok(())
    }

    /// Computes a loss, and what is wanted beside it; a gradient in elements of `R`.
    ///
    /// # Errors
    /// As [`Cpu::answer`], and [`Error::LabelOutOfRange`], [`Error::LossParameter`].
    pub fn cross_entropy<R: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<R>> {
        let arranged = loss.arranged()?;
        let mut losses = arranged.new_memory()?;
        losses.sums = self.measure(&arranged, &mut losses.memory()).sums;
        Ok(losses)
    }

    /// [`Cpu::cross_entropy`] into the caller's memory: a slice for the losses, and one for each thing that is wanted
    /// beside them, which has just its length. Otherwise nothing is written.
    ///
    /// # Errors
    /// As [`Cpu::cross_entropy`].
    pub fn cross_entropy_into<R: Element>(
        &self,
        loss: &CrossEntropy<'_>,
        mut memory: LossMemory<'_, R>,
    ) -> Result<LossTotals> {
        let arranged = loss.arranged()?;
        arranged.check_memory(&memory)?;
        Ok(self.measure(&arranged, &mut memory))
    }

    /// Computes `op` along `axes` of a C-ordered array.
    ///
    /// ```
    /// use wgpu_softmax::{Cpu, Op, Options};
    /// let sums = Cpu::new().compute(Op::LogSumExp, &[0.0, 0.0, 1.0, 3.0], &[2, 2], -1, &Options::default())?;
    /// approx::assert_relative_eq!(sums[0], 2f64.ln());
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Cpu::answer`].
    pub fn compute<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        options: &Options,
    ) -> Result<Vec<T>> {
        self.answer(&Request::new(op, logits, shape, axes).options(*options))
    }

    /// Some rows of each Jacobian, of softmax or of log-softmax as `op` says: (…, rows asked for, K).
    ///
    /// ```
    /// use wgpu_softmax::{Cpu, Op, Options};
    /// let (logits, options) = ([0.0, 1.0, 2.0], Options::default());
    /// let last = Cpu::new().jacobian_rows(Op::Jacobian, &logits, &[3], -1, 2..3, &options)?;
    /// assert_eq!(last, Cpu::new().jacobian(&logits, &[3], -1)?[6..]);
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Cpu::answer`], and [`Error::JacobianRowsOutOfRange`].
    pub fn jacobian_rows<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        rows: Range<u64>,
        options: &Options,
    ) -> Result<Vec<T>> {
        self.answer(&Request::new(op, logits, shape, axes).options(*options).jacobian_rows(rows))
    }

    /// [`Cpu::compute`] into the caller's memory.
    ///
    /// # Errors
    /// As [`Cpu::answer`].
    pub fn compute_into<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        options: &Options,
        result: &mut [T],
    ) -> Result<()> {
        self.answer_into(&Request::new(op, logits, shape, axes).options(*options), result)
    }
}

impl Engine {
    async fn fulfil_observed<O: FnMut(Progress) + ?Sized>(
        &self,
        arranged: &Arranged<'_>,
        mut result: ElementsMut<'_>,
        waiting: Waiting,
        observe: &mut O,
    ) -> Result<()> {
        let cpu = match self.choice_for(widest(arranged.logits, arranged.operand, result.dtype())) {
            Choice::Gpu(gpu) => return gpu.fulfil_observed(arranged, result, waiting, observe).await,
            Choice::Cpu(cpu) => cpu,
            Choice::GpuThenCpu(gpu, cpu) => {
                match gpu.fulfil_observed(arranged, result.lent(), waiting, observe).await {
                    Err(error) if error.is_exhaustion() => cpu,
                    outcome => return outcome,
                }
            }
        };
        cpu.fulfil_observed(arranged, result, observe);
        Ok(())
    }

    async fn measure<R: Element>(
        &self,
        loss: &ArrangedLoss<'_>,
        memory: &mut LossMemory<'_, R>,
        waiting: Waiting,
    ) -> Result<LossTotals> {
        match self.choice_for(widest(loss.logits, loss.operand(), R::DTYPE)) {
            Choice::Gpu(gpu) => gpu.measure(loss, memory, waiting).await,
            Choice::Cpu(cpu) => Ok(cpu.measure(loss, memory)),
            Choice::GpuThenCpu(gpu, cpu) => match gpu.measure(loss, memory, waiting).await {
                Err(error) if error.is_exhaustion() => Ok(cpu.measure(loss, memory)),
                outcome => outcome,
            },
        }
    }
}

/// The calls that a GPU and an engine have alike: async, and blocking where that is possible.
macro_rules! calls {
    ($device:ident, $example:literal) => {
        impl $device {
            // Not generic: compiled once, with this crate, and not with each that calls it.
            async fn fulfil(
                &self,
                arranged: &Arranged<'_>,
                result: ElementsMut<'_>,
                waiting: Waiting,
            ) -> Result<()> {
                self.fulfil_observed(arranged, result, waiting, &mut unobserved()).await
            }

            async fn answer_waiting<R: Element>(
                &self,
                request: &Request<'_>,
                waiting: Waiting,
            ) -> Result<Vec<R>> {
                let arranged = request.arranged()?;
                let mut result = memory_for(arranged.result_elements())?;
                self.fulfil(&arranged, R::elements_mut(&mut result), waiting).await?;
                Ok(result)
            }

            async fn answer_into_waiting(
                &self,
                request: &Request<'_>,
                result: ElementsMut<'_>,
                waiting: Waiting,
            ) -> Result<()> {
                let arranged = request.arranged()?;
                check_result(&arranged, &result)?;
                self.fulfil(&arranged, result, waiting).await
            }

            async fn cross_entropy_waiting<R: Element>(
                &self,
                loss: &CrossEntropy<'_>,
                waiting: Waiting,
            ) -> Result<Losses<R>> {
                let arranged = loss.arranged()?;
                let mut losses = arranged.new_memory()?;
                losses.sums = self.measure(&arranged, &mut losses.memory(), waiting).await?.sums;
                Ok(losses)
            }

            async fn cross_entropy_into_waiting<R: Element>(
                &self,
                loss: &CrossEntropy<'_>,
                mut memory: LossMemory<'_, R>,
                waiting: Waiting,
            ) -> Result<LossTotals> {
                let arranged = loss.arranged()?;
                arranged.check_memory(&memory)?;
                self.measure(&arranged, &mut memory, waiting).await
            }

            /// Computes what is asked for.
            ///
            /// Axes that are not adjacent are permuted on the host. Work of more than some
            /// 32 MiB goes window by window ([`Gpu::stream_within`]), so it may be larger than the device's buffers.
            ///
            /// # Errors
            /// [`Error::AxisOutOfRange`], [`Error::AxisRepeated`], [`Error::LengthMismatch`],
            /// [`Error::SizeOverflow`], [`Error::OperandMissing`], [`Error::OperandUnused`], what an
            /// [`Adjustment`](crate::Adjustment) that does not fit ends in; [`Error::UnsupportedDtype`] for f64
            /// on a GPU, [`Error::LimitExceeded`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
            pub async fn answer<R: Element>(&self, request: &Request<'_>) -> Result<Vec<R>> {
                self.answer_waiting(request, Waiting::default()).await
            }

            /// Computes as `answer` does, into the caller's memory: a second such call allocates no memory
            /// for data, on the host or on the device.
            ///
            /// # Errors
            /// As `answer`.
            pub async fn answer_into<R: Element>(
                &self,
                request: &Request<'_>,
                result: &mut [R],
            ) -> Result<()> {
                self.answer_into_waiting(request, R::elements_mut(result), Waiting::default()).await
            }

            /// Computes a loss, and what is wanted beside it; a gradient in elements of `R`.
            ///
            /// # Errors
            /// As `answer`, and [`Error::LabelOutOfRange`], [`Error::LossParameter`].
            pub async fn cross_entropy<R: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<R>> {
                self.cross_entropy_waiting(loss, Waiting::default()).await
            }

            /// Computes as `cross_entropy` does, into the caller's memory: a slice for the losses, and one for each
            /// thing that is wanted beside them, which has just its length. Otherwise nothing is written. A second such
            /// call allocates no memory for data, on the host or on the device.
            ///
            /// # Errors
            /// As `cross_entropy`.
            pub async fn cross_entropy_into<R: Element>(
                &self,
                loss: &CrossEntropy<'_>,
                memory: LossMemory<'_, R>,
            ) -> Result<LossTotals> {
                self.cross_entropy_into_waiting(loss, memory, Waiting::default()).await
            }

            /// Computes `op` along `axes` of a C-ordered array.
            ///
            /// # Errors
            /// As `answer`.
            pub async fn compute<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
            ) -> Result<Vec<T>> {
                self.answer(&Request::new(op, logits, shape, axes).options(*options)).await
            }

            /// Computes as `compute` does, into the caller's memory.
            ///
            /// # Errors
            /// As `answer`.
            pub async fn compute_into<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
                result: &mut [T],
            ) -> Result<()> {
                self.answer_into(&Request::new(op, logits, shape, axes).options(*options), result).await
            }

            /// Some rows of each Jacobian, of softmax or of log-softmax as `op` says: (…, rows asked for, K).
            ///
            /// # Errors
            /// As `answer`, and [`Error::JacobianRowsOutOfRange`].
            pub async fn jacobian_rows<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                rows: Range<u64>,
                options: &Options,
            ) -> Result<Vec<T>> {
                let request = Request::new(op, logits, shape, axes).options(*options).jacobian_rows(rows);
                self.answer(&request).await
            }
        }

        #[cfg(not(target_arch = "wasm32"))]
        impl $device {
            /// `answer`, blocking.
            ///
            /// # Errors
            /// As `answer`.
            pub fn answer_blocking<R: Element>(&self, request: &Request<'_>) -> Result<Vec<R>> {
                pollster::block_on(self.answer_waiting(request, Waiting::Here))
            }

            /// `answer_into`, blocking.
            ///
            /// # Errors
            /// As `answer`.
            pub fn answer_into_blocking<R: Element>(
                &self,
                request: &Request<'_>,
                result: &mut [R],
            ) -> Result<()> {
                pollster::block_on(self.answer_into_waiting(request, R::elements_mut(result), Waiting::Here))
            }

            /// `answer_into`, blocking, which tells `observe` how far it has come and where the time went,
            /// at least once, the last time at the end.
            ///
            /// # Errors
            /// As `answer`.
            pub fn answer_observed_blocking<R: Element>(
                &self,
                request: &Request<'_>,
                result: &mut [R],
                mut observe: impl FnMut(Progress),
            ) -> Result<()> {
                self.answer_into_observed(request, R::elements_mut(result), &mut observe)
            }

            fn answer_into_observed(
                &self,
                request: &Request<'_>,
                result: ElementsMut<'_>,
                observe: &mut dyn FnMut(Progress),
            ) -> Result<()> {
                let arranged = request.arranged()?;
                check_result(&arranged, &result)?;
                pollster::block_on(self.fulfil_observed(&arranged, result, Waiting::Here, observe))
            }

            /// `cross_entropy`, blocking.
            ///
            /// # Errors
            /// As `cross_entropy`.
            pub fn cross_entropy_blocking<R: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<R>> {
                pollster::block_on(self.cross_entropy_waiting(loss, Waiting::Here))
            }

            /// `cross_entropy_into`, blocking.
            ///
            /// ```
            #[doc = $example]
            /// use wgpu_softmax::{CrossEntropy, LossMemory};
            /// let loss = CrossEntropy::new(&[0.0f32, 0.0, 5.0, 5.0], &[2, 2], 1, &[0i64, 1]).with_gradient();
            /// let (mut mean, mut gradient) = ([0.0f32], [0.0f32; 4]);
            /// for _step in 0..3 {
            ///     let memory = LossMemory::new(&mut mean).gradient(&mut gradient);
            ///     assert_eq!(device.cross_entropy_into_blocking(&loss, memory)?.counted, 2);
            /// }
            /// approx::assert_relative_eq!(mean[0], 2f32.ln());
            /// assert_eq!(gradient, [-0.25, 0.25, 0.25, -0.25]);
            /// # Ok::<(), wgpu_softmax::Error>(())
            /// ```
            ///
            /// # Errors
            /// As `cross_entropy`.
            pub fn cross_entropy_into_blocking<R: Element>(
                &self,
                loss: &CrossEntropy<'_>,
                memory: LossMemory<'_, R>,
            ) -> Result<LossTotals> {
                pollster::block_on(self.cross_entropy_into_waiting(loss, memory, Waiting::Here))
            }

            /// `compute`, blocking.
            ///
            /// ```
            #[doc = $example]
            /// use wgpu_softmax::{Op, Options};
            /// let logits = [1.0_f32, 2.0, 0.0, 0.5, 1.5, 2.5];
            /// let p = device.compute_blocking(Op::Softmax, &logits, &[2, 3], 1, &Options::default())?;
            /// approx::assert_relative_eq!(p[5], 0.66524096, max_relative = 1e-6);
            /// # Ok::<(), wgpu_softmax::Error>(())
            /// ```
            ///
            /// # Errors
            /// As `answer`.
            pub fn compute_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
            ) -> Result<Vec<T>> {
                self.answer_blocking(&Request::new(op, logits, shape, axes).options(*options))
            }

            /// `compute_into`, blocking.
            ///
            /// # Errors
            /// As `answer`.
            pub fn compute_into_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
                result: &mut [T],
            ) -> Result<()> {
                self.answer_into_blocking(&Request::new(op, logits, shape, axes).options(*options), result)
            }

            /// `jacobian_rows`, blocking.
            ///
            /// # Errors
            /// As `jacobian_rows`.
            pub fn jacobian_rows_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                rows: Range<u64>,
                options: &Options,
            ) -> Result<Vec<T>> {
                let request = Request::new(op, logits, shape, axes).options(*options).jacobian_rows(rows);
                self.answer_blocking(&request)
            }
        }
    };
}

/// The operations on logits alone that are calls of their own name, with the default options.
macro_rules! named_operations {
    ($calls:ident, $device:ident) => {
        $calls!($device, softmax, softmax_blocking, Op::Softmax, "Probabilities along `axes`.");
        $calls!(
            $device,
            log_softmax,
            log_softmax_blocking,
            Op::LogSoftmax,
            "The logarithms of the probabilities along `axes`."
        );
        $calls!(
            $device,
            log_sum_exp,
            log_sum_exp_blocking,
            Op::LogSumExp,
            "log Σ exp along `axes`, which the result no longer has."
        );
        $calls!(
            $device,
            jacobian,
            jacobian_blocking,
            Op::Jacobian,
            "The Jacobian of softmax along `axes`: K × K values, at the end, for every row of K logits."
        );
        $calls!(
            $device,
            log_softmax_jacobian,
            log_softmax_jacobian_blocking,
            Op::LogSoftmaxJacobian,
            "The Jacobian of log-softmax along `axes`: K × K values, at the end, for every row of K logits."
        );
    };
}

macro_rules! async_and_blocking {
    ($device:ident, $name:ident, $blocking:ident, $op:expr, $documentation:literal) => {
        impl $device {
            #[doc = $documentation]
            ///
            /// # Errors
            /// As `answer`.
            pub async fn $name<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.answer(&Request::new($op, logits, shape, axes)).await
            }

            #[doc = $documentation]
            /// Blocking.
            ///
            /// # Errors
            /// As `answer`.
            #[cfg(not(target_arch = "wasm32"))]
            pub fn $blocking<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.answer_blocking(&Request::new($op, logits, shape, axes))
            }
        }
    };
}

macro_rules! at_once {
    ($device:ident, $name:ident, $blocking:ident, $op:expr, $documentation:literal) => {
        impl $device {
            #[doc = $documentation]
            ///
            /// # Errors
            /// As `answer`.
            pub fn $name<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.answer(&Request::new($op, logits, shape, axes))
            }
        }
    };
}

calls!(Gpu, "# let Ok(device) = wgpu_softmax::Gpu::new_blocking() else { return Ok(()) };");
calls!(Engine, "let device = wgpu_softmax::Device::Auto.open_blocking()?;");
named_operations!(async_and_blocking, Gpu);
named_operations!(async_and_blocking, Engine);
named_operations!(at_once, Cpu);
