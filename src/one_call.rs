//! The third level's public face: a slice in, a vector out, on a GPU, on the CPU, or on whichever is better.

use std::ops::Range;

use crate::arrangement::Arrangement;
use crate::rows::checked_product;
use crate::tensor::check_length;
use crate::transfer::Operation;
use crate::wait::Waiting;
use crate::{Axes, Cpu, Dtype, Element, Engine, Error, Gpu, Op, Options, Progress, Result};

/// What a call is about: C-ordered logits of a shape, and the axes to normalise along.
struct Request<'a, T> {
    op: Op,
    logits: &'a [T],
    shape: &'a [usize],
    axes: Axes,
    options: Options,
    /// The rows of each Jacobian that are asked for, where it is not all of them.
    jacobian_rows: Option<Range<u64>>,
}

impl<T: Element> Request<'_, T> {
    /// The rows, once the logits are known to be as long as they have to be.
    fn arrangement(&self) -> Result<Arrangement> {
        let mut arrangement = Arrangement::new(self.op, self.shape, &self.axes)?;
        check_length("the logits' slice", arrangement.rows.elements(), self.logits.len() as u64)?;
        if let Some(range) = &self.jacobian_rows {
            arrangement.rows = arrangement.rows.with_jacobian_rows(range.clone())?;
        }
        let result = arrangement.rows.result(self.op);
        checked_product(&[result.outer(), result.classes(), result.inner()])?;
        Ok(arrangement)
    }

    /// The rows, and whether the result has room for what is computed of them.
    fn arrangement_into(&self, result: &[T]) -> Result<Arrangement> {
        let arrangement = self.arrangement()?;
        check_length("the result's slice", arrangement.rows.result(self.op).elements(), result.len() as u64)?;
        Ok(arrangement)
    }

    /// Memory for the result. A Jacobian may ask for more than there is.
    fn memory_for_result(&self) -> Result<Vec<T>> {
        let elements = self.arrangement()?.rows.result(self.op).elements() as usize;
        let mut memory = Vec::new();
        memory.try_reserve_exact(elements).map_err(|_| Error::OutOfMemory {
            detail: format!("a result of {elements} elements on the host"),
        })?;
        memory.resize(elements, T::default());
        Ok(memory)
    }
}

impl Gpu {
    async fn answer<T: Element>(
        &self,
        request: &Request<'_, T>,
        result: &mut [T],
        waiting: Waiting,
        observe: impl FnMut(Progress),
    ) -> Result<()> {
        let arrangement = request.arrangement_into(result)?;
        // f64 could be cast, too: to twice as many f32.
        if T::DTYPE == Dtype::F32
            && let Ok(logits) = bytemuck::try_cast_slice(request.logits)
            && let Ok(result) = bytemuck::try_cast_slice_mut(result)
        {
            let operation = Operation { op: request.op, rows: arrangement.rows, options: request.options };
            return self.transfer(operation, &arrangement, logits, result, waiting, observe).await;
        }
        Err(Error::UnsupportedDtype { dtype: T::DTYPE, device: self.capabilities().name.clone() })
    }
}

impl Cpu {
    fn answer<T: Element>(
        &self,
        request: &Request<'_, T>,
        result: &mut [T],
        mut observe: impl FnMut(Progress),
    ) -> Result<()> {
        let arrangement = request.arrangement_into(result)?;
        let total = arrangement.rows.elements();
        let compute =
            self.compute_arranged(request.op, request.logits, &arrangement, result, &request.options);
        observe(Progress { done: total, total, compute, ..Progress::default() });
        Ok(())
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
    /// [`Error::AxisOutOfRange`], [`Error::AxisRepeated`], [`Error::LengthMismatch`], [`Error::SizeOverflow`].
    pub fn compute<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        options: &Options,
    ) -> Result<Vec<T>> {
        let request =
            Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None };
        self.collect(&request)
    }

    fn collect<T: Element>(&self, request: &Request<'_, T>) -> Result<Vec<T>> {
        let mut result = request.memory_for_result()?;
        self.answer(request, &mut result, |_| {})?;
        Ok(result)
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
    /// As [`Cpu::compute`], and [`Error::JacobianRowsOutOfRange`].
    pub fn jacobian_rows<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        rows: Range<u64>,
        options: &Options,
    ) -> Result<Vec<T>> {
        let jacobian_rows = Some(rows);
        self.collect(&Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows })
    }

    /// [`Cpu::compute`] into the caller's memory.
    ///
    /// # Errors
    /// As [`Cpu::compute`].
    pub fn compute_into<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: impl Into<Axes>,
        options: &Options,
        result: &mut [T],
    ) -> Result<()> {
        self.answer(
            &Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None },
            result,
            |_| {},
        )
    }
}

