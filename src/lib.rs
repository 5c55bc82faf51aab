//! The softmax family over batches of logits, on any GPU that wgpu reaches and on the CPU.
//!
//! ```
//! use wgpu_softmax::Device;
//!
//! // A GPU where there is one, the CPU where there is not.
//! let device = Device::Auto.open_blocking()?;
//! let logits = [1.25_f32, 2.44, 0.78, 0.12, 6.0, 3.0, 0.0, 1.0];
//! let probabilities = device.softmax_blocking(&logits, &[2, 4], -1)?;
//! approx::assert_relative_eq!(probabilities[1], 0.6278907, max_relative = 1e-6);
//! # Ok::<(), wgpu_softmax::Error>(())
//! ```
//!
//! # Three levels
//!
//! Each is built on the one before it.
//!
//! 1. **Prepare and record.** [`Gpu::prepare`] makes an operation ready for its buffers; [`Prepared::record`]
//!    puts it into an encoder of yours, any number of times, without submitting, allocating or waiting.
//! 2. **Resident.** A [`Tensor`] stays on the device from one operation to the next.
//! 3. **One call.** [`Gpu::softmax`], [`Cpu::softmax`], [`Engine::softmax`] and their like take a slice and
//!    give a vector; the `…_into` forms write into memory of yours (a [`LossMemory`] for a loss). A row that is
//!    longer than memory goes through the CPU as a [`RowInPieces`] or a [`LossInPieces`].
//!
//! What has more to it than logits is said in one place on each level: a [`Request`] or a [`CrossEntropy`] over
//! slices, a [`TensorRequest`] over tensors, a [`Preparation`] over buffers. There is
//!
//! - the derivative: whole Jacobians, or some of their rows; products with a cotangent or a tangent ([`Op::Vjp`],
//!   [`Op::Jvp`] and those of log-softmax), from logits or from saved probabilities ([`Given`]);
//! - the loss: cross-entropy with labels or target probabilities, class weights, an ignored label, label smoothing
//!   and z-loss, with its gradient from the same pass ([`CrossEntropy`]);
//! - the weighted log-sum-exp, with the sign of its sum;
//! - the [`Adjustment`]: a temperature, masks that are broadcast, causality, a sliding window, lengths of rows;
//! - logits, operands and results of [`f16`](struct@f16) and [`bf16`], in any mixture with f32; all arithmetic is f32.
//!
//! Async functions have blocking twins everywhere but in a browser.
//!
//! # Shapes
//!
//! Arrays are C-ordered, of any number of dimensions. One axis or several are normalised together ([`Axes`]);
//! adjacent ones collapse to `outer × classes × inner` ([`Rows`]), others are permuted on the host by the
//! one-call functions. There is no limit on the number of rows, and none on their length but the device's
//! buffers. The bits of a row depend neither on how many rows there are nor on where it stands.
//!
//! # Accuracy
//!
//! With u = 2⁻²⁴, f32 throughout, against the exact answer for the stored logits. f64 (on the CPU) has the
//! same table with u = 2⁻⁵³ and 2⁻¹⁰²² in place of 2⁻¹²⁶.
//!
//! | result | [`Precision::Accurate`] | [`Precision::Fast`] |
//! | --- | --- | --- |
//! | softmax | relative error ≤ 16 u where it is ≥ 2⁻¹²⁶, else absolute ≤ 2⁻¹²⁶; a row sums to 1 within 16 u | ≤ (20 + 5·(\|x − max\| + Σⱼ pⱼ\|xⱼ − max\|)) u |
//! | log-softmax | absolute error ≤ 8 u·max(1, \|y\|); the largest entry within 16 u relative; never −0 | the fast softmax's relative error as absolute error, plus 8 u·max(1, \|y\|) |
//! | log-sum-exp | absolute error ≤ 4 u·(\|max\| + \|lse\| + log term) | likewise |
//! | Jacobian pᵢ(δᵢⱼ − pⱼ) | relative error ≤ 34 u, also on the diagonal where pᵢ → 1 | that of the fast softmax, twice |
//! | Jacobian of log-softmax, δᵢⱼ − pⱼ | relative error ≤ 40 u, also on the diagonal | that of the fast softmax, twice |
//! | VJP, JVP: pᵢ(vᵢ − ⟨p, v⟩) | absolute error ≤ 40 u·pᵢ·max\|v\| | not promised |
//! | VJP of log-softmax, vᵢ − pᵢ·Σv | absolute error ≤ 40 u·(\|vᵢ\| + pᵢ·Σ\|v\|) | not promised |
//! | JVP of log-softmax, vᵢ − ⟨p, v⟩ | absolute error ≤ 40 u·(\|vᵢ\| + Σ p\|v\|) | not promised |
//! | cross-entropy of a row, Σ q·nll | absolute error ≤ 8 u·max(1, \|loss\|)·max(1, Σq) | not promised |
//! | its gradient | absolute error ≤ 40 u·(pᵢ·Σq + qᵢ) | not promised |
//! | weighted log-sum-exp | as log-sum-exp where no weights cancel | likewise |
//!
//! With a temperature T or an additive mask the row that is meant is z = x / T + mask, rounded, and the bounds
//! grow by 3 u·max|z|; derivatives are those by x. A sum or mean of losses is added up without rounding in between
//! (in blocks where it stays on the device). Results of f16 and bf16 are within one unit in their last place of
//! the exact answer for the stored inputs, and keep subnormal numbers.
//!
//! Every bound carries + 2⁻¹²⁶ absolute, since devices may flush subnormal numbers (twice that for a difference of
//! which both sides may be flushed, and times what a flushed probability is multiplied with: the size of v, 1 / T),
//! and the fast ones + K·2⁻¹²⁶, since each of K terms may be flushed before they are added up.
//!
//! # Special values
//!
//! The same on the CPU and on every GPU; a NaN written is 0x7fc00000.
//!
//! | row | softmax | log-softmax | log-sum-exp |
//! | --- | --- | --- | --- |
//! | holds a NaN | all NaN | all NaN | NaN |
//! | holds +∞ (no NaN) | all NaN | all NaN | +∞ |
//! | some −∞, something finite | 0 there | −∞ there | finite |
//! | all −∞ | NaN ([`FullyMasked::Nan`]) or 0 ([`FullyMasked::Zero`]) | NaN or −∞ | −∞ |
//! | all equal, any magnitude | 1/K | −ln K | x + ln K |
//! | \[3e38, 3e38, −3e38\] | ½ ½ 0 | −0.6931 −0.6931 −∞ | 3e38 |
//! | K = 1, finite | 1 | 0 | x |
//! | K = 0, N > 0 | empty | empty | −∞ |
//! | N = 0 | empty | empty | empty |
//!
//! A masked class has no influence, whatever its logit is: its probability is 0, its log-probability −∞, its
//! derivatives 0, and its operand does not count. A row that is wholly masked is one of nothing but −∞.
//!
//! Derivatives are NaN where the softmax is; for a row of nothing but −∞ they are NaN or 0, as [`FullyMasked`]
//! says. What has no probability (−∞) has no part in ⟨p, v⟩ either, whatever v is there. A weight of 0 removes its
//! logit, whatever it holds.
//!
//! | cross-entropy of | |
//! | --- | --- |
//! | a label or target on −∞, or a label on a masked class | +∞ |
//! | a target of 0, wherever | 0 of it, also on −∞ |
//! | an ignored row, whatever its logits | 0, its gradient 0, not counted |
//! | a label that names no class | [`Error::LabelOutOfRange`], which names the row |
//! | nothing to average | NaN, and a count of 0 |
//! | a row with a NaN or +∞ | NaN |
//!
//! # Features
//!
//! `vulkan`, `metal`, `dx12` and `webgpu` (all on by default) are wgpu's backends. `ndarray` adds calls that
//! take views of any layout and return arrays.

