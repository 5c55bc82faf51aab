//! The plan: which kernel, which grid, which windows of the buffers, how many bytes, and why.
//!
//! A plan is a pure function of rows, operation, dtype, options and capabilities. It touches no device, so
//! shapes that no memory holds are planned in the tests. Kernel and chunks go by the row's length and the
//! device alone, never by how many rows there are: that is what makes a row's bits the same alone and in a
//! batch of a million. (The one exception says so where it is made: a column of which not even one chunk
//! fits a binding.)

use std::fmt;
use std::ops::Range;

use crate::assemble::{Adjusted, Dtypes, Sums};
use crate::inputs::kind;
use crate::kernels::{
    Entry, Geometry, Kernel, MOST_HELD, QUAD, jacobian, lane_per_column, split_column_statistics,
    split_column_write, split_row_statistics, split_row_write, split_tile_statistics, split_tile_write,
    subgroup_per_row, tile_of_columns, workgroup_per_row,
};
use crate::request::check_given;
use crate::rows::checked_product;
use crate::tuning::Tuning;
use crate::{Candidate, Capabilities, Dtype, Error, Op, Options, Output, Result, Rows};

/// More dispatches than this are a mistake in the shape rather than a plan.
const MOST_DISPATCHES: u64 = 1 << 20;

/// What one dispatch is told: the uniform buffer of every shader, field for field (`parameters.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Parameters {
    pub(crate) slabs: u32,
    pub(crate) classes: u32,
    pub(crate) inner: u32,
    pub(crate) columns: u32,
    pub(crate) logits_start: u32,
    pub(crate) logits_pitch: u32,
    pub(crate) result_start: u32,
    pub(crate) result_pitch: u32,
    pub(crate) operand_start: u32,
    pub(crate) operand_pitch: u32,
    pub(crate) chunk: u32,
    pub(crate) chunks: u32,
    pub(crate) first_chunk: u32,
    pub(crate) chunks_here: u32,
    pub(crate) first_class: u32,
    pub(crate) end_class: u32,
    pub(crate) first_slab: u32,
    pub(crate) first_column: u32,
    pub(crate) grid_width: u32,
    pub(crate) across: u32,
    pub(crate) fully_masked: u32,
    pub(crate) zero: u32,
    pub(crate) unused: [u32; 2],
    pub(crate) adjustment: AdjustmentParameters,
    pub(crate) loss: LossParameters,
}

/// What becomes of the logits first; `Adjustment` in `parameters.wgsl`. Floats are their bits.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct AdjustmentParameters {
    pub(crate) kinds: u32,
    pub(crate) inverse_temperature: u32,
    pub(crate) temperature_power: i32,
    pub(crate) queries: u32,
    pub(crate) causal_offset: i32,
    pub(crate) window: u32,
    pub(crate) origin_slab: u32,
    pub(crate) origin_column: u32,
    pub(crate) mask_start: u32,
    pub(crate) additive_start: u32,
    pub(crate) mask_digits: u32,
    pub(crate) additive_digits: u32,
    pub(crate) mask: [u32; 24],
    pub(crate) additive: [u32; 24],
}

impl AdjustmentParameters {
    /// What shaders divide by is 0 where there are no queries, or no elements of a mask, and is not used then;
    /// but a shader without checks must not even be told so.
    fn keep_divisors_above_zero(&mut self) {
        let masks = self.mask.iter_mut().step_by(2).chain(self.additive.iter_mut().step_by(2));
        masks.chain([&mut self.queries]).for_each(|divisor| *divisor = (*divisor).max(1));
    }
}

/// Bits of [`LossParameters::kinds`].
pub(crate) mod loss_kind {
    pub(crate) const SHARES: u32 = 2;
    pub(crate) const MEAN: u32 = 4;
    pub(crate) const WITHOUT_LABELS: u32 = 8;
    pub(crate) const UNREDUCED: u32 = 16;
}

/// Bits of `label_kind` (`labels.wgsl`): how labels are stored, in i32 where none of the others is set, and whether
/// one of them stands for rows that are left out.
pub(crate) mod label_kind {
    pub(crate) const I64: u32 = 1;
    pub(crate) const U8: u32 = 2;
    pub(crate) const NONE_IGNORED: u32 = 4;
    pub(crate) const U32: u32 = 8;
}

/// What a loss is made of; `Loss` in `parameters.wgsl`. Floats are their bits.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct LossParameters {
    pub(crate) kept: u32,
    pub(crate) spread: u32,
    pub(crate) scale: u32,
    pub(crate) z_scale: u32,
    pub(crate) kinds: u32,
    pub(crate) ignored_low: u32,
    pub(crate) ignored_high: u32,
    pub(crate) label_kind: u32,
    pub(crate) losses_at: u32,
    pub(crate) log_sum_exp_at: u32,
    pub(crate) label_log_probability_at: u32,
    pub(crate) entropy_at: u32,
    pub(crate) argmax_at: u32,
    pub(crate) unused: [u32; 3],
}

/// What is planned: an operation over rows, with the layout and the type of all that it reads and writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Job {
    pub(crate) op: Op,
    pub(crate) dtypes: Dtypes,
    pub(crate) rows: Rows,
    pub(crate) result: Rows,
    pub(crate) operand: Rows,
    pub(crate) options: Options,
    pub(crate) adjustment: AdjustmentParameters,
    pub(crate) loss: LossParameters,
    /// Whether a loss's classes have weights.
    pub(crate) class_weights: bool,
    /// Whether a loss leaves values of rows, beside its gradient.
    pub(crate) row_values: bool,
}

impl Job {
    /// `op` over `rows` of one type, with nothing besides.
    pub(crate) fn plain(op: Op, dtype: Dtype, rows: &Rows, result: &Rows, options: &Options) -> Self {
        Job {
            op,
            dtypes: Dtypes::same(op, dtype),
            rows: *rows,
            result: *result,
            operand: *rows,
            options: *options,
            adjustment: AdjustmentParameters::default(),
            loss: LossParameters::default(),
            class_weights: false,
            row_values: op.is_loss(),
        }
    }

    /// Whether the factors of a loss are what the tally of its labels comes to.
    pub(crate) fn is_tallied(&self) -> bool {
        let kinds = self.loss.kinds;
        self.op.is_loss() && kinds & loss_kind::MEAN != 0 && kinds & loss_kind::WITHOUT_LABELS == 0
    }

    /// How the shader's logits are adjusted, if they are: also where weights remove them.
    pub(crate) fn adjusted(&self) -> Option<Adjusted> {
        let kinds = self.adjustment.kinds;
        let has = |kind: u32| kinds & kind != 0;
        let by_digits = |digits: u32| (digits >> 8) & 0xff > 1;
        (kinds != 0 || Sums::of(self.op) == Sums::Weighted).then_some(Adjusted {
            mask: has(kind::MASK),
            additive_mask: has(kind::ADDITIVE_MASK),
            by_digits: by_digits(self.adjustment.mask_digits) || by_digits(self.adjustment.additive_digits),
            per_row: has(kind::TEMPERATURE_PER_ROW | kind::LENGTHS),
        })
    }

