//! How far a dispatch reaches into each of its bindings: what the shaders, which run without checks of their
//! own, are trusted for.
//!
//! A pure function of the numbers that the dispatch is told. Each arm follows the index that the WGSL part
//! named beside it computes, and takes it at the last slab, class, column or chunk: all of them grow with
//! each of these. A dispatch whose bindings are shorter is an error, and never recorded.

use crate::assemble::{Pairs, Shader, Sums};
use crate::inputs::NONE;
use crate::kernels::Role;
use crate::pipelines::{binding, storage_bindings};
use crate::plan::{AdjustmentParameters, Parameters, label_kind};
use crate::{Dtype, Error, Output, Result};

/// Words of a tally that shaders read and write (`tally.wgsl`).
const TALLY_WORDS: u64 = 6;

/// Ends in an error where a dispatch of `shader` reaches beyond one of its bindings, whose lengths in bytes
/// `length` knows.
pub(crate) fn check(shader: &Shader, told: &Parameters, length: impl Fn(u32) -> u64) -> Result<()> {
    if let Pairs::Flat { kept, .. } = shader.pairs
        && told.classes > kept
    {
        return Err(Error::LimitExceeded {
            what: "a row in workgroup memory",
            needed: told.classes.into(),
            limit: kept.into(),
            remedy: "leave the choice to the plan",
        });
    }
    for place in storage_bindings(shader) {
        let (needed, actual) = (bytes_reached(shader, told, place), length(place));
        if needed > actual {
            return Err(Error::BufferTooSmall { what: name_of(place), needed, actual });
        }
    }
    Ok(())
}

fn name_of(place: u32) -> &'static str {
    match place {
        binding::LOGITS => "logits",
        binding::RESULT => "result",
        binding::PARTIALS => "partial statistics'",
        binding::OPERAND => "operand's, targets' or labels'",
        binding::MASK => "mask's",
        binding::CLASS_WEIGHTS => "class weights'",
        binding::PER_ROW => "rows' temperatures' and lengths'",
        binding::ADDITIVE_MASK => "additive mask's",
        binding::ROW_VALUES => "rows' values'",
        _ => "tally's",
    }
}

/// Bytes of the binding at `place` up to the end of the last word that the dispatch touches.
fn bytes_reached(shader: &Shader, told: &Parameters, place: u32) -> u64 {
    let dtypes = shader.dtypes;
    if told.slabs == 0 {
        return 0;
    }
    match (place, shader.entry.role) {
        (binding::LOGITS | binding::RESULT, Role::Check) => 8 * u64::from(told.slabs),
        (binding::LOGITS, _) => elements_reached(
            told,
            told.logits_start,
            told.logits_pitch,
            logits_of(shader, told),
            dtypes.logits,
        ),
        (binding::RESULT, _) => {
            let written = match shader.op.output() {
                Output::PerElement => logits_of(shader, told),
                Output::PerRow => 0..1,
                Output::TwoPerRow => 0..2,
                // From the block on that the window starts with (`jacobian.wgsl`).
                Output::PerPair => 0..u64::from(told.end_class - told.first_class) * u64::from(told.classes),
            };
            elements_reached(told, told.result_start, told.result_pitch, written, dtypes.result)
        }
        (binding::PARTIALS, _) => {
            let partials = u64::from(told.slabs) * u64::from(told.chunks) * u64::from(told.columns);
            4 * Sums::of(shader.op).partial_words() * partials
        }
        (binding::OPERAND, Role::Labels) => labels_reached(told, u64::from(told.slabs)),
        (binding::OPERAND, _) => match dtypes.operand {
            Some(dtype) => {
                let classes = logits_of(shader, told);
                elements_reached(told, told.operand_start, told.operand_pitch, classes, dtype)
            }
            None => labels_reached(told, rows_reached(told)),
        },
        (binding::MASK, _) => in_words(mask_reached(
            told,
            told.adjustment.mask_start,
            told.adjustment.mask_digits,
            &told.adjustment.mask,
        )),
        (binding::ADDITIVE_MASK, _) => {
            let AdjustmentParameters { additive_start, additive_digits, additive, .. } = &told.adjustment;
            4 * mask_reached(told, *additive_start, *additive_digits, additive)
        }
        (binding::CLASS_WEIGHTS, _) => 4 * u64::from(told.classes),
        (binding::PER_ROW, _) => 8 * rows_reached(told),
        (binding::ROW_VALUES, Role::RowValues) => {
            4 * (u64::from(told.loss.losses_at) + u64::from(told.slabs))
        }
        (binding::ROW_VALUES, _) => {
            let loss = &told.loss;
            let starts = [
                loss.losses_at,
                loss.log_sum_exp_at,
                loss.label_log_probability_at,
                loss.entropy_at,
                loss.argmax_at,
            ];
            let last = starts.into_iter().filter(|&start| start != NONE).max();
            last.map_or(0, |start| 4 * (u64::from(start) + rows_reached(told)))
        }
        _ => 4 * TALLY_WORDS,
    }
}

