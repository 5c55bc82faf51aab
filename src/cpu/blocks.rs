//! Blocks of whole rows: gathered from wherever their elements lie into rows one after the other, in the
//! type that is computed in, and scattered back. What lies so already is only borrowed.
//!
//! What is computed of a block knows nothing of types, axes, masks in memory or threads. A block is a task,
//! and small enough that it stays in a second-level cache between one step and the next.

use std::ops::Range;

use crate::adjustment::Resolved;
use crate::arrangement::Arrangement;
use crate::{Element, Elements, Rows};

use super::instruction_set::{InstructionSet, Machine, Task};
use super::real::Real;
use super::shared_result::SharedResult;
use super::{storage, threads};

/// Rows and classes that are transposed at a time, where neighbouring rows are neighbours in memory.
const TILE: usize = 16;

/// Logits of a block of strided rows, at most: it takes [`TILE`] rows, however long, to use whatever a
/// cache line holds.
const LOGITS_PER_STRIDED_BLOCK: usize = 1 << 22;

/// How many rows there are, and where their elements lie.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    arrangement: &'a Arrangement,
    pub(super) rows: usize,
    pub(super) classes: usize,
    inner: usize,
    pub(super) instructions: InstructionSet,
}

/// What is written for each row.
#[derive(Clone, Copy)]
pub(super) enum Written {
    /// A value for every class, where its logit lies.
    PerElement,
    /// So many values, row after row.
    PerRow(usize),
}

impl<'a> Layout<'a> {
    pub(super) fn new(arrangement: &'a Arrangement) -> Self {
        let rows = &arrangement.rows;
        Layout {
            arrangement,
            rows: rows.count() as usize,
            classes: rows.classes() as usize,
            inner: rows.inner() as usize,
            instructions: InstructionSet::widest(),
        }
    }

    /// Whether the rows lie one after the other.
    pub(super) fn is_contiguous(&self) -> bool {
        self.inner == 1 && !self.arrangement.is_permuted()
    }

    /// Rows in a block, if each is work for so many logits.
    pub(super) fn rows_per_block(&self, logits_per_row: usize) -> usize {
        let rows = threads::rows_per_task(self.rows, logits_per_row);
        if self.inner == 1 {
            return rows;
        }
        rows.next_multiple_of(TILE).min((LOGITS_PER_STRIDED_BLOCK / logits_per_row.max(1)).max(1))
    }

    /// Calls `work` for every block of so many rows, with memory that blocks hand on and with the block's
    /// place in the result, and gives what it returned, in order. A result that is too short is not written
    /// to where it ends.
    pub(super) fn map_blocks<M: Default + Send, R: Element, O: Send>(
        &self,
        rows_per_block: usize,
        written: Written,
        result: &mut [R],
        work: impl Fn(&mut M, Range<usize>, Place<'_, R>) -> O + Send + Sync,
    ) -> Vec<O> {
        self.map_some_blocks(0..self.blocks(rows_per_block), rows_per_block, written, result, work)
    }

    /// How many blocks of so many rows there are.
    pub(super) fn blocks(&self, rows_per_block: usize) -> usize {
        self.rows.div_ceil(rows_per_block.max(1))
    }

    /// As [`Layout::map_blocks`], for some of the blocks.
    pub(super) fn map_some_blocks<M: Default + Send, R: Element, O: Send>(
        &self,
        blocks: Range<usize>,
        rows_per_block: usize,
        written: Written,
        result: &mut [R],
        work: impl Fn(&mut M, Range<usize>, Place<'_, R>) -> O + Send + Sync,
    ) -> Vec<O> {
        let rows_per_block = rows_per_block.max(1);
        let result = SharedResult::new(result);
        threads::map_with(blocks.len(), &|memory, block| {
            let first = (blocks.start + block) * rows_per_block;
            let rows = first..self.rows.min(first + rows_per_block);
            work(memory, rows.clone(), Place { layout: self, rows, written, result: &result })
        })
    }

    /// The slab and the column of a row.
    pub(super) fn position(&self, row: usize) -> [u64; 2] {
        [(row / self.inner) as u64, (row % self.inner) as u64]
    }

    /// The elements of some rows, row after row: where they lie, if they lie so and are of the type; otherwise gathered into
    /// memory that may have been used before.
    pub(super) fn elements<'e, T: Real>(
        &self,
        array: Elements<'e>,
        rows: Range<usize>,
        memory: &'e mut Vec<T>,
    ) -> &'e [T] {
        if let (true, Some(elements)) = (self.is_contiguous(), T::elements_of(array)) {
            return elements.get(rows.start * self.classes..rows.end * self.classes).unwrap_or_default();
        }
        let block = reused(memory, rows.len() * self.classes);
        self.gather(array, rows, block);
        block
    }