    fn is_masked(&self) -> bool {
        self.adjusted().is_some_and(|adjusted| adjusted.mask || adjusted.additive_mask)
    }

    fn consists_of_quads(&self) -> bool {
        let Job { rows, result, operand, .. } = self;
        let per_element = matches!(self.op.output(), Output::PerElement | Output::PerPair);
        let read_or_written = [Some(rows), Some(operand), per_element.then_some(result)];
        let lie_at_quads = |rows: &Rows| {
            rows.offset().is_multiple_of(QUAD) && (rows.outer() == 1 || rows.pitch().is_multiple_of(QUAD))
        };
        rows.inner() == 1
            && rows.classes().is_multiple_of(QUAD)
            && read_or_written.into_iter().flatten().all(lie_at_quads)
    }

    /// Whether there are results beside values of rows.
    pub(crate) fn writes_result(&self) -> bool {
        self.op != Op::CrossEntropy
    }

    fn partial_bytes(&self) -> u64 {
        4 * Sums::of(self.op).partial_words()
    }
}

/// One dispatch of a plan: an entry point over one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dispatch {
    /// Which of the plan's stages.
    pub(crate) stage: usize,
    /// Workgroups in x and y.
    pub(crate) grid: [u32; 2],
    /// Logits that it takes; of a Jacobian, elements that it writes.
    pub(crate) elements: u64,
    /// Elements of the logits' range that the window covers.
    pub(crate) logits: Range<u64>,
    /// Elements of the result's range that the window covers; empty where only statistics are written.
    pub(crate) result: Range<u64>,
    /// Elements of the operand's range that the window covers; empty where there is none.
    pub(crate) operand: Range<u64>,
    /// Elements of a row before those that the windows of logits, result and operand start with.
    pub(crate) skipped: [u32; 3],
    /// All but where the windows start in their bindings.
    pub(crate) parameters: Parameters,
}

/// An entry point with its layout on the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) entry: &'static Entry,
    pub(crate) geometry: Geometry,
}

/// Blocks of Jacobians that are written from one element to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flat {
    /// So many classes of a row have room in workgroup memory.
    pub(crate) kept: u32,
    /// Whether every block consists of whole quads at multiples of four elements, from the start of the result's range
    /// on.
    pub(crate) quads: bool,
}

/// How an operation will run on a device.
///
/// ```
/// use wgpu_softmax::{Capabilities, Dtype, Kernel, Op, Options, Plan, Rows};
/// let rows = Rows::batch(1 << 20, 50_257)?;
/// let plan = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &Capabilities::webgpu_defaults())?;
/// assert_eq!(plan.kernel(), Kernel::SplitRow);
/// println!("{plan}");
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) job: Job,
    pub(crate) stages: Vec<Stage>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) partial_bytes: u64,
    /// Whether every row consists of whole quads at multiples of four elements, from the start of the buffers'
    /// ranges on.
    pub(crate) quads: bool,
    /// How blocks of Jacobians are written where rows do not consist of quads; `None` by columns.
    pub(crate) flat: Option<Flat>,
    kernel: Kernel,
    why: String,
    tuned: bool,
    windows: u64,
    chunk: u64,
    chunks: u64,
}

/// A part of the rows that is worked on in one go.
#[derive(Debug, Clone)]
struct Window {
    slabs: Range<u64>,
    chunks: Range<u64>,
    columns: Range<u64>,
}

impl Plan {
    /// Plans `op` over `rows`, with a compact result.
    ///
    /// # Errors
    /// [`Error::UnsupportedDtype`], [`Error::KernelUnsuitable`], [`Error::LimitExceeded`];
    /// [`Error::OperandUnused`] for probabilities in place of logits where they cannot stand in for them.
    pub fn new(
        op: Op,
        dtype: Dtype,
        rows: &Rows,
        options: &Options,
        capabilities: &Capabilities,
    ) -> Result<Plan> {
        Plan::with_result(op, dtype, rows, &rows.result(op), options, capabilities)
    }

    /// Plans `op` over `rows`, with the result laid out as `result` says (its sizes are those of
    /// [`Rows::result`], its pitch and offset the caller's).
    ///
    /// # Errors
    /// As [`Plan::new`], and [`Error::ResultRowsMismatch`].
    pub fn with_result(
        op: Op,
        dtype: Dtype,
        rows: &Rows,
        result: &Rows,
        options: &Options,
        capabilities: &Capabilities,
    ) -> Result<Plan> {
        Plan::of(Job::plain(op, dtype, rows, result, options), capabilities)
    }

    /// Plans a job.
    pub(crate) fn of(mut job: Job, capabilities: &Capabilities) -> Result<Plan> {
        job.adjustment.keep_divisors_above_zero();
        let Job { op, dtypes, rows, result, operand, .. } = job;
        let unsupported = [Some(dtypes.logits), Some(dtypes.result), dtypes.operand];
        if let Some(dtype) = unsupported.into_iter().flatten().find(|dtype| *dtype == Dtype::F64) {
            return Err(Error::UnsupportedDtype { dtype, device: capabilities.name.clone() });
        }
        check_given(op, &job.options, job.adjustment.kinds != 0)?;
        check_same_rows(&rows.result(op), &result)?;
        check_same_rows(&rows, &operand)?;
        checked_product(&[result.outer(), result.classes(), result.inner()])?;
        check_32_bits("the number of classes in a row", rows.classes())?;
        check_32_bits("the distance between two classes of a row", rows.inner())?;

        let Choice { kernel, stages, chunk, why, tuned } = choose_and_lay_out(&job, capabilities)?;
        let mut plan = Plan {
            job,
            stages,
            dispatches: Vec::new(),
            partial_bytes: 0,
            // The classes of a quad are no neighbours in a tile.
            quads: job.consists_of_quads() && kernel != Kernel::TileOfColumns,
            flat: None,
            kernel,
            why,
            tuned,
            windows: 0,
            chunk,
            chunks: chunked_classes(op, &rows).div_ceil(chunk),
        };
        if rows.count() > 0 && result.elements() > 0 {
            plan.cut(capabilities)?;
            plan.flat = plan.flat_blocks(capabilities);
        }
        Ok(plan)
    }

