//! `bench`: how fast it is here, beside what the memory allows.

mod cases;
mod clock;
mod data;
mod host;
mod host_limits;
mod judge;
mod lines;
mod one_call;
mod report;

use cases::Case;
use judge::Errors;

use crate::args::Bench;
use crate::failure::{Failure, Outcome};
use crate::output::note;

/// Measures what was asked for.
pub fn run(asked: &Bench) -> Outcome {
    if let Some(mode) = asked.mode {
        return lines::run(asked, mode);
    }
    Ok(())
}

/// Tells of a result that is not right, and is not timed.
fn note_wrong(case: &Case, place: &str, errors: &Errors) {
    let Case { batch, dtype, .. } = case;
    note(&format!(
        "WRONG, and not timed: {} {}x{} {dtype} on {place}: {:.3e} times the promised error (absolute {:.3e})",
        case.name(),
        batch.rows,
        batch.classes,
        errors.of_promised,
        errors.absolute,
    ));
}

/// A failure where results were wrong.
fn verdict(wrong: usize) -> Outcome {
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Device("one result was wrong".into())),
        _ => Err(Failure::Device(format!("{wrong} results were wrong"))),
    }
}
