//! What can go wrong, by whose fault it is: that decides on the exit status.
//!
//! Most of a wrong command line (status 2) never gets this far: clap refuses it, with the value parsers and
//! the checks of [`args`](crate::args). What only shows once the files are open does.

use std::{fmt, io};

use wgpu_softmax::Error;

/// The status for output that cannot be written.
pub const OUTPUT_STATUS: u8 = 5;

/// The status that clap has for a wrong command line.
const USAGE_STATUS: u8 = 2;

/// Why a command did not do what was asked of it.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be asked for.
    Usage(String),
    /// The input cannot be read, or does not fit what was asked.
    Input(String),
    /// The device is missing, or cannot do it; or memory is exhausted.
    Device(String),
    /// The output cannot be written.
    Output(String),
    /// Somebody wants it to end: by Ctrl-C, or by another of the signals for that.
    Cancelled { signal: usize, can_go_on: bool },
    /// Whoever read our output has had enough: no cause for a message.
    Closed,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE_STATUS,
            Failure::Input(_) => 3,
            Failure::Device(_) => 4,
            // As a shell reports a program that the signal itself has ended: 130 for Ctrl-C.
            Failure::Cancelled { signal, .. } => 128 + *signal as u8,
            Failure::Output(_) | Failure::Closed => OUTPUT_STATUS,
        }
    }

    /// `error` met while writing to `name`.
    pub fn writing(name: &str, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Output(format!("cannot write {name}: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Usage(message)
            | Failure::Input(message)
            | Failure::Device(message)
            | Failure::Output(message) => message,
            Failure::Cancelled { can_go_on: true, .. } => {
                "cancelled: what is done stays, and the same command goes on with it"
            }
            Failure::Cancelled { .. } => "cancelled: nothing is written",
            Failure::Closed => "the output was closed",
        })
    }
}

impl From<Error> for Failure {
    /// The library's message, in this program's words where it speaks of Rust.
    fn from(error: Error) -> Failure {
        match &error {
            Error::AxisOutOfRange { axis, rank: 0 } => Failure::Input(format!(
                "axis {axis} is out of range: a 0-dimensional array has no axis, only --axis all fits it"
            )),
            Error::AxisOutOfRange { .. }
            | Error::AxisRepeated { .. }
            | Error::AxesNotAdjacent { .. }
            | Error::LengthMismatch { .. }
            | Error::SizeOverflow { .. }
            | Error::NotBroadcastable { .. }
            | Error::LengthOutOfRange { .. }
            | Error::LabelOutOfRange { .. }
            | Error::CausalAxes { .. } => Failure::Input(error.to_string()),
            Error::TemperatureOutOfRange { .. } | Error::LossParameter { .. } => {
                Failure::Usage(error.to_string())
            }
            Error::NoAdapter { .. } => Failure::Device(
                "no GPU adapter was found: install a Vulkan, Metal or DX12 driver (mesa-vulkan-drivers is a \
                 software one), or use --device cpu or --device auto"
                    .into(),
            ),
            Error::AdapterNotFound { name, available } if available.is_empty() => Failure::Device(format!(
                "no adapter's name contains {name:?}: there is no adapter at all; use --device cpu or --device auto"
            )),
            Error::AdapterNotFound { .. } => {
                Failure::Device(format!("{error}; `wgpu-softmax devices` tells more"))
            }
            Error::UnsupportedDtype { dtype, device } => Failure::Device(format!(
                "{device} does not compute in {dtype}: add --dtype f32, or use --device cpu or --device auto"
            )),
            Error::LimitExceeded { what, needed, limit, .. } => Failure::Device(format!(
                "{what} needs {needed} where the device allows {limit}: use --device cpu, or a device that allows \
                 more"
            )),
            Error::Timeout { limit } => Failure::Device(format!(
                "the device has not answered within {} s: allow more by --timeout, or use --device cpu",
                limit.as_secs_f64()
            )),
            Error::DeviceLost { detail } => {
                Failure::Device(format!("the device was lost ({detail}): run it again, or use --device cpu"))
            }
            Error::OutOfMemory { detail } => Failure::Device(format!(
                "out of memory ({detail}): close what else uses the device, give smaller arrays, or use --device cpu"
            )),
            _ => Failure::Device(error.to_string()),
        }
    }
}