    /// The elements of some rows, row after row, into `block`.
    pub(super) fn gather<T: Real>(&self, array: Elements<'_>, rows: Range<usize>, block: &mut [T]) {
        match array {
            Elements::F16(array) => self.gather_from(array, rows, block),
            Elements::Bf16(array) => self.gather_from(array, rows, block),
            Elements::F32(array) => self.gather_from(array, rows, block),
            Elements::F64(array) => self.gather_from(array, rows, block),
        }
    }

    fn gather_from<S: Element, T: Real>(&self, array: &[S], rows: Range<usize>, block: &mut [T]) {
        let range = rows.start * self.classes..rows.end * self.classes;
        if self.arrangement.is_permuted() {
            let mut rest = block;
            self.arrangement.gather(array, range.start as u64..range.end as u64, |piece| {
                let (places, after) = std::mem::take(&mut rest).split_at_mut(piece.len());
                storage::load(piece, places);
                rest = after;
            });
        } else if self.inner == 1 {
            self.instructions.run(Load { from: array.get(range).unwrap_or_default(), to: block });
        } else {
            self.instructions.run(TransposedLoad { layout: self, array, rows, block });
        }
    }

    /// Every tile of some rows.
    #[inline(always)]
    fn tiles(&self, rows: Range<usize>) -> Tiles {
        Tiles { classes: self.classes, inner: self.inner, first_row: rows.start, rows, class: 0 }
    }
}

/// What is left of the tiles of some rows. The loops over it are written out where they are compiled for the
/// machine's instructions: a closure would be compiled for those of every machine.
struct Tiles {
    classes: usize,
    inner: usize,
    first_row: usize,
    /// The rows that are left, and the next class of the first of them.
    rows: Range<usize>,
    class: usize,
}

impl Iterator for Tiles {
    type Item = Tile;

    #[inline(always)]
    fn next(&mut self) -> Option<Tile> {
        if self.rows.is_empty() || self.classes == 0 {
            return None;
        }
        let Tiles { classes, inner, class, .. } = *self;
        let row = self.rows.start;
        let (slab, column) = (row / inner, row % inner);
        // Of one slab, and not across two tiles' columns.
        let rows = (TILE - column % TILE).min(inner - column).min(self.rows.len());
        self.class += TILE;
        if self.class >= classes {
            (self.rows.start, self.class) = (row + rows, 0);
        }
        Some(Tile {
            rows,
            classes: TILE.min(classes - class),
            in_memory: (slab * classes + class) * inner + column,
            in_block: (row - self.first_row) * classes + class,
        })
    }
}

/// Some classes of some rows that are neighbours in memory.
struct Tile {
    rows: usize,
    classes: usize,
    /// Where the first class of the first row lies, in memory and in the block.
    in_memory: usize,
    in_block: usize,
}

/// Some elements of an array, into as many places.
pub(super) fn load_range<T: Real>(
    instructions: InstructionSet,
    array: Elements<'_>,
    range: Range<usize>,
    to: &mut [T],
) {
    match array {
        Elements::F16(array) => instructions.run(Load { from: array.get(range).unwrap_or_default(), to }),
        Elements::Bf16(array) => instructions.run(Load { from: array.get(range).unwrap_or_default(), to }),
        Elements::F32(array) => instructions.run(Load { from: array.get(range).unwrap_or_default(), to }),
        Elements::F64(array) => instructions.run(Load { from: array.get(range).unwrap_or_default(), to }),
    }
}

/// Numbers rounded to the type of as many places.
pub(super) fn store_all<T: Real, R: Element>(instructions: InstructionSet, from: &[T], to: &mut [R]) {
    instructions.run(Store { from, to });
}

struct Load<'a, S, T> {
    from: &'a [S],
    to: &'a mut [T],
}

impl<S: Element, T: Real> Task for Load<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        storage::load(self.from, self.to);
    }
}

struct Store<'a, T, R> {
    from: &'a [T],
    to: &'a mut [R],
}

impl<T: Real, R: Element> Task for Store<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        storage::store(self.from, self.to);
    }
}

/// Strided rows into a block of rows one after the other.
struct TransposedLoad<'a, S, T> {
    layout: &'a Layout<'a>,
    array: &'a [S],
    rows: Range<usize>,
    block: &'a mut [T],
}

