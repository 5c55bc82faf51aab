//! What a new context asks of its device: whether the exponential comes out as it is written.
//!
//! Shader compilers may rearrange float arithmetic. The points are chosen to show it: row maxima on both
//! sides of the places where the scale changes, and logits down to the smallest that counts. The answers
//! are held against f64.

use super::{Entry, Geometry, Meeting, Role, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "exponential_check",
    source: include_str!("../../shaders/kernels/exponential_check.wgsl"),
    role: Role::Check,
};

pub(crate) fn geometry(capabilities: &Capabilities) -> Geometry {
    let workgroup = workgroup_up_to(64, capabilities);
    Geometry { workgroup, lanes: 1, held: None, meeting: Meeting::Alone }
}

/// Powers of two by which terms are larger than they would have to be (`exponential_accurate.wgsl`).
const LIFT: f64 = 61.0;

/// Pairs of a logit and the maximum of its row.
pub(crate) fn points() -> Vec<[f32; 2]> {
    let maxima =
        [0.0f32, 0.3, -0.7, 1.0, 17.3, -88.6, -103.9, -104.1, 207.9, 208.1, -39_999.7, 40_000.3, 1e-3];
    let steps = 256;
    (maxima.iter())
        .flat_map(|&maximum| {
            (0..steps).map(move |step| {
                let distance = 87.0 * step as f32 / (steps - 1) as f32 + 0.013 * (step % 7) as f32;
                [maximum - distance.min(87.0), maximum]
            })
        })
        .collect()
}

/// The largest error of `answers` (a term and its power of two for every point) in units of 2⁻²⁴,
/// infinite where a power of two is not the promised one.
pub(crate) fn worst_error(points: &[[f32; 2]], answers: &[[u32; 2]]) -> f64 {
    let mut worst = if points.len() == answers.len() { 0.0f64 } else { f64::INFINITY };
    for (&[logit, maximum], &[term, exponent]) in points.iter().zip(answers) {
        let origin = if (-104.0..=208.0).contains(&maximum) { 0.0 } else { f64::from(maximum) };
        let exponent = exponent as i32;
        let largest = ((f64::from(maximum) - origin) * std::f64::consts::LOG2_E).floor() - LIFT;
        let truth = (f64::from(logit) - origin - f64::from(exponent) * std::f64::consts::LN_2).exp();
        let error = (f64::from(f32::from_bits(term)) / truth - 1.0).abs() * f64::from(1u32 << 24);
        let misplaced = (f64::from(exponent) - largest).abs() > 1.0;
        worst = if misplaced || error.is_nan() { f64::INFINITY } else { worst.max(error) };
    }
    worst
}

/// An error, in units of 2⁻²⁴, that the exponential as it is written stays below on every driver tried
/// (1.8 units in the last place), and that a rearranged one does not.
pub(crate) const TOLERATED: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(exponential: impl Fn(f64, f64) -> f64) -> Vec<[u32; 2]> {
        (points().iter())
            .map(|&[logit, maximum]| {
                let (logit, maximum) = (f64::from(logit), f64::from(maximum));
                let origin = if (-104.0..=208.0).contains(&maximum) { 0.0 } else { maximum };
                let exponent = ((maximum - origin) * std::f64::consts::LOG2_E).floor() - LIFT;
                let term = exponential(logit - origin, -exponent);
                [(term as f32).to_bits(), (exponent as i32) as u32]
            })
            .collect()
    }

    #[test]
    fn a_right_exponential_passes() {
        let right = answers(|distance, shift| distance.exp() * shift.exp2());
        assert!(worst_error(&points(), &right) <= 1.0);
    }

    #[test]
    fn a_merged_reduction_fails() {
        // ln 2 rounded to f32 in one piece is what merging the two steps amounts to.
        let merged = answers(|distance, shift| {
            let whole = (distance * std::f64::consts::LOG2_E).round();
            let rest = distance - whole * f64::from(std::f32::consts::LN_2);
            rest.exp() * (whole + shift).exp2()
        });
        assert!(worst_error(&points(), &merged) > TOLERATED);
    }

    #[test]
    fn missing_answers_fail() {
        assert_eq!(worst_error(&points(), &[]), f64::INFINITY);
        assert_eq!(worst_error(&points(), &vec![[0x7fc00000, 0]; points().len()]), f64::INFINITY);
    }
}