    /// How blocks of Jacobians may be written whose rows do not consist of quads, once it is known how many rows a
    /// block has.
    fn flat_blocks(&self, capabilities: &Capabilities) -> Option<Flat> {
        let (stage, rows, result) = (self.stages.first()?, &self.job.rows, &self.job.result);
        if !self.writes_pairs() {
            return None;
        }
        let kept = jacobian::kept(rows.classes(), stage.geometry.lanes, capabilities)?;
        let of_all = chunked_classes(self.job.op, rows) * rows.classes();
        let starts = [result.offset(), if result.outer() == 1 { 0 } else { result.pitch() }];
        let block = if self.chunks > 1 { self.chunk * rows.classes() } else { 0 };
        let lengths = [block, of_all];
        let quads = starts.into_iter().chain(lengths).all(|elements| elements.is_multiple_of(QUAD));
        Some(Flat { kept, quads })
    }

    /// The kernel that serves these rows.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Why that one. Where a table could have a say in it, this ends with `(tuned)` or `(built-in)`, and tells why a
    /// table that was asked for is not gone by.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether a table that was measured on the device had the say: see [`Options::tuned`].
    pub fn is_tuned(&self) -> bool {
        self.tuned
    }

    /// Windows of the buffers that are worked on one after the other.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// Dispatches, all of them in one compute pass.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// Logits that the largest dispatch takes, or elements of a Jacobian that it writes.
    fn most_elements(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.elements).max().unwrap_or(0)
    }

    /// Bytes of device memory for the statistics between two dispatches.
    pub fn scratch_bytes(&self) -> u64 {
        self.partial_bytes
    }

    /// Bytes that have to be read and written at the least: each logit, each element beside it, each label
    /// and each result once.
    pub fn floor_bytes(&self) -> u64 {
        self.bytes_with(1)
    }

    fn bytes_with(&self, readings: u64) -> u64 {
        let Job { op, dtypes, rows, result, .. } = &self.job;
        let read = dtypes.logits.bytes() + dtypes.operand.map_or(0, Dtype::bytes);
        let written = if self.job.writes_result() { dtypes.result.bytes() } else { 4 };
        let read = rows.elements().saturating_mul(readings).saturating_mul(read);
        // A loss has a word for each row's label, and beside a gradient one for the loss.
        let label = if op.is_loss() && dtypes.operand.is_none() { 4 } else { 0 };
        let beside = if *op == Op::CrossEntropyGradient { 4 } else { 0 };
        let read = read.saturating_add(rows.count().saturating_mul(label + beside));
        read.saturating_add(result.elements().saturating_mul(written))
    }

    /// Bytes that the kernel asks the memory for; repeated readings may come from a cache.
    pub fn moved_bytes(&self) -> u64 {
        let held = self.stages.iter().all(|stage| stage.geometry.held.is_some());
        let again = u64::from(self.job.dtypes.result.bytes() == 2 && !self.quads);
        // Parts that stay in registers are read once where they are summarised.
        let saved = u64::from(self.stages.len() == 2 && self.stages[0].geometry.held.is_some());
        let readings = match (held, self.job.op.output()) {
            (held, Output::PerPair) => self.chunks * if held { 2 } else { 3 },
            // Results that share words are finished by other lanes than have read their logits.
            (true, Output::PerElement) => 1 + again,
            (true, _) => 1,
            (false, Output::PerElement) => 3 - saved,
            (false, Output::PerRow | Output::TwoPerRow) => 2 - saved,
        };
        let partials = if self.stages.len() == 2 {
            self.job.rows.count().saturating_mul(self.chunks * self.job.partial_bytes())
        } else {
            0
        };
        self.bytes_with(readings).saturating_add(partials.saturating_mul(2))
    }

    /// Cuts the rows into windows, and the windows into dispatches.
    fn cut(&mut self, capabilities: &Capabilities) -> Result<()> {
        let Job { rows, result, operand, dtypes, .. } = self.job;
        let limit = capabilities.binding_elements(dtypes.most_bytes());
        let (classes, inner, outer) = (rows.classes(), rows.inner(), rows.outer());
        let pitch = rows.pitch().max(result.pitch()).max(operand.pitch());
        let partials_limit = capabilities.binding_bytes / self.job.partial_bytes();
        // Elements that a class of a slab takes in the larger one of the two buffers.
        let breadth = self.breadth();
        let slab = (classes * inner).max(result.classes().saturating_mul(inner));

        let in_time = capabilities.dispatch_elements.max(1);
        let is_short = slab <= in_time || !self.is_in_chunks() && inner == 1;

        let mut windows = Vec::new();
        if slab <= limit && is_short {
            let by_memory = if outer == 1 { 1 } else { 1 + (limit - slab) / pitch.max(1) };
            let by_partials =
                if self.stages.len() == 2 { partials_limit / (self.chunks * inner) } else { u64::MAX };
            let by_grid = self.slabs_of_one_grid(capabilities);
            // Windows of whole slabs do not show in the bits.
            let by_time = (in_time / slab.max(1)).max(1);
            let slabs = by_memory.min(by_partials).min(by_grid).min(by_time);
            if slabs == 0 {
                return Err(too_large("one slab of rows", slab, limit));
            }
            check_dispatches(outer.div_ceil(slabs))?;
            for first in (0..outer).step_by(slabs as usize) {
                let slabs = first..(first + slabs).min(outer);
                windows.push(vec![Window { slabs, chunks: 0..self.chunks, columns: 0..inner }]);
            }
        } else if slab <= limit && !self.is_in_chunks() {
            let columns = (in_time / classes.max(1)).clamp(1, inner);
            check_dispatches(outer * inner.div_ceil(columns))?;
            for slab in 0..outer {
                for column in (0..inner).step_by(columns as usize) {
                    let columns = column..(column + columns).min(inner);
                    windows.push(vec![Window { slabs: slab..slab + 1, chunks: 0..self.chunks, columns }]);
                }
            }
        } else if self.chunks == 0 {
            return Err(too_large("the result of one slab", slab, limit));
        } else {
            // Whatever fits a binding keeps its chunks, and with them its bits.
            if slab > limit {
                self.chunk_within(limit);
            }
            let chunks = (limit.min(in_time) / (self.chunk * breadth)).clamp(1, self.chunks);
            let by_partials = if self.stages.len() == 2 { partials_limit / self.chunks } else { u64::MAX };
            // The two values of a row lie as far apart as two classes of it.
            let apart = if self.job.op.output() == Output::TwoPerRow { inner } else { 0 };
            if apart >= limit {
                return Err(too_large("the result of one row", apart + 1, limit));
            }
            let by_time = (in_time / self.chunk).max(1);
            let columns = inner.min(limit - apart).min(by_partials).min(by_time);
            if columns == 0 {
                return Err(too_large(
                    "the statistics of one row",
                    self.chunks * self.job.partial_bytes(),
                    capabilities.binding_bytes,
                ));
            }
            check_dispatches(outer * inner.div_ceil(columns) * self.chunks.div_ceil(chunks))?;
            for slab in 0..outer {
                for column in (0..inner).step_by(columns as usize) {
                    let columns = column..(column + columns).min(inner);
                    let parts = (0..self.chunks).step_by(chunks as usize).map(|chunk| Window {
                        slabs: slab..slab + 1,
                        chunks: chunk..(chunk + chunks).min(self.chunks),
                        columns: columns.clone(),
                    });
                    windows.push(parts.collect());
                }
            }
        }

        self.windows = windows.iter().map(|parts| parts.len() as u64).sum();
        for parts in &windows {
            self.dispatch(parts, capabilities)?;
        }
        Ok(())
    }

    fn breadth(&self) -> u64 {
        if self.writes_pairs() { self.job.rows.classes() } else { self.job.rows.inner() }
    }

    /// Makes chunks so short that one fits a binding. A column whose chunk is wider than a binding needs
    /// this, and only its bits then depend on how many columns lie beside it; so does a block of a Jacobian,
    /// whose bits do not.
    fn chunk_within(&mut self, limit: u64) {
        if self.chunk * self.breadth() > limit {
            let fitting = limit / self.breadth();
            self.chunk = if fitting < QUAD { fitting.max(1) } else { fitting - fitting % QUAD };
            self.chunks = chunked_classes(self.job.op, &self.job.rows).div_ceil(self.chunk);
        }
    }

    /// Slabs that the largest grid of this device serves.
    fn slabs_of_one_grid(&self, capabilities: &Capabilities) -> u64 {
        let groups = u64::from(capabilities.max_workgroups).pow(2);
        let inner = self.job.rows.inner();
        // Lanes are counted in 32 bits.
        let most = (1u64 << 31) / (self.chunks.max(1) * inner);
        let chunks = self.chunks_shared_out(0..self.chunks);
        let slabs = |stage: &Stage| stage.geometry.slabs_of(groups, inner, chunks);
        self.stages.iter().map(slabs).fold(most, u64::min)
    }

    /// How many chunks of each row of a window the lanes share out among them.
    fn chunks_shared_out(&self, chunks: Range<u64>) -> u64 {
        if self.is_in_chunks() { chunks.end - chunks.start } else { 1 }
    }

    /// Whether lanes share out chunks of rows, or blocks of Jacobians, rather than rows.
    fn is_in_chunks(&self) -> bool {
        self.stages.len() == 2 || self.writes_pairs()
    }

    fn writes_pairs(&self) -> bool {
        self.job.op.output() == Output::PerPair
    }

    /// The dispatches of windows that share their rows: every part's statistics, then every part's result.
    fn dispatch(&mut self, parts: &[Window], capabilities: &Capabilities) -> Result<()> {
        for stage in 0..self.stages.len() {
            let writes = stage + 1 == self.stages.len();
            let once_per_row = writes && matches!(self.job.op.output(), Output::PerRow | Output::TwoPerRow);
            for window in &parts[..if once_per_row { 1 } else { parts.len() }] {
                let mut window = window.clone();
                if once_per_row && self.stages.len() == 2 {
                    window.chunks = 0..1;
                }
                let dispatch = self.dispatch_of(stage, &window, writes, capabilities)?;
                self.dispatches.push(dispatch);
                let (slabs, columns) =
                    (window.slabs.end - window.slabs.start, window.columns.end - window.columns.start);
                if self.stages.len() == 2 {
                    self.partial_bytes =
                        self.partial_bytes.max(slabs * self.chunks * columns * self.job.partial_bytes());
                }
            }
        }
        Ok(())
    }

    fn dispatch_of(
        &self,
        stage: usize,
        window: &Window,
        writes: bool,
        capabilities: &Capabilities,
    ) -> Result<Dispatch> {
        let slabs = window.slabs.end - window.slabs.start;
        let columns = window.columns.end - window.columns.start;
        let chunks = self.chunks_shared_out(window.chunks.clone());
        let groups = self.stages[stage].geometry.workgroups(slabs, columns, chunks);
        let most = u64::from(capabilities.max_workgroups);
        let width = groups.min(most);
        let height = groups.div_ceil(width);
        if height > most {
            return Err(too_large("the grid of one window", groups, most * most));
        }

        let one_slab = slabs == 1;
        let first_class = window.chunks.start * self.chunk;
        let classes =
            (window.chunks.end * self.chunk).min(chunked_classes(self.job.op, &self.job.rows)) - first_class;
        let Job { op, rows, result: result_rows, operand: operand_rows, dtypes, .. } = &self.job;
        let row = rows.classes();
        // A block of a Jacobian needs the whole row, and may start further down than the first block.
        let pairs = self.writes_pairs();
        let of_pairs = if pairs { rows.jacobian_rows().start } else { 0 };
        let (read_from, read) = if pairs { (0, row) } else { (first_class, classes) };
        let operand = match dtypes.operand {
            Some(_) => covered(operand_rows, window, read_from, read),
            None => 0..0,
        };
        let result = match op.output() {
            _ if !writes || !self.job.writes_result() => 0..0,
            Output::PerElement => covered(result_rows, window, first_class, classes),
            Output::PerRow => covered(result_rows, window, 0, 1),
            Output::TwoPerRow => covered(result_rows, window, 0, 2),
            Output::PerPair => covered(result_rows, window, first_class * row, classes * row),
        };
        let written_from = if op.output() == Output::PerElement { first_class } else { 0 };
        // Counted modulo 2³², as the shaders do.
        let skipped = [read_from, written_from, read_from].map(|class| (class * rows.inner()) as u32);
        let pitch_of = |rows: &Rows| if one_slab { 0 } else { rows.pitch() as u32 };
        let parameters = Parameters {
            slabs: slabs as u32,
            classes: row as u32,
            inner: rows.inner() as u32,
            columns: columns as u32,
            logits_pitch: pitch_of(rows),
            result_pitch: pitch_of(result_rows),
            operand_pitch: pitch_of(operand_rows),
            chunk: self.chunk as u32,
            chunks: self.chunks as u32,
            first_chunk: window.chunks.start as u32,
            chunks_here: (window.chunks.end - window.chunks.start) as u32,
            first_class: (of_pairs + first_class) as u32,
            end_class: (of_pairs + first_class + classes) as u32,
            first_slab: window.slabs.start as u32,
            first_column: window.columns.start as u32,
            grid_width: width as u32,
            across: jacobian::across(row, self.stages[stage].geometry.lanes),
            fully_masked: fully_masked_bits(*op, &self.job.options),
            adjustment: self.job.adjustment,
            loss: self.job.loss,
            ..Parameters::default()
        };
        let grid = [width as u32, height as u32];
        let logits = covered(rows, window, read_from, read);
        let elements = slabs * columns * classes * if pairs { row } else { 1 };
        Ok(Dispatch { stage, grid, elements, logits, result, operand, skipped, parameters })
    }
}