impl<S: Element, T: Real> Task for TransposedLoad<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let TransposedLoad { layout, array, rows, block } = self;
        for tile in layout.tiles(rows) {
            let mut transposed = [[T::ZERO; TILE]; TILE];
            for (class, values) in transposed.iter_mut().enumerate().take(tile.classes) {
                let neighbours = array.get(tile.in_memory + class * layout.inner..).unwrap_or_default();
                match neighbours.first_chunk::<TILE>() {
                    Some(neighbours) if tile.rows == TILE => storage::load(neighbours, values),
                    _ => storage::load(neighbours, &mut values[..tile.rows]),
                }
            }
            for row in 0..tile.rows {
                let places = block.get_mut(tile.in_block + row * layout.classes..).unwrap_or_default();
                match places.first_chunk_mut::<TILE>() {
                    Some(places) if tile.classes == TILE => {
                        *places = std::array::from_fn(|class| transposed[class][row]);
                    }
                    _ => {
                        for (place, values) in places.iter_mut().zip(&transposed[..tile.classes]) {
                            *place = values[row];
                        }
                    }
                }
            }
        }
    }
}

/// Where the results of a block belong: a part of the result that no other block has.
pub(super) struct Place<'a, R> {
    layout: &'a Layout<'a>,
    rows: Range<usize>,
    written: Written,
    result: &'a SharedResult<'a, R>,
}

impl<R: Element> Place<'_, R> {
    /// Writes the block's results, row after row.
    pub(super) fn write<T: Real>(&mut self, values: &[T]) {
        if matches!(self.written, Written::PerElement) && self.layout.arrangement.is_permuted() {
            self.permute(values);
        } else if matches!(self.written, Written::PerElement) && self.layout.inner != 1 {
            let instructions = self.layout.instructions;
            instructions.run(TransposedStore { values, place: self });
        } else {
            let instructions = self.layout.instructions;
            instructions.run(Store { from: values, to: self.in_order() });
        }
    }

    /// The block's results as they lie in memory: row after row, unless they lie where strided or permuted
    /// logits do.
    pub(super) fn in_order(&mut self) -> &mut [R] {
        let values_per_row = match self.written {
            Written::PerRow(values) => values,
            Written::PerElement if self.layout.inner == 1 && !self.layout.arrangement.is_permuted() => {
                self.layout.classes
            }
            Written::PerElement => return &mut [],
        };
        // SAFETY: all blocks of a result write as many values for each row, in the order of the rows, which
        // no two blocks share; and while the slice lives, it is the only one that this block has.
        unsafe { self.result.part(self.rows.start * values_per_row, self.rows.len() * values_per_row) }
    }

    fn permute<T: Real>(&mut self, values: &[T]) {
        let mut rounded = vec![R::default(); values.len()];
        storage::store(values, &mut rounded);
        let mut rounded = rounded.into_iter();
        let classes = self.layout.classes;
        let range = (self.rows.start * classes) as u64..(self.rows.end * classes) as u64;
        self.layout.arrangement.for_each_place(range, |place| {
            // SAFETY: the place of an element of a row of this block, and no two elements share one.
            let element = unsafe { self.result.part(place, 1) };
            element.iter_mut().zip(&mut rounded).for_each(|(place, value)| *place = value);
        });
    }
}

/// A block of rows one after the other to where strided rows lie.
struct TransposedStore<'a, 'b, T, R> {
    values: &'a [T],
    place: &'a mut Place<'b, R>,
}

impl<T: Real, R: Element> Task for TransposedStore<'_, '_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let TransposedStore { values, place } = self;
        let (classes, inner) = (place.layout.classes, place.layout.inner);
        for tile in place.layout.tiles(place.rows.clone()) {
            let mut transposed = [[T::ZERO; TILE]; TILE];
            for row in 0..tile.rows {
                let values = values.get(tile.in_block + row * classes..).unwrap_or_default();
                match values.first_chunk::<TILE>() {
                    Some(values) if tile.classes == TILE => {
                        for (places, &value) in transposed.iter_mut().zip(values) {
                            places[row] = value;
                        }
                    }
                    _ => {
                        for (places, &value) in transposed.iter_mut().zip(values).take(tile.classes) {
                            places[row] = value;
                        }
                    }
                }
            }
            for (class, values) in transposed.iter().enumerate().take(tile.classes) {
                // SAFETY: one class of rows of this block that lie side by side.
                let places = unsafe { place.result.part(tile.in_memory + class * inner, tile.rows) };
                match places.first_chunk_mut::<TILE>() {
                    Some(places) => storage::store(values, places),
                    None => storage::store(values, places),
                }
            }
        }
    }
}

/// So many elements of memory that may have been used before, and hold anything.
pub(super) fn reused<E: Copy + Default>(memory: &mut Vec<E>, length: usize) -> &mut [E] {
    if memory.len() < length {
        memory.resize(length, E::default());
    }
    &mut memory[..length]
}

