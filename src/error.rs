//! What can go wrong, each with what was asked, what is allowed and what to do about it.

use crate::{Dtype, Kernel, Op};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which an operation of this crate can fail.
///
/// Nothing in the library panics, prints or exits on a user's input or on trouble with a device: it
/// ends in one of these.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An axis that the array does not have.
    #[error(
        "axis {axis} is out of range for an array of {rank} dimension(s): give one from {lowest} to {highest}",
        lowest = -(*rank as isize), highest = *rank as isize - 1
    )]
    AxisOutOfRange {
        /// The axis asked for; negative ones count from the end.
        axis: isize,
        /// How many dimensions the array has.
        rank: usize,
    },

    /// The same axis was named twice.
    #[error("axis {axis} is named more than once: name each axis a single time")]
    AxisRepeated {
        /// The axis that occurs again, counted from the front.
        axis: usize,
    },

    /// A recorded operation was asked for axes that do not lie next to each other in memory.
    #[error(
        "axes {axes:?} of shape {shape:?} are not adjacent: a recorded operation works on the buffer as it \
         lies, so transpose first, or use the one-call functions, which permute on the host"
    )]
    AxesNotAdjacent {
        /// The axes, counted from the front.
        axes: Vec<usize>,
        /// The array's shape.
        shape: Vec<usize>,
    },

    /// The data and the shape that was given for it disagree.
    #[error(
        "{what} holds {actual} element(s) where {expected} are needed: give a slice of exactly that length"
    )]
    LengthMismatch {
        /// Which argument.
        what: &'static str,
        /// Elements that the shape asks for.
        expected: u64,
        /// Elements that were given.
        actual: u64,
    },

    /// The result's array does not have the result's shape.
    #[error("the result has shape {actual:?} where {expected:?} is written: give an array of that shape")]
    ShapeMismatch {
        /// The shape that is written.
        expected: Vec<usize>,
        /// The shape that was given.
        actual: Vec<usize>,
    },

    /// A product of sizes is more than 64 bits hold.
    #[error(
        "the sizes {sizes:?} multiply to more than 64-bit arithmetic holds: no memory has room for that array"
    )]
    SizeOverflow {
        /// The factors.
        sizes: Vec<u64>,
    },

    /// Rows that would overlap each other in memory.
    #[error(
        "a row pitch of {pitch} is less than the {needed} elements of one slab: use a pitch of at least that"
    )]
    PitchTooSmall {
        /// The pitch asked for, in elements.
        pitch: u64,
        /// Elements from the first to the last one of a slab.
        needed: u64,
    },

    /// Two shapes of which one cannot be broadcast to the other.
    #[error(
        "{what} has shape {from:?}, which cannot be broadcast to {to:?}: align the shapes at the last axis, each length \
         the same or 1"
    )]
    NotBroadcastable {
        /// Which argument.
        what: &'static str,
        /// Its shape.
        from: Vec<usize>,
        /// The logits' shape.
        to: Vec<usize>,
    },

    /// A temperature that nothing can be divided by.
    #[error(
        "the temperature{} is {value}: give one that is finite and more than 0 in {computed}",
        row.map(|row| format!(" of row {row}")).unwrap_or_default()
    )]
    TemperatureOutOfRange {
        /// The row that it is for, unless it is for all.
        row: Option<u64>,
        /// The temperature.
        value: String,
        /// The type that is computed in.
        computed: Dtype,
    },

    /// A row was said to be longer than it is.
    #[error("the length of row {row} is {length}, and rows have {classes} classes: give no more than that")]
    LengthOutOfRange {
        /// The row.
        row: u64,
        /// Its length.
        length: u64,
        /// How many classes rows have.
        classes: u64,
    },

    /// Causality needs queries and keys.
    #[error(
        "causal rows need queries on the last axis but one and keys on the last, which alone is normalised; this is \
         about shape {shape:?}: choose the last axis, or give a mask instead"
    )]
    CausalAxes {
        /// The logits' shape.
        shape: Vec<usize>,
    },

    /// An operation lacks something that it needs beside the logits.
    #[error("{op} needs {needed}: give it along with the logits")]
    OperandMissing {
        /// The operation.
        op: Op,
        /// What it needs.
        needed: &'static str,
    },

    /// An operation was given more than it can use.
    #[error("{op} has no use for {given}: leave it out, or choose another operation")]
    OperandUnused {
        /// The operation.
        op: Op,
        /// What it was given.
        given: &'static str,
    },

    /// A label that names no class.
    #[error("the label of row {row} is {label}, and there are {classes} classes: labels count from 0")]
    LabelOutOfRange {
        /// The row.
        row: u64,
        /// The label.
        label: i64,
        /// How many classes there are.
        classes: u64,
    },

    /// A number that a loss cannot be made with.
    #[error("{what} is {value}: give {allowed}")]
    LossParameter {
        /// Which one.
        what: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: &'static str,
    },

    /// Rows of a Jacobian that it does not have.
    #[error("rows {start} to {end} are no rows of a Jacobian of {classes} classes: give a range within them")]
    JacobianRowsOutOfRange {
        /// The first row asked for.
        start: u64,
        /// The row after the last one.
        end: u64,
        /// How many rows a Jacobian has.
        classes: u64,
    },

    /// A result, an operand or a mask is laid out for other rows than the operation has.
    #[error(
        "rows of {actual} were given where the operation has {expected}: lay a result out as `Rows::result` says, \
         and operands and masks over the shape and the axes of the logits"
    )]
    ResultRowsMismatch {
        /// Outer × classes × inner that the operation has.
        expected: String,
        /// Outer × classes × inner that was given.
        actual: String,
    },

    /// No adapter was found at all.
    #[error(
        "no GPU adapter was found ({detail}): install a Vulkan, Metal or DX12 driver (mesa-vulkan-drivers is a \
         software one), or run on the CPU with Device::Cpu or Device::Auto"
    )]
    NoAdapter {
        /// What wgpu said.
        detail: String,
    },

    /// No adapter has the name that was asked for.
    #[error("no adapter's name contains {name:?}; there is: {}", list(available))]
    AdapterNotFound {
        /// The part of a name that was looked for.
        name: String,
        /// The names of the adapters that were found.
        available: Vec<String>,
    },

    /// The adapter refused to hand out a device, or it cannot run compute shaders.
    #[error("{adapter} gave no device ({detail}): update its driver, or choose another device")]
    DeviceRefused {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        detail: String,
    },

    /// Elements of a type that the device does not compute with.
    #[error("{device} does not compute in {dtype}: convert the logits to f32, or run on the CPU")]
    UnsupportedDtype {
        /// The element type asked for.
        dtype: Dtype,
        /// The device's name.
        device: String,
    },

    /// A kernel was asked for by name that cannot serve these rows on this device.
    #[error("kernel {kernel} cannot serve this: {why}; leave the choice to the plan, or take another kernel")]
    KernelUnsuitable {
        /// The kernel asked for.
        kernel: Kernel,
        /// What stands in its way.
        why: String,
    },

    /// A text that is no table of what was measured, or one of another version.
    #[error("line {line} of the tuning table is not understood: {why}; have it measured again")]
    TuningUnreadable {
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        why: String,
    },

    /// More than the device allows.
    #[error("{what} needs {needed} where the device allows {limit}: {remedy}")]
    LimitExceeded {
        /// What is too large.
        what: &'static str,
        /// How much is needed.
        needed: u64,
        /// How much there may be.
        limit: u64,
        /// What to do.
        remedy: &'static str,
    },

    /// An operation that has not one value per logit cannot overwrite its logits.
    #[error(
        "{op} has not one value per logit and cannot be done in place: give it a result buffer of its own"
    )]
    NotInPlace {
        /// The operation.
        op: Op,
    },

    /// One buffer is to be written, and to be something else as well.
    #[error(
        "a result is in the same buffer as something else, which a device refuses to read and write at once: give \
         everything that is written a buffer of its own, or work in place where the result is to overwrite the logits"
    )]
    SameBuffer,

    /// A buffer is too small for what was asked of it.
    #[error("the {what} buffer range holds {actual} byte(s) where {needed} are needed: give a larger one")]
    BufferTooSmall {
        /// Which buffer.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        actual: u64,
    },

    /// A buffer lacks a usage.
    #[error("the {what} buffer was made without BufferUsages::{usage}: add it where the buffer is created")]
    BufferUsage {
        /// Which buffer.
        what: &'static str,
        /// The missing usage.
        usage: &'static str,
    },

    /// A range of a buffer starts in the middle of an element, or where the device cannot bind it.
    #[error("the {what} buffer range starts at byte {offset}, which is no multiple of {alignment}: align it")]
    BufferMisaligned {
        /// Which buffer.
        what: &'static str,
        /// Where the range starts, in bytes.
        offset: u64,
        /// What it must be a multiple of.
        alignment: u64,
    },

    /// A tensor was read as elements of another type.
    #[error("the tensor holds {stored}, and {asked} was to be read: read it as {stored}")]
    DtypeMismatch {
        /// The type of its elements.
        stored: Dtype,
        /// The type asked for.
        asked: Dtype,
    },

    /// Tensors or prepared operations of one context were given to another.
    #[error("the tensor belongs to another Gpu: upload it again through the one that computes with it")]
    ForeignTensor,

    /// The device's memory is exhausted, or the host's.
    #[error("out of memory ({detail}): free tensors, use smaller batches, or run on the CPU")]
    OutOfMemory {
        /// What was asked for, or what the driver said.
        detail: String,
    },

    /// The device is gone.
    #[error(
        "the device is lost ({detail}): make a new Gpu and upload again; nothing can be read from this one"
    )]
    DeviceLost {
        /// What the driver said.
        detail: String,
    },

    /// The device has not answered in time.
    #[error(
        "the device has not answered within {} s: make a new Gpu, and smaller batches, or give it longer with \
         Gpu::wait_at_most; nothing can be read from this one",
        limit.as_secs_f64()
    )]
    Timeout {
        /// How long it was waited for.
        limit: std::time::Duration,
    },

    /// The device or its driver did something this crate did not expect.
    #[error("the device reported an error: {detail}")]
    Device {
        /// What wgpu said.
        detail: String,
    },
}

impl Error {
    /// Whether a device's memory is exhausted: wgpu gives up the device where that happens to memory of its own.
    pub(crate) fn is_exhaustion(&self) -> bool {
        match self {
            Error::OutOfMemory { .. } => true,
            Error::DeviceLost { detail } => detail.to_lowercase().contains("out of memory"),
            _ => false,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