/// The classes of a row whose logits the dispatch touches: those of its window (`parameters.wgsl`), all for a
/// Jacobian.
fn logits_of(shader: &Shader, told: &Parameters) -> std::ops::Range<u64> {
    match shader.op.output() {
        Output::PerPair => 0..u64::from(told.classes),
        _ => u64::from(told.first_class)..u64::from(told.end_class),
    }
}

/// Bytes up to the last element of these classes (`row.wgsl`). The start is counted modulo 2³², so that only
/// together with the first class it says where the window starts.
fn elements_reached(
    told: &Parameters,
    start: u32,
    pitch: u32,
    classes: std::ops::Range<u64>,
    dtype: Dtype,
) -> u64 {
    if classes.is_empty() || told.columns == 0 {
        return 0;
    }
    let inner = u64::from(told.inner);
    let first = u64::from(start.wrapping_add((classes.start * inner) as u32));
    let beyond_slabs = u64::from(told.slabs - 1) * u64::from(pitch);
    let beyond_classes = (classes.end - 1 - classes.start) * inner;
    let last = first + beyond_slabs + beyond_classes + u64::from(told.columns - 1);
    // Two elements may share a word.
    in_words((last + 1) * dtype.bytes())
}

/// One more than the largest `row_index` (`row.wgsl`).
fn rows_reached(told: &Parameters) -> u64 {
    let slab = u64::from(told.first_slab) + u64::from(told.slabs - 1);
    slab * u64::from(told.inner) + u64::from(told.first_column) + u64::from(told.columns)
}

/// `labels.wgsl`.
fn labels_reached(told: &Parameters, rows: u64) -> u64 {
    in_words(match told.loss.label_kind & (label_kind::I64 | label_kind::U8) {
        label_kind::I64 => 8 * rows,
        label_kind::U8 => rows,
        _ => 4 * rows,
    })
}

/// One more than the largest place in a mask (`mask_place.wgsl`), which has the places of slab, class and column
/// for its terms.
fn mask_reached(told: &Parameters, start: u32, digits: u32, words: &[u32; 24]) -> u64 {
    if told.classes == 0 || told.columns == 0 {
        return 0;
    }
    let slab = told.adjustment.origin_slab.wrapping_add(told.first_slab);
    let column = told.adjustment.origin_column.wrapping_add(told.first_column);
    let indices = [(slab, told.slabs), (0, told.classes), (column, told.columns)];
    let (mut first, mut beyond) = (start, 0);
    for (part, (index, count)) in indices.into_iter().enumerate() {
        let digits = (digits >> (8 * part)) & 0xff;
        let (least, most) = places(digits, &words[8 * part..8 * part + 8], index, count);
        first = first.wrapping_add(least);
        beyond += most;
    }
    u64::from(first) + beyond + 1
}

/// The least place that `count` indices from `index` on have, and how far the greatest lies beyond it.
fn places(digits: u32, words: &[u32], index: u32, count: u32) -> (u32, u64) {
    let span = |length: u32, stride: u32| u64::from(length.saturating_sub(1)) * u64::from(stride);
    match digits {
        0 => (0, 0),
        1 => {
            let (length, stride) = (words[0].max(1), words[1]);
            let first = index % length;
            match first.checked_add(count) {
                Some(end) if end <= length => (first.wrapping_mul(stride), span(count, stride)),
                _ => (0, span(length, stride)),
            }
        }
        _ => (0, words.chunks_exact(2).map(|digit| span(digit[0], digit[1])).sum()),
    }
}

fn in_words(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_mask_that_is_not_there_from_its_first_row_on() {
        let mut words = [1; 24];
        // Rows 5, 6 and 7 of a mask in the order of logits 10 × 4, of which only they were sent.
        (words[0], words[1]) = (u32::MAX, 40);
        (words[8], words[9]) = (u32::MAX, 4);
        (words[16], words[17]) = (u32::MAX, 1);
        let mut told = Parameters { slabs: 3, classes: 10, columns: 4, ..Parameters::default() };
        told.adjustment.origin_slab = 5;
        assert_eq!(mask_reached(&told, 0u32.wrapping_sub(200), 0x01_01_01, &words), 120);
        // Rows of a mask that repeats itself after every two of them.
        words[0] = 2;
        assert_eq!(mask_reached(&told, 0, 0x01_01_01, &words), 80);
        told.adjustment.origin_slab = 4;
        told.slabs = 1;
        assert_eq!(mask_reached(&told, 0, 0x01_01_01, &words), 40);
    }

    #[test]
    fn a_window_ends_with_its_last_element() {
        let told = Parameters { slabs: 3, classes: 10, inner: 2, columns: 2, ..Parameters::default() };
        assert_eq!(elements_reached(&told, 7, 25, 0..10, Dtype::F32), 4 * (7 + 2 * 25 + 20));
        // Class 6 on, in a window that starts with it.
        let start = 3u32.wrapping_sub(12);
        assert_eq!(elements_reached(&told, start, 25, 6..10, Dtype::F16), 2 * (3 + 2 * 25 + 8) + 2);
        assert_eq!(elements_reached(&told, 0, 25, 0..0, Dtype::F32), 0);
    }
}