/// Some rows of logits as their softmax is taken of them.
pub(super) struct Block<'a, T> {
    pub(super) logits: &'a [T],
    /// Whether each logit takes part; empty where all do.
    pub(super) takes_part: &'a [bool],
    classes: usize,
}

impl<'a, T: Real> Block<'a, T> {
    /// Of rows as [`Layout::elements`] has them, adjusted in memory that may have been used before.
    pub(super) fn new(
        (logits, takes_part): &'a mut (Vec<T>, Vec<bool>),
        layout: &Layout<'_>,
        array: Elements<'a>,
        adjustment: &Resolved<'_>,
        rows: Range<usize>,
    ) -> Self {
        let classes = layout.classes;
        if adjustment.is_none() {
            return Block { logits: layout.elements(array, rows, logits), takes_part: &[], classes };
        }
        let logits = reused(logits, rows.len() * classes);
        layout.gather(array, rows.clone(), logits);
        let takes_part = reused(takes_part, logits.len());
        layout.instructions.run(Adjust { layout, adjustment, rows, logits, takes_part });
        Block { logits, takes_part, classes }
    }

    /// How many rows there are, as the row kernels are told.
    pub(super) fn rows(&self) -> Option<Rows> {
        let rows = self.logits.len().checked_div(self.classes)?;
        Rows::batch(rows as u64, self.classes as u64).ok()
    }

    /// Whether there may be classes that take no part.
    pub(super) fn is_masked(&self) -> bool {
        !self.takes_part.is_empty()
    }

    /// Where row `index` lies in the block.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        index * self.classes..(index + 1) * self.classes
    }

    pub(super) fn row(&self, index: usize) -> Row<'_, T> {
        let range = self.range(index);
        Row {
            logits: self.logits.get(range.clone()).unwrap_or_default(),
            participation: Participation::of(self.takes_part, range),
        }
    }
}

/// Turns the logits of some rows into what their softmax is taken of.
struct Adjust<'a, T> {
    layout: &'a Layout<'a>,
    adjustment: &'a Resolved<'a>,
    rows: Range<usize>,
    logits: &'a mut [T],
    takes_part: &'a mut [bool],
}

impl<T: Real> Task for Adjust<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Adjust { layout, adjustment, rows, logits, takes_part } = self;
        // Rows without classes have nothing that could be adjusted.
        let length = layout.classes.max(1);
        let places = logits.chunks_exact_mut(length).zip(takes_part.chunks_exact_mut(length));
        for (row, (logits, takes_part)) in rows.zip(places) {
            let [outer, inner] = layout.position(row);
            adjustment.adjust(outer, inner, logits, takes_part);
        }
    }
}

/// Which classes of a row take part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Participation<'a> {
    /// Empty where every class does.
    takes_part: &'a [bool],
}

impl<'a> Participation<'a> {
    /// Of the row that lies at `range`, from that of a block.
    pub(super) fn of(takes_part: &'a [bool], range: Range<usize>) -> Self {
        Participation { takes_part: takes_part.get(range).unwrap_or_default() }
    }

    pub(super) fn takes_part(self, class: usize) -> bool {
        self.takes_part.get(class) != Some(&false)
    }

    /// Whether there may be classes that take no part.
    pub(super) fn is_masked(self) -> bool {
        !self.takes_part.is_empty()
    }

    /// Puts `value` in the place of every class that takes no part.
    pub(super) fn fill_masked<E: Copy>(self, value: E, places: &mut [E]) {
        for (place, &takes_part) in places.iter_mut().zip(self.takes_part) {
            *place = if takes_part { *place } else { value };
        }
    }
}

/// What a row's derivatives and losses go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has probabilities.
    Regular,
    /// It holds a NaN or +∞.
    Undefined,
    /// No class takes part that is more than −∞.
    Empty,
}

impl Kind {
    /// By the greatest logit: −∞ where none takes part, NaN where there is a NaN.
    pub(super) fn of_maximum(maximum: f64) -> Self {
        match maximum {
            f64::NEG_INFINITY => Kind::Empty,
            _ if maximum.is_finite() => Kind::Regular,
            _ => Kind::Undefined,
        }
    }
}

/// One row of a block.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, T> {
    pub(super) logits: &'a [T],
    pub(super) participation: Participation<'a>,
}

impl<T: Real> Row<'_, T> {
    /// What kind of row it is, given its softmax.
    pub(super) fn kind(&self, probabilities: &[T]) -> Kind {
        // The greatest logit of a regular row has at least 1 / K.
        if probabilities.iter().any(|&p| p > T::ZERO) {
            Kind::Regular
        } else if self.logits.iter().any(|x| x.widen().is_nan() || x.widen() == f64::INFINITY) {
            Kind::Undefined
        } else {
            Kind::Empty
        }
    }
}