pub(crate) fn check_same_rows(expected: &Rows, actual: &Rows) -> Result<()> {
    if (expected.outer(), expected.classes(), expected.inner())
        == (actual.outer(), actual.classes(), actual.inner())
    {
        return Ok(());
    }
    Err(Error::ResultRowsMismatch { expected: expected.to_string(), actual: actual.to_string() })
}

/// The classes that chunks are made of: all of a row's, or those whose rows of the Jacobian are asked for.
fn chunked_classes(op: Op, rows: &Rows) -> u64 {
    let jacobian_rows = rows.jacobian_rows();
    if op.output() == Output::PerPair { jacobian_rows.end - jacobian_rows.start } else { rows.classes() }
}

/// The elements from the first to the last that a window touches of an array laid out as `rows`.
fn covered(rows: &Rows, window: &Window, first_class: u64, classes: u64) -> Range<u64> {
    if classes == 0 {
        return 0..0;
    }
    let at = |slab: u64, class: u64, column: u64| {
        rows.offset() + slab * rows.pitch() + class * rows.inner() + column
    };
    let first = at(window.slabs.start, first_class, window.columns.start);
    let last = at(window.slabs.end - 1, first_class + classes - 1, window.columns.end - 1);
    first..last + 1
}

/// What is written for a row in which nothing takes part.
fn fully_masked_bits(op: Op, options: &Options) -> u32 {
    use crate::FullyMasked::{Nan, Zero};
    match (op, options.fully_masked) {
        (Op::LogSumExp, _) | (Op::LogSoftmax, Zero) => f32::NEG_INFINITY.to_bits(),
        (_, Zero) => 0,
        (_, Nan) => 0x7fc0_0000,
    }
}

