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
//!    give a vector; the `…_into` forms write into memory of yours.
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
//!
//! Every bound carries + 2⁻¹²⁶ absolute, since devices may flush subnormal numbers, and the fast ones
//! + K·2⁻¹²⁶, since each of K terms may be flushed before they are added up.
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
//! A Jacobian is all NaN where the softmax is; for a row of nothing but −∞ it is NaN or 0, as [`FullyMasked`] says.
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
mod gpu;
mod inputs;
mod kernels;
mod one_call;
mod op;
mod options;
mod pipelines;
mod plan;
mod preparation;
mod processor;
pub mod reference;
mod request;
mod rows;
mod tensor;
mod transfer;
mod wait;

pub use adjustment::{Adjustment, Temperature};
#[cfg(feature = "ndarray")]
pub use arrays::Arrays;
pub use assemble::{Dialect, ShaderText, shaders};
pub use capabilities::Capabilities;
pub use cross_entropy::{CrossEntropy, Labels, Losses, Reduction, Targets};
pub use dtype::{Dtype, Element, Elements, ElementsMut};
pub use encode::Prepared;
pub use engine::{Device, Engine};
pub use error::{Error, Result};
pub use gpu::Gpu;
pub use half::{bf16, f16};
pub use kernels::Kernel;
pub use op::{Op, Operand, Output};
pub use options::{FullyMasked, Given, Options, Precision};
pub use plan::Plan;
pub use preparation::{LabelType, LossSettings, MaskLayout, PerRow, Preparation, Tally};
pub use processor::Cpu;
pub use request::Request;
pub use rows::{Axes, Rows, result_shape};
pub use tensor::{Tensor, TensorRequest};
pub use transfer::Progress;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
