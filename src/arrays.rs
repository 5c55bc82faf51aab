//! ndarray in and out: views of any layout, answers as arrays (feature `ndarray`).

use ndarray::{Array, ArrayD, ArrayView, ArrayViewMut, Dimension, IxDyn};

use crate::{Axes, Cpu, Element, Error, Op, Options, Result, result_shape};

/// Calls that take ndarray's views, of any layout and any number of dimensions, for every device. Blocking:
/// async code passes slices.
///
/// ```
/// use ndarray::array;
/// use wgpu_softmax::{Arrays, Device};
/// let device = Device::Auto.open_blocking()?;
/// let logits = array![[1.0_f32, 0.5], [2.0, 1.5], [0.0, 2.5]];
/// let p = device.softmax_array(logits.t(), 1)?;
/// approx::assert_relative_eq!(p[[1, 2]], 0.66524096, max_relative = 1e-6);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
pub trait Arrays {
    /// Computes `op` along `axes` of C-ordered logits of `shape` into the caller's memory.
    ///
    /// # Errors
    /// As the device's `compute`.
    fn compute_ordered<T: Element>(
        &self,
        op: Op,
        logits: &[T],
        shape: &[usize],
        axes: Axes,
        options: &Options,
        result: &mut [T],
    ) -> Result<()>;

    /// Computes `op` along `axes` of a view; a result with one value per row no longer has them.
    ///
    /// # Errors
    /// As the device's `compute`.
    fn compute_array<T: Element, D: Dimension>(
        &self,
        op: Op,
        logits: ArrayView<'_, T, D>,
        axes: impl Into<Axes>,
        options: &Options,
    ) -> Result<ArrayD<T>> {
        let axes = axes.into();
        let shape = result_shape(op, logits.shape(), &axes, false)?;
        let mut result = ArrayD::from_elem(IxDyn(&shape), T::default());
        self.compute_array_into(op, logits, axes, options, result.view_mut())?;
        Ok(result)
    }

    /// [`Arrays::compute_array`] into a view of the caller's, which has the result's shape. Nothing is
    /// allocated for data where both views are C-ordered.
    ///
    /// # Errors
    /// As the device's `compute`, and [`Error::ShapeMismatch`].
    fn compute_array_into<T: Element, D: Dimension, R: Dimension>(
        &self,
        op: Op,
        logits: ArrayView<'_, T, D>,
        axes: impl Into<Axes>,
        options: &Options,
        mut result: ArrayViewMut<'_, T, R>,
    ) -> Result<()> {
        let axes = axes.into();
        let shape = result_shape(op, logits.shape(), &axes, false)?;
        if result.shape() != shape {
            return Err(Error::ShapeMismatch { expected: shape, actual: result.shape().to_vec() });
        }
        let ordered = logits.as_standard_layout();
        let slice = ordered.as_slice().unwrap_or_default();
        match result.as_slice_mut() {
            Some(memory) => self.compute_ordered(op, slice, logits.shape(), axes, options, memory),
            None => {
                let mut values = vec![T::default(); result.len()];
                self.compute_ordered(op, slice, logits.shape(), axes, options, &mut values)?;
                result.iter_mut().zip(values).for_each(|(place, value)| *place = value);
                Ok(())
            }
        }
    }

    /// Probabilities along `axes` of a view.
    ///
    /// # Errors
    /// As the device's `compute`.
    fn softmax_array<T: Element, D: Dimension>(
        &self,
        logits: ArrayView<'_, T, D>,
        axes: impl Into<Axes>,
    ) -> Result<Array<T, D>> {
        same_shape(self, Op::Softmax, logits, axes)
    }

    /// The logarithms of the probabilities along `axes` of a view.
    ///
    /// # Errors
    /// As the device's `compute`.
    fn log_softmax_array<T: Element, D: Dimension>(
        &self,
        logits: ArrayView<'_, T, D>,
        axes: impl Into<Axes>,
    ) -> Result<Array<T, D>> {
        same_shape(self, Op::LogSoftmax, logits, axes)
    }

    /// log Σ exp along `axes` of a view; the result no longer has them.
    ///
    /// # Errors
    /// As the device's `compute`.
    fn log_sum_exp_array<T: Element, D: Dimension>(
        &self,
        logits: ArrayView<'_, T, D>,
        axes: impl Into<Axes>,
    ) -> Result<ArrayD<T>> {
        self.compute_array(Op::LogSumExp, logits, axes, &Options::default())
    }
}

/// An operation with a value per element keeps the number of dimensions, which the compiler then knows.
fn same_shape<T: Element, D: Dimension>(
    device: &(impl Arrays + ?Sized),
    op: Op,
    logits: ArrayView<'_, T, D>,
    axes: impl Into<Axes>,
) -> Result<Array<T, D>> {
    let mut result = Array::from_elem(logits.raw_dim(), T::default());
    device.compute_array_into(op, logits, axes, &Options::default(), result.view_mut())?;
    Ok(result)
}

/// A device's own call on slices, under the name the trait builds on.
macro_rules! on_slices {
    ($device:ty, $compute_into:ident) => {
        impl Arrays for $device {
            fn compute_ordered<T: Element>(
                &self,
                op: Op,
                logits: &[T],
                shape: &[usize],
                axes: Axes,
                options: &Options,
                result: &mut [T],
            ) -> Result<()> {
                self.$compute_into(op, logits, shape, axes, options, result)
            }
        }
    };
}

on_slices!(Cpu, compute_into);
#[cfg(not(target_arch = "wasm32"))]
on_slices!(crate::Gpu, compute_into_blocking);
#[cfg(not(target_arch = "wasm32"))]
on_slices!(crate::Engine, compute_into_blocking);