/// What serves the rows, and why.
struct Choice {
    kernel: Kernel,
    stages: Vec<Stage>,
    /// The classes in a chunk.
    chunk: u64,
    why: String,
    /// Whether the device's table had the say.
    tuned: bool,
}

/// The kernel as it was measured where that is asked for, and there is a table whose kernel can serve; else as this plan
/// chooses by itself.
fn choose_and_lay_out(job: &Job, capabilities: &Capabilities) -> Result<Choice> {
    let Job { op, rows, options, dtypes, .. } = job;
    let (kernel, why) = choose(job, capabilities);
    let built_in = |why| {
        let (stages, chunk) = lay_out(job, kernel, capabilities)?;
        Ok(Choice { kernel, stages, chunk, why, tuned: false })
    };
    // Of columns, of Jacobians and of nothing there is no choice that a table could have made.
    let by_length = rows.inner() == 1 && rows.classes() > 0 && op.output() != Output::PerPair;
    if !by_length || options.kernel.is_some() {
        return built_in(why);
    }
    if !options.tuned {
        return built_in(format!("{why} (built-in)"));
    }
    match Tuning::taken(op.output(), dtypes.logits, rows.classes(), capabilities) {
        Ok(Candidate::BuiltIn) => built_in(format!("{why}, and nothing was measured faster (tuned)"))
            .map(|choice| Choice { tuned: true, ..choice }),
        Ok(Candidate::Kernel { kernel, lanes }) => match lay_out_with(job, kernel, lanes, capabilities) {
            Ok((stages, chunk)) => {
                let why =
                    format!("{lanes} lane(s) of it were measured fastest for rows of this length (tuned)");
                Ok(Choice { kernel, stages, chunk, why, tuned: true })
            }
            Err(Error::KernelUnsuitable { why: reason, .. }) => {
                built_in(format!("{why} (built-in: the table has {kernel}, but {reason})"))
            }
            Err(error) => Err(error),
        },
        Err(reason) => built_in(format!("{why} (built-in: {reason})")),
    }
}

/// [`lay_out`], with so many lanes for each row or chunk.
fn lay_out_with(
    job: &Job,
    kernel: Kernel,
    lanes: u32,
    capabilities: &Capabilities,
) -> Result<(Vec<Stage>, u64)> {
    let (mut stages, chunk) = lay_out(job, kernel, capabilities)?;
    let unsuitable = |why: String| Error::KernelUnsuitable { kernel, why };
    let whole = stages.len() == 1;
    for stage in &mut stages {
        if !whole && stage.geometry.lanes != lanes {
            let why = format!("its chunks take {} lanes, not {lanes}", stage.geometry.lanes);
            return Err(unsuitable(why));
        }
        let classes = job.rows.classes();
        stage.geometry = stage.geometry.with_lanes(lanes, classes, capabilities).map_err(unsuitable)?;
    }
    Ok((stages, chunk))
}

/// The kernel for these rows, and why.
fn choose(job: &Job, capabilities: &Capabilities) -> (Kernel, String) {
    let Job { op, rows, options, dtypes, .. } = job;
    let classes = rows.classes();
    if let Some(kernel) = options.kernel {
        return (kernel, "it was asked for".into());
    }
    if op.output() == Output::PerPair {
        return (Kernel::Jacobian, "a Jacobian is written in blocks of rows".into());
    }
    if classes == 0 {
        return (Kernel::LanePerColumn, "rows without classes have nothing to share".into());
    }
    let limit = capabilities.binding_elements(dtypes.most_bytes());
    if classes * rows.inner() > limit {
        return (
            Kernel::SplitRow,
            format!(
                "a slab of {classes} × {} elements is more than one binding covers, so parts are summarised first",
                rows.inner()
            ),
        );
    }
    if rows.inner() > 1 {
        let inner = rows.inner();
        let held_alone = classes <= MOST_HELD && inner >= tile_of_columns::WIDE;
        if !held_alone && tile_of_columns::serves(classes, capabilities) {
            return choose_among_tiles(classes, inner);
        }
        if classes <= lane_per_column::LONGEST {
            return (
                Kernel::LanePerColumn,
                format!(
                    "the axis is not the last (inner = {inner}), so neighbouring lanes walk neighbouring rows"
                ),
            );
        }
        return (
            Kernel::SplitRow,
            format!(
                "columns of {classes} classes are longer than the {} one lane walks, so chunks are summarised first",
                lane_per_column::LONGEST
            ),
        );
    }
    let by_subgroups = subgroup_per_row::longest(capabilities);
    let by_workgroup = workgroup_per_row::longest(capabilities);
    if classes <= by_subgroups {
        let machine = if capabilities.software {
            "a software adapter runs a subgroup fastest"
        } else {
            "short rows meet in shuffles alone"
        };
        (Kernel::SubgroupPerRow, format!("{classes} classes are at most {by_subgroups}, and {machine}"))
    } else if capabilities.subgroup_lanes.is_none() && classes <= lane_per_column::LONGEST_LAST_AXIS {
        (
            Kernel::LanePerColumn,
            format!("the device has no subgroups, and {classes} classes are too few to share among lanes"),
        )
    } else if capabilities.software && capabilities.subgroup_lanes.is_some() {
        (
            Kernel::SplitRow,
            format!(
                "{classes} classes are more than the {by_subgroups} that a subgroup takes, and a software adapter runs \
                 subgroups fastest, so chunks are summarised first"
            ),
        )
    } else if classes <= by_workgroup {
        (
            Kernel::WorkgroupPerRow,
            format!("{classes} classes are at most {by_workgroup}, which one workgroup takes"),
        )
    } else {
        (
            Kernel::SplitRow,
            format!(
                "{classes} classes are more than the {by_workgroup} of one workgroup, so chunks are summarised first"
            ),
        )
    }
}

