//! `plot`: probabilities, losses and Jacobians as pictures, of a row of the user's or as textbooks show them. And what
//! `bench` has measured.
//!
//! The library computes the numbers, in f64 on the CPU; [`drawing`] alone knows how they are drawn.

mod cross_entropy;
mod drawing;
mod jacobian;
mod row;
mod softmax;
pub mod speed;

use crate::args::Plot;
use crate::failure::Outcome;
use crate::output::{Destination, note};

/// Draws what was asked for.
pub fn run(asked: &Plot) -> Outcome {
    let plotted = match asked {
        Plot::Softmax(softmax) => &softmax.plotted,
        Plot::CrossEntropy(plotted) | Plot::Jacobian(plotted) => plotted,
    };
    let destination = Destination::of(&plotted.output)?;
    let picture = match asked {
        Plot::Softmax(asked) => softmax::picture(asked)?,
        Plot::CrossEntropy(asked) => cross_entropy::picture(asked)?,
        Plot::Jacobian(asked) => jacobian::picture(asked)?,
    };
    destination.write(|writer| writer.write_all(picture.as_bytes()))?;
    note(&format!("wrote the picture to {}", destination.name()));
    Ok(())
}