impl Engine {
    async fn answer<T: Element>(
        &self,
        request: &Request<'_, T>,
        result: &mut [T],
        waiting: Waiting,
        observe: impl FnMut(Progress),
    ) -> Result<()> {
        match self.choice_for(T::DTYPE) {
            crate::engine::Choice::Gpu(gpu) => gpu.answer(request, result, waiting, observe).await,
            crate::engine::Choice::Cpu(cpu) => cpu.answer(request, result, observe),
        }
    }
}

/// The calls that a GPU and an engine have alike: async, and blocking where that is possible.
macro_rules! calls {
    ($device:ident, $example:literal) => {
        impl $device {
            async fn collect<T: Element>(&self, request: Request<'_, T>, waiting: Waiting) -> Result<Vec<T>> {
                let mut result = request.memory_for_result()?;
                self.answer(&request, &mut result, waiting, |_| {}).await?;
                Ok(result)
            }

            /// Computes `op` along `axes` of a C-ordered array.
            ///
            /// Axes that are not adjacent are permuted on the host. Work beyond 64 MiB of logits goes window
            /// by window, so it may be larger than the device's buffers.
            ///
            /// # Errors
            /// [`Error::AxisOutOfRange`], [`Error::AxisRepeated`], [`Error::LengthMismatch`],
            /// [`Error::SizeOverflow`], [`Error::UnsupportedDtype`] for f64 on a GPU,
            /// [`Error::LimitExceeded`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
            pub async fn compute<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
            ) -> Result<Vec<T>> {
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None };
                self.collect(request, Waiting::default()).await
            }

            /// Computes as `compute` does, into the caller's memory: a second such call allocates no memory
            /// for data, on the host or on the device.
            ///
            /// # Errors
            /// As `compute`.
            pub async fn compute_into<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
                result: &mut [T],
            ) -> Result<()> {
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None };
                self.answer(&request, result, Waiting::default(), |_| {}).await
            }

            /// Some rows of each Jacobian, of softmax or of log-softmax as `op` says: (…, rows asked for, K).
            ///
            /// # Errors
            /// As `compute`, and [`Error::JacobianRowsOutOfRange`].
            pub async fn jacobian_rows<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                rows: Range<u64>,
                options: &Options,
            ) -> Result<Vec<T>> {
                let jacobian_rows = Some(rows);
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows };
                self.collect(request, Waiting::default()).await
            }
        }

        #[cfg(not(target_arch = "wasm32"))]
        impl $device {
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
            /// As `compute`.
            pub fn compute_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
            ) -> Result<Vec<T>> {
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None };
                pollster::block_on(self.collect(request, Waiting::Here))
            }

            /// `compute_into`, blocking.
            ///
            /// # Errors
            /// As `compute`.
            pub fn compute_into_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
                result: &mut [T],
            ) -> Result<()> {
                self.compute_observed_blocking(op, logits, shape, axes, options, result, |_| {})
            }

            /// `compute_into`, blocking, which tells `observe` how far it has come and where the time went,
            /// at least once, the last time at the end.
            ///
            /// # Errors
            /// As `compute`.
            #[expect(clippy::too_many_arguments, reason = "compute_into's, and who watches")]
            pub fn compute_observed_blocking<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
                options: &Options,
                result: &mut [T],
                observe: impl FnMut(Progress),
            ) -> Result<()> {
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows: None };
                pollster::block_on(self.answer(&request, result, Waiting::Here, observe))
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
                let jacobian_rows = Some(rows);
                let request =
                    Request { op, logits, shape, axes: axes.into(), options: *options, jacobian_rows };
                pollster::block_on(self.collect(request, Waiting::Here))
            }
        }
    };
}

/// The operations that are calls of their own name, with the default options.
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
            /// As `compute`.
            pub async fn $name<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.compute($op, logits, shape, axes, &Options::default()).await
            }

            #[doc = $documentation]
            /// Blocking.
            ///
            /// # Errors
            /// As `compute`.
            #[cfg(not(target_arch = "wasm32"))]
            pub fn $blocking<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.compute_blocking($op, logits, shape, axes, &Options::default())
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
            /// As `compute`.
            pub fn $name<T: Element>(
                &self,
                logits: &[T],
                shape: &[usize],
                axes: impl Into<Axes>,
            ) -> Result<Vec<T>> {
                self.compute($op, logits, shape, axes, &Options::default())
            }
        }
    };
}

calls!(Gpu, "# let Ok(device) = wgpu_softmax::Gpu::new_blocking() else { return Ok(()) };");
calls!(Engine, "let device = wgpu_softmax::Device::Auto.open_blocking()?;");
named_operations!(async_and_blocking, Gpu);
named_operations!(async_and_blocking, Engine);
named_operations!(at_once, Cpu);