/// The kernel for an axis that is not the last, where its columns share workgroups.
fn choose_among_tiles(classes: u64, inner: u64) -> (Kernel, String) {
    let longest = tile_of_columns::LONGEST;
    if classes > longest {
        return (
            Kernel::SplitRow,
            format!(
                "columns of {classes} classes are longer than the {longest} that the lanes of a tile hold, so chunks are \
                 summarised first"
            ),
        );
    }
    let lanes = tile_of_columns::lanes(classes);
    (
        Kernel::TileOfColumns,
        format!(
            "the axis is not the last (inner = {inner}), so workgroups take neighbouring rows, {lanes} lane(s) each, which \
             load what lies side by side"
        ),
    )
}

/// The stages of a kernel, and the classes in a chunk.
fn lay_out(job: &Job, kernel: Kernel, capabilities: &Capabilities) -> Result<(Vec<Stage>, u64)> {
    let Job { op, rows, dtypes, .. } = job;
    let classes = rows.classes();
    let unsuitable = |why: String| Error::KernelUnsuitable { kernel, why };
    let last_axis_only = || match rows.inner() {
        0 | 1 => Ok(()),
        inner => Err(unsuitable(format!("it needs the last axis, and inner is {inner}"))),
    };
    if (op.output() == Output::PerPair) != (kernel == Kernel::Jacobian) {
        return Err(unsuitable(format!("{op} is not what it computes")));
    }
    if classes == 0 && kernel != Kernel::LanePerColumn && kernel != Kernel::Jacobian {
        return Err(unsuitable("there are no classes".into()));
    }
    let fits_a_binding = || match capabilities.binding_elements(dtypes.most_bytes()) {
        limit if classes * rows.inner() <= limit => Ok(()),
        limit => Err(unsuitable(format!("a slab is larger than the {limit} elements of a binding"))),
    };
    match kernel {
        Kernel::SubgroupPerRow => {
            last_axis_only()?;
            fits_a_binding()?;
            let geometry =
                subgroup_per_row::geometry(classes, job.is_masked(), capabilities).map_err(unsuitable)?;
            Ok((vec![Stage { entry: &subgroup_per_row::ENTRY, geometry }], classes))
        }
        Kernel::WorkgroupPerRow => {
            last_axis_only()?;
            fits_a_binding()?;
            let geometry = workgroup_per_row::geometry(classes, capabilities).map_err(unsuitable)?;
            Ok((vec![Stage { entry: &workgroup_per_row::ENTRY, geometry }], classes))
        }
        Kernel::Jacobian => {
            last_axis_only()?;
            fits_a_binding()?;
            let geometry = jacobian::geometry(classes, capabilities).map_err(unsuitable)?;
            let block = classes.clamp(1, jacobian::BLOCK_ROWS);
            Ok((vec![Stage { entry: &jacobian::ENTRY, geometry }], block))
        }
        Kernel::LanePerColumn => {
            fits_a_binding()?;
            if classes > lane_per_column::LONGEST {
                return Err(unsuitable(format!(
                    "{classes} classes are more than the {} that one lane walks",
                    lane_per_column::LONGEST
                )));
            }
            let geometry = match rows.inner() {
                0 | 1 => lane_per_column::geometry(classes, capabilities),
                _ => lane_per_column::geometry_across(classes, capabilities),
            };
            Ok((vec![Stage { entry: &lane_per_column::ENTRY, geometry }], lane_per_column::chunk(classes)))
        }
        Kernel::TileOfColumns => {
            fits_a_binding()?;
            let geometry =
                tile_of_columns::geometry(classes, rows.inner(), capabilities).map_err(unsuitable)?;
            Ok((vec![Stage { entry: &tile_of_columns::ENTRY, geometry }], classes))
        }
        Kernel::SplitRow if rows.inner() == 1 => {
            let geometry = split_row_statistics::geometry(classes, capabilities);
            let stages = vec![
                Stage { entry: &split_row_statistics::ENTRY, geometry },
                Stage { entry: &split_row_write::ENTRY, geometry: Geometry { held: None, ..geometry } },
            ];
            Ok((stages, split_row_statistics::chunk(classes, capabilities)))
        }
        Kernel::SplitRow if tile_of_columns::serves(classes, capabilities) => {
            let geometry = tile_of_columns::geometry_of_chunks(classes, rows.inner(), capabilities)
                .map_err(unsuitable)?;
            let stages = vec![
                Stage { entry: &split_tile_statistics::ENTRY, geometry },
                Stage { entry: &split_tile_write::ENTRY, geometry: Geometry { held: None, ..geometry } },
            ];
            Ok((stages, tile_of_columns::chunk(classes)))
        }
        Kernel::SplitRow => {
            let geometry = Geometry { held: None, ..lane_per_column::geometry(classes, capabilities) };
            let stages = [&split_column_statistics::ENTRY, &split_column_write::ENTRY]
                .map(|entry| Stage { entry, geometry });
            Ok((stages.to_vec(), lane_per_column::chunk(classes)))
        }
    }
}

fn check_32_bits(what: &'static str, needed: u64) -> Result<()> {
    let limit = u64::from(u32::MAX);
    let remedy = "shaders count in 32 bits; compute it on the CPU";
    if needed > limit { Err(Error::LimitExceeded { what, needed, limit, remedy }) } else { Ok(()) }
}

fn check_dispatches(needed: u64) -> Result<()> {
    if needed <= MOST_DISPATCHES {
        return Ok(());
    }
    let remedy = "give it in several batches of rows";
    Err(Error::LimitExceeded { what: "the number of windows", needed, limit: MOST_DISPATCHES, remedy })
}