#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use wgpu;

mod adjustment;
mod arrangement;
#[cfg(feature = "ndarray")]
mod arrays;
mod assemble;
mod capabilities;
mod cpu;
mod cross_entropy;
mod dtype;
mod encode;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gpu;
mod held_device;
mod inputs;
mod kernels;
mod locked;
mod memory_pass;
mod one_call;
mod op;
mod options;
#[cfg(not(target_arch = "wasm32"))]
mod pipeline_file;
mod pipelines;
mod plan;
mod preparation;
mod processor;
mod reach;
mod recycled;
pub mod reference;
mod request;
mod rows;
mod tensor;
mod transfer;
mod tuning;
mod wait;

pub use adjustment::{Adjustment, Temperature};
#[cfg(feature = "ndarray")]
pub use arrays::Arrays;
pub use assemble::{Dialect, ShaderText, shaders};
pub use capabilities::Capabilities;
pub use cpu::{LossInPieces, MeasuredLoss, MeasuredRow, Piece, RowInPieces};
pub use cross_entropy::{CrossEntropy, Labels, LossMemory, LossSums, LossTotals, Losses, Reduction, Targets};
pub use dtype::{Dtype, Element, Elements, ElementsMut};
pub use encode::Prepared;
pub use engine::{Device, Engine};
pub use error::{Error, Result};
pub use gpu::Gpu;
pub use half::{bf16, f16};
pub use kernels::Kernel;
pub use memory_pass::MemoryPass;
pub use op::{Op, Operand, Output};
pub use options::{FullyMasked, Given, Options, Precision};
pub use plan::Plan;
pub use preparation::{LabelType, LossSettings, MaskLayout, PerRow, Preparation, RowValues, Tally};
pub use processor::Cpu;
pub use request::Request;
pub use rows::{Axes, Rows, result_shape};
pub use tensor::{Tensor, TensorRequest};
pub use transfer::Progress;
pub use tuning::{AdapterKey, Candidate, Tuning};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