fn too_large(what: &'static str, needed: u64, limit: u64) -> Error {
    Error::LimitExceeded {
        what,
        needed,
        limit,
        remedy: "compute it on the CPU, or on a device with larger limits",
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} rows of {} classes in {}",
            self.job.op,
            self.job.rows.count(),
            self.job.rows.classes(),
            self.job.dtypes
        )?;
        writeln!(f, "kernel       {}, since {}", self.kernel, self.why)?;
        for stage in &self.stages {
            let Geometry { workgroup, lanes, held, .. } = stage.geometry;
            let kept = match held {
                Some(held) => format!("the row stays in registers, up to {held} × {QUAD} logits a lane"),
                None => "the row is read anew in each pass".into(),
            };
            writeln!(
                f,
                "  {:<24} {lanes} lane(s) a row, workgroups of {workgroup}; {kept}",
                stage.entry.name
            )?;
        }
        if self.stages.len() == 2 {
            writeln!(f, "chunks       {} a row, of {} classes", self.chunks, self.chunk)?;
            writeln!(f, "scratch      {}", Bytes(self.partial_bytes))?;
        }
        writeln!(f, "windows      {}, in {} dispatch(es) of one pass", self.windows, self.dispatches.len())?;
        writeln!(f, "             up to {} elements in one dispatch", self.most_elements())?;
        if let Some(largest) =
            self.dispatches.iter().max_by_key(|dispatch| dispatch.grid[0] as u64 * dispatch.grid[1] as u64)
        {
            writeln!(f, "grid         up to {} × {} workgroups", largest.grid[0], largest.grid[1])?;
        }
        if self.quads {
            writeln!(
                f,
                "elements     {QUAD} at a time, where the buffers' ranges start at a multiple of that"
            )?;
        }
        if let (false, Some(Flat { quads, .. })) = (self.quads, self.flat) {
            let at_once = if quads {
                "4 at a time where the result's range starts at a multiple of that, "
            } else {
                ""
            };
            writeln!(f, "result       {at_once}from one element to the next, across the rows of a Jacobian")?;
        }
        write!(
            f,
            "memory       {} moved, {} at the least",
            Bytes(self.moved_bytes()),
            Bytes(self.floor_bytes())
        )
    }
}

/// A number of bytes for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let step = if self.0 == 0 { 0 } else { (self.0.ilog2() / 10) as usize };
        match step {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{:.1} {}", self.0 as f64 / (1u64 << (10 * step)) as f64, units[step]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::kernels::Role;

    /// Walks a dispatch as its shader does, and gives every element of the logits' and of the result's
    /// buffer range that a lane touches.
    fn touched(plan: &Plan, dispatch: &Dispatch) -> Vec<(u64, u64)> {
        let told = &dispatch.parameters;
        let geometry = plan.stages[dispatch.stage].geometry;
        let [chunk, chunks] = match plan.stages.len() {
            2 => [told.chunk, told.chunks_here],
            _ => [told.classes, 1],
        };
        let lanes_needed = told.slabs * told.columns * chunks * geometry.lanes;
        let lanes = u64::from(dispatch.grid[0]) * u64::from(dispatch.grid[1]) * u64::from(geometry.workgroup);
        assert!(lanes >= u64::from(lanes_needed));
        assert!(told.grid_width == dispatch.grid[0]);

        let mut elements = Vec::new();
        for slab in 0..told.slabs {
            for column in 0..told.columns {
                for class in 0..chunk * chunks {
                    if told.first_chunk * told.chunk + class >= told.classes {
                        break;
                    }
                    let within = u64::from(class * told.inner + column);
                    let logit = dispatch.logits.start + u64::from(slab * told.logits_pitch) + within;
                    let result = dispatch.result.start + u64::from(slab * told.result_pitch) + within;
                    elements.push((logit, result));
                }
            }
        }
        elements
    }

    fn small_device(binding: u64, alignment: u64, subgroup: Option<u32>, grid: u32) -> Capabilities {
        let mut capabilities = Capabilities::of("small", &wgpu::Limits::defaults(), subgroup, false);
        capabilities.binding_bytes = binding;
        capabilities.binding_alignment = alignment;
        capabilities.max_workgroups = grid;
        capabilities
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn windows_cover_every_element_once_and_fit_every_limit(
            (outer, classes, inner) in (0u64..5, 1u64..2000, 1u64..6),
            (padding, offset) in (0u64..4, 0u64..40),
            binding in 1500u64..20_000,
            alignment in prop::sample::select(vec![32u64, 64]),
            subgroup in prop::sample::select(vec![None, Some(4u32), Some(32)]),
            grid in prop::sample::select(vec![8u32, 65_535]),
            op in prop::sample::select([&Op::ROW_WISE[..], &Op::PRODUCTS[..], &[Op::SignedLogSumExp, Op::CrossEntropyGradient]].concat()),
            forced in prop::sample::select(
                vec![None, Some(Kernel::SubgroupPerRow), Some(Kernel::WorkgroupPerRow), Some(Kernel::SplitRow), Some(Kernel::LanePerColumn), Some(Kernel::TileOfColumns)]),
        ) {
            let capabilities = small_device(binding, alignment, subgroup, grid);
            let compact = Rows::new(outer, classes, inner).unwrap();
            let rows = compact.with_pitch(compact.pitch() + padding).unwrap().with_offset(offset).unwrap();
            let result = rows.result(op);
            let options = Options { kernel: forced, ..Options::default() };
            let job = Job::plain(op, Dtype::F32, &rows, &result, &options);
            let plan = match Plan::of(job, &capabilities) {
                Ok(plan) => plan,
                Err(Error::KernelUnsuitable { .. }) if forced.is_some() => return Ok(()),
                Err(Error::LimitExceeded { .. }) if grid == 8 => return Ok(()),
                Err(error) => panic!("{error}"),
            };

            let mut summarised = HashMap::new();
            let mut written = HashMap::new();
            for dispatch in &plan.dispatches {
                prop_assert!(dispatch.grid.iter().all(|&side| (1..=grid).contains(&side)));
                for range in [&dispatch.logits, &dispatch.result] {
                    prop_assert!((range.end - range.start) * 4 + alignment - 4 <= binding);
                }
                let role = plan.stages[dispatch.stage].entry.role;
                if role != Role::Statistics && matches!(op.output(), Output::PerRow | Output::TwoPerRow) {
                    for slab in 0..u64::from(dispatch.parameters.slabs) {
                        for column in 0..u64::from(dispatch.parameters.columns) {
                            let row = dispatch.result.start + slab * u64::from(dispatch.parameters.result_pitch) + column;
                            for value in 0..result.classes() {
                                let place = row + value * inner;
                                prop_assert!(dispatch.result.contains(&place));
                                *written.entry(place).or_insert(0) += 1;
                            }
                        }
                    }
                    continue;
                }
                for (logit, place) in touched(&plan, dispatch) {
                    prop_assert!(dispatch.logits.contains(&logit));
                    if role == Role::Statistics {
                        *summarised.entry(logit).or_insert(0) += 1;
                    } else {
                        prop_assert!(dispatch.result.contains(&place));
                        *written.entry(place).or_insert(0) += 1;
                    }
                }
            }
            prop_assert!(written.values().all(|&times| times == 1));
            prop_assert_eq!(written.len() as u64, result.elements());
            if plan.stages.len() == 2 {
                prop_assert!(summarised.values().all(|&times| times == 1));
                prop_assert_eq!(summarised.len() as u64, rows.elements());
                prop_assert!(plan.partial_bytes <= binding);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn windows_of_jacobians_cover_every_pair_once_and_fit_every_limit(
            (outer, classes) in (0u64..5, 1u64..150),
            (start, end) in (0u64..150, 0u64..150),
            (padding, offset) in (0u64..4, 0u64..40),
            binding in 1000u64..20_000,
        ) {
            let (start, end) = (start.min(end).min(classes), end.max(start).min(classes));
            let capabilities = small_device(binding, 32, Some(8), 65_535);
            let compact = Rows::batch(outer, classes).unwrap().with_jacobian_rows(start..end).unwrap();
            let rows = compact.with_pitch(classes + padding).unwrap().with_offset(offset).unwrap();
            let result = rows.result(Op::Jacobian);
            let plan = Plan::new(Op::Jacobian, Dtype::F32, &rows, &Options::default(), &capabilities).unwrap();
            let mut written = HashMap::new();
            for dispatch in &plan.dispatches {
                let told = &dispatch.parameters;
                for range in [&dispatch.logits, &dispatch.result] {
                    prop_assert!((range.end - range.start) * 4 + 28 <= binding);
                }
                prop_assert!(dispatch.grid[0] * dispatch.grid[1] >= told.slabs * told.chunks_here);
                prop_assert!(told.chunk * told.chunks_here >= told.end_class - told.first_class);
                for slab in 0..told.slabs {
                    let row = dispatch.logits.start + u64::from(slab * told.logits_pitch);
                    prop_assert_eq!((row - offset) % (classes + padding), 0);
                    prop_assert!(row + classes <= dispatch.logits.end);
                    for i in told.first_class..told.end_class {
                        prop_assert!((start..end).contains(&u64::from(i)));
                        for j in 0..told.classes {
                            let within = (i - told.first_class) * told.classes + j;
                            let place = dispatch.result.start + u64::from(slab * told.result_pitch + within);
                            prop_assert!(dispatch.result.contains(&place));
                            let asked = (row - offset) / (classes + padding) * (end - start);
                            prop_assert_eq!(place / classes, asked + u64::from(i) - start);
                            *written.entry(place).or_insert(0) += 1;
                        }
                    }
                }
            }
            prop_assert!(written.values().all(|&times| times == 1));
            prop_assert_eq!(written.len() as u64, result.elements());
        }
    }

    #[test]
    fn chunks_go_by_the_length_alone() {
        let narrow = small_device(128 << 20, 32, Some(8), 65_535);
        let wide = small_device(4 << 30, 32, Some(8), 65_535);
        for classes in [16_385, 50_257, 1_000_003, 1 << 25] {
            let chunk = |count, capabilities: &Capabilities| {
                let rows = Rows::batch(count, classes).unwrap();
                Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), capabilities).unwrap().chunk
            };
            assert_eq!(chunk(1, &narrow), chunk(1000, &narrow));
            assert_eq!(chunk(1, &narrow), chunk(1000, &wide));
        }
    }

    /// Throughput follows from these: bytes for each element, lanes that have nothing to do, and what a lane does.
    #[test]
    fn no_length_of_rows_is_much_worse_than_its_neighbours() {
        let mut limits = wgpu::Limits::defaults();
        let plain = Capabilities::of("default limits", &limits, None, false);
        let with_subgroups = Capabilities::of("default limits, with subgroups", &limits, Some(32), false);
        limits.max_compute_invocations_per_workgroup = 1024;
        limits.max_compute_workgroup_size_x = 1024;
        let card = Capabilities::of("a graphics card", &limits, Some(32), false);
        let software = Capabilities::of("a software adapter", &limits, Some(8), true);
        let lengths =
            || (1..3000u64).chain((3000..40_000).step_by(7)).chain((40_000..1_000_000).step_by(9973));
        for device in [plain, with_subgroups, card, software] {
            let mut before: Option<(f64, f64)> = None;
            for classes in lengths() {
                let rows = Rows::batch(1000, classes).unwrap();
                let plan = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &device).unwrap();
                let per_element = plan.moved_bytes() as f64 / rows.elements() as f64;
                let Geometry { lanes, .. } = plan.stages[0].geometry;
                let quads = plan.chunk.min(classes).div_ceil(QUAD);
                let turns = quads.div_ceil(u64::from(lanes));
                let places = u64::from(lanes) * turns * QUAD * plan.chunks.max(1);
                let idle = 1.0 - classes as f64 / places as f64;
                let told = format!("{classes} classes on {}: {per_element} bytes, {idle} idle", device.name);

                // A software adapter reads its caches again rather than meet in workgroup memory. Partial statistics
                // are the tenth beside.
                let most = match device.software {
                    true => 16.1,
                    false => {
                        if classes <= 16_384 {
                            8.0
                        } else {
                            12.1
                        }
                    }
                };
                assert!(per_element <= most, "{told}");
                assert!(idle <= if classes == 1 { 0.75 } else { 0.5 }, "{told}");
                let (bytes, work) = (per_element, places as f64 / classes as f64);
                if let Some((bytes_before, work_before)) = before.replace((bytes, work)) {
                    assert!(bytes <= 1.6 * bytes_before || device.software, "{told}");
                    assert!(
                        work <= 2.0 * work_before && (classes == 2 || work_before <= 2.0 * work),
                        "{told}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_invocation_takes_more_turns_than_a_software_driver_grants() {
        use crate::kernels::MOST_TURNS;
        let device = small_device(1 << 40, 32, Some(8), 65_535);
        for classes in [16_384u64, 16_385, 1 << 20, 1 << 24, 1 << 28, u64::from(u32::MAX)] {
            for inner in [1, 2] {
                let rows = Rows::new(1, classes, inner).unwrap();
                let plan = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &device).unwrap();
                let lanes = u64::from(plan.stages[0].geometry.lanes);
                let per_lane = plan.chunk.div_ceil(lanes);
                // Maximum, sum with its blocks, result; or the first two, then the partials and the result.
                let turns = if plan.stages.len() == 2 {
                    (2 * per_lane + per_lane / 32).max(plan.chunks.div_ceil(lanes) * 2 + per_lane)
                } else {
                    3 * classes.div_ceil(lanes) + per_lane / 32
                };
                assert!(
                    turns <= MOST_TURNS || inner > 1 && classes > 983_000_000,
                    "{classes} {inner} {turns}"
                );
            }
        }
    }
}
