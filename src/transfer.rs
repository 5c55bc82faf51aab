//! The third level on a GPU: host memory in, host memory out, in windows of bounded size.
//!
//! A window goes host → mapped staging → logits → kernel → result → mapped staging → host. All four
//! buffers, and the prepared operation, are kept for the next call.
//!
//! Two windows are under way at a time: while the device computes one, the host takes home the one before and
//! writes the one after.
//!
//! Where a device shares its memory with the host (`Capabilities::maps_buffers`), there is no staging memory: the host
//! writes into the buffers that shaders read, and reads those that they write.

use std::ops::Range;
use std::time::Duration;

use crate::arrangement::Arrangement;
use crate::cross_entropy::{ArrangedLoss, LossPlaces, LossSums};
use crate::encode::{Prepared, Ranges, Whole, bind_group, filled_buffer, uniform_buffer};
use crate::inputs::{Inputs, RowsTaken};
use crate::pipelines::binding;
use crate::plan::{Job, Parameters, Stage};
use crate::request::Arranged;
use crate::wait::{Mapping, Waiting};
use crate::{Dtype, Element, ElementsMut, Error, Gpu, Op, Options, Output, Result, Rows};

/// Bytes that the windows of one call take together, on the device and in staging memory, unless the context is
/// told otherwise.
pub(crate) const STREAM_BYTES: u64 = 256 << 20;

/// What is left of that in the end where a device's memory is exhausted.
const LEAST_STREAM_BYTES: u64 = 1 << 20;

/// Windows that are under way at a time.
const UNDER_WAY: usize = 2;

/// What travels is there twice: in staging memory, and where shaders see it.
const COPIES: u64 = 2;

/// Prepared operations that a workspace keeps: a batch's full windows and its last, shorter one.
const KEPT_OPERATIONS: usize = 4;

/// How far a one-call computation has come, and what it spent its time on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Logits done.
    pub done: u64,
    /// Logits in all.
    pub total: u64,
    /// Time for copying logits into memory that the device reads.
    pub upload: Duration,
    /// Time for handing over the work, and that the host then had nothing to do but wait for the device. What the
    /// device computes while the host copies other windows is not in it.
    pub compute: Duration,
    /// Time for copying results out of memory that the device wrote.
    pub read_back: Duration,
}

/// What travels to the device beside the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Logits,
    /// The second operand, or target probabilities.
    Operand,
    Labels,
    Mask,
    AdditiveMask,
    PerRow,
    ClassWeights,
}

impl Input {
    pub(crate) const ALL: [Input; 7] = [
        Input::Logits,
        Input::Operand,
        Input::Labels,
        Input::Mask,
        Input::AdditiveMask,
        Input::PerRow,
        Input::ClassWeights,
    ];
}

/// What a workspace prepares: a job over rows that travel together, and how much travels with them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Operation {
    pub(crate) job: Job,
    /// Bytes of each input, in the order of [`Input::ALL`].
    pub(crate) input_bytes: [u64; 7],
    pub(crate) row_values_bytes: u64,
}

impl Operation {
    fn result_bytes(&self) -> u64 {
        if !self.job.writes_result() {
            return 0;
        }
        in_words(self.job.result.elements() * self.job.dtypes.result.bytes())
    }

    /// Where each input starts in the staging buffer, and where the last one ends.
    fn sections(&self) -> [u64; 8] {
        let mut starts = [0; 8];
        for (place, bytes) in self.input_bytes.iter().enumerate() {
            starts[place + 1] = starts[place] + bytes.next_multiple_of(8);
        }
        starts
    }

    fn upload_bytes(&self) -> u64 {
        self.sections()[7]
    }

    fn download_bytes(&self) -> u64 {
        self.result_bytes().next_multiple_of(8) + self.row_values_bytes
    }

    /// What it takes of the budget while it is under way.
    fn travelling_bytes(&self) -> u64 {
        COPIES * (self.upload_bytes() + self.download_bytes())
    }
}

/// Bytes in whole words, of which copies are made.
pub(crate) fn in_words(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}

/// Device memory that calls leave for the next one.
#[derive(Default)]
pub(crate) struct Workspace {
    /// Mapped between calls; where there is no staging memory, so are the inputs.
    upload: Option<wgpu::Buffer>,
    inputs: [Option<wgpu::Buffer>; 7],
    result: Option<wgpu::Buffer>,
    row_values: Option<wgpu::Buffer>,
    /// Unmapped between calls.
    download: Option<wgpu::Buffer>,
    operations: Vec<(Operation, Prepared)>,
}

/// Whole rows that travel together: some slabs, and some of their columns. Of Jacobians, some of their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) slabs: Range<u64>,
    pub(crate) columns: Range<u64>,
    jacobian_rows: Range<u64>,
}

impl Window {
    /// All rows at once.
    pub(crate) fn all(rows: &Rows) -> Self {
        Window { slabs: 0..rows.outer(), columns: 0..rows.inner(), jacobian_rows: rows.jacobian_rows() }
    }

    fn rows(&self, classes: u64) -> Result<Rows> {
        let slabs = self.slabs.end - self.slabs.start;
        let rows = Rows::new(slabs, classes, self.columns.end - self.columns.start)?;
        rows.with_jacobian_rows(self.jacobian_rows.clone())
    }

    /// Its rows, counted over outer and inner of `rows`, in its order.
    pub(crate) fn row_indices(&self, inner: u64) -> impl Iterator<Item = u64> {
        let columns = self.columns.clone();
        self.slabs.clone().flat_map(move |slab| columns.clone().map(move |column| slab * inner + column))
    }

    /// The range of elements that this window's Jacobians are in the result of all of them.
    fn run_of_jacobians(&self, rows: &Rows) -> Range<u64> {
        let (all, classes) = (rows.jacobian_rows(), rows.classes());
        let jacobian = (all.end - all.start) * classes;
        let skipped = (self.jacobian_rows.start - all.start) * classes;
        let length = (self.jacobian_rows.end - self.jacobian_rows.start) * classes;
        let first = self.slabs.start * jacobian + skipped;
        // Several slabs only travel together whole.
        first..first + (self.slabs.end - self.slabs.start - 1) * jacobian + length
    }

    /// The ranges of elements, in an array laid out as `rows`, that make up this window in order.
    pub(crate) fn runs(&self, rows: &Rows) -> impl Iterator<Item = Range<u64>> {
        let (classes, inner) = (rows.classes(), rows.inner());
        let whole = self.columns == (0..inner);
        let (lines, length) = if whole {
            (1, classes * inner * (self.slabs.end - self.slabs.start))
        } else {
            ((self.slabs.end - self.slabs.start) * classes, self.columns.end - self.columns.start)
        };
        let first = self.slabs.start * classes * inner + self.columns.start;
        (0..lines).map(move |line| first + line * inner..first + line * inner + length)
    }
}

/// What a call sends and brings home, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    /// To the device with each row.
    up: u64,
    /// Back with each row.
    down: u64,
    /// To the device with each window, however few rows it has.
    fixed: u64,
}

impl Load {
    fn of(inputs: &Inputs<'_>) -> Result<Self> {
        let rows = inputs.job.rows;
        let of_rows = |count| {
            let window = Window { slabs: 0..count, columns: 0..1, jacobian_rows: rows.jacobian_rows() };
            Ok::<_, Error>(inputs.part(&window, window.rows(rows.classes())?))
        };
        let (none, one) = (of_rows(0)?, of_rows(1)?);
        let fixed = none.upload_bytes();
        Ok(Load { up: one.upload_bytes() - fixed, down: one.download_bytes(), fixed })
    }
}

/// Cuts rows into windows that each fit the buffers, and take no more than `bytes` where they can. Windows of
/// columns all have the same width, and never just one column of several: a lone column would be another layout,
/// with other bits.
fn windows(job: &Job, load: Load, buffer_bytes: u64, bytes: u64) -> Result<Vec<Window>> {
    let Job { rows, result: written, .. } = job;
    let (outer, inner) = (rows.outer(), rows.inner());
    // Rows have a good part of it, whatever goes with them.
    let bytes = bytes.saturating_sub(load.fixed).max(bytes / 2);
    let column = load.up.saturating_add(load.down);
    let slab = column.saturating_mul(inner);
    // All that goes one way is in one staging buffer.
    let most_rows =
        (buffer_bytes.saturating_sub(load.fixed) / load.up.max(1)).min(buffer_bytes / load.down.max(1));
    let all = rows.jacobian_rows();
    let row_of_jacobian = rows.classes() * job.dtypes.result.bytes();
    if slab > bytes && written.classes() > rows.classes() && row_of_jacobian <= buffer_bytes {
        let at_once = (bytes.saturating_sub(load.up).min(buffer_bytes) / row_of_jacobian).max(1);
        let starts = all.clone().step_by(at_once as usize);
        return Ok((0..outer)
            .flat_map(|slab| {
                starts.clone().map(move |first| Window {
                    slabs: slab..slab + 1,
                    columns: 0..1,
                    jacobian_rows: first..(first + at_once).min(all.end),
                })
            })
            .collect());
    }
    let refused = |what, rows| {
        let needed = load.up.max(load.down).saturating_mul(rows).saturating_add(load.fixed);
        let remedy = "compute it on the CPU, or on a device with larger buffers";
        Err(Error::LimitExceeded { what, needed, limit: buffer_bytes, remedy })
    };
    if slab <= bytes && inner <= most_rows || inner == 1 {
        if most_rows == 0 {
            return refused("one row, with all that travels with it,", 1);
        }
        let slabs = (bytes / slab.max(1)).min(most_rows / inner.max(1)).max(1);
        let cut = |first| Window {
            slabs: first..(first + slabs).min(outer),
            columns: 0..inner,
            jacobian_rows: all.clone(),
        };
        return Ok((0..outer).step_by(slabs as usize).map(cut).collect());
    }
    let columns = (bytes / column.max(1)).min(most_rows).clamp(2, inner);
    if columns > most_rows {
        return refused("two columns", 2);
    }
    let starts = (0..inner).step_by(columns as usize).map(move |first| first.min(inner - columns));
    Ok((0..outer)
        .flat_map(|slab| {
            let jacobian_rows = rows.jacobian_rows();
            starts.clone().map(move |first| Window {
                slabs: slab..slab + 1,
                columns: first..first + columns,
                jacobian_rows: jacobian_rows.clone(),
            })
        })
        .collect())
}

/// A window that the device has, until its results can be read.
struct UnderWay {
    window: Window,
    part: Operation,
    mapping: Mapping,
}

/// Staging memory, and the window that travels in it.
#[derive(Default)]
struct Lane {
    workspace: Workspace,
    under_way: Option<UnderWay>,
}

impl Gpu {
    /// Computes a request, window by window.
    pub(crate) async fn transfer<O: FnMut(Progress) + ?Sized>(
        &self,
        arranged: &Arranged<'_>,
        result: ElementsMut<'_>,
        waiting: Waiting,
        observe: &mut O,
    ) -> Result<()> {
        let inputs = Inputs::of_request(arranged, result.dtype());
        self.flow(&inputs, Some(result), None, waiting, observe).await
    }

    /// Computes a loss, window by window, and what the rows' losses sum to where they are reduced.
    pub(crate) async fn transfer_loss(
        &self,
        loss: &ArrangedLoss<'_>,
        places: LossPlaces<'_>,
        waiting: Waiting,
    ) -> Result<LossSums> {
        let LossPlaces { gradient, of_rows } = places;
        let dtype = gradient.as_ref().map(ElementsMut::dtype);
        let inputs = Inputs::of_loss(loss, dtype);
        let mut rows = RowsTaken::new(loss, of_rows);
        // Both come from one pass, unless that asks for more buffers than a shader may have.
        if gradient.is_some() && !self.has_buffers_for(inputs.job_of_one_slab()?) {
            let [of_values, of_gradient] = inputs.in_two_passes();
            self.flow(&of_values, None, Some(&mut rows), waiting, &mut unobserved()).await?;
            self.flow(&of_gradient, gradient, None, waiting, &mut unobserved()).await?;
        } else {
            self.flow(&inputs, gradient, Some(&mut rows), waiting, &mut unobserved()).await?;
        }
        Ok(rows.sums())
    }

    /// Sends the inputs through the device, window by window, and brings the results home. Where the device has no
    /// memory for it, all that is kept for later goes, and everything starts again in smaller windows.
    async fn flow<O: FnMut(Progress) + ?Sized>(
        &self,
        inputs: &Inputs<'_>,
        mut result: Option<ElementsMut<'_>>,
        mut rows_taken: Option<&mut RowsTaken<'_>>,
        waiting: Waiting,
        observe: &mut O,
    ) -> Result<()> {
        let mut budget = self.stream_bytes();
        loop {
            let (result, rows) = (result.as_mut().map(ElementsMut::lent), rows_taken.as_deref_mut());
            match self.flow_within(budget, inputs, result, rows, waiting, observe).await {
                Err(Error::OutOfMemory { .. }) if budget > LEAST_STREAM_BYTES => {
                    self.release_memory();
                    budget = (budget / 4).max(LEAST_STREAM_BYTES);
                }
                outcome => return outcome,
            }
        }
    }

    async fn flow_within<O: FnMut(Progress) + ?Sized>(
        &self,
        budget: u64,
        inputs: &Inputs<'_>,
        mut result: Option<ElementsMut<'_>>,
        mut rows_taken: Option<&mut RowsTaken<'_>>,
        waiting: Waiting,
        observe: &mut O,
    ) -> Result<()> {
        self.check()?;
        let Job { op, rows, result: written, .. } = inputs.job;
        let mut progress = Progress { total: rows.elements(), ..Progress::default() };
        crate::rows::checked_product(&[rows.outer(), written.classes(), rows.inner()])?;
        if let Some(rows) = rows_taken.as_deref_mut() {
            rows.begin();
        }
        if rows.count() == 0 || written.elements() == 0 && rows_taken.is_none() {
            observe(progress);
            return Ok(());
        }
        if rows.classes() == 0 {
            match result {
                None => {}
                Some(ElementsMut::F16(result)) => fill_without_classes(op, result),
                Some(ElementsMut::Bf16(result)) => fill_without_classes(op, result),
                Some(ElementsMut::F32(result)) => fill_without_classes(op, result),
                Some(ElementsMut::F64(result)) => fill_without_classes(op, result),
            }
            if let Some(rows) = rows_taken {
                rows.without_classes();
            }
            observe(progress);
            return Ok(());
        }

        let windows = windows(
            &inputs.job,
            Load::of(inputs)?,
            self.capabilities().buffer_bytes,
            budget / (COPIES * UNDER_WAY as u64),
        )?;
        let mut results = 0;
        let mut land =
            |workspace: &mut Workspace, window: &Window, part: &Operation, progress: &mut Progress| {
                let clock = Clock::start();
                workspace.drain(self, part, |bytes, row_values| {
                    if let Some(rows) = rows_taken.as_deref_mut() {
                        rows.take(window, written.inner(), bytemuck::cast_slice(row_values));
                    }
                    let place =
                        Place { op, arrangement: inputs.arrangement, window, rows: &rows, written: &written };
                    match &mut result {
                        None => {}
                        Some(ElementsMut::F16(result)) => place.take(bytes, result),
                        Some(ElementsMut::Bf16(result)) => place.take(bytes, result),
                        Some(ElementsMut::F32(result)) => place.take(bytes, result),
                        Some(ElementsMut::F64(result)) => place.take(bytes, result),
                    }
                })?;
                progress.read_back += clock.elapsed();
                results += part.job.result.elements();
                let share =
                    u128::from(progress.total) * u128::from(results) / u128::from(written.elements().max(1));
                progress.done = (share as u64).min(progress.total);
                observe(*progress);
                Ok::<_, Error>(())
            };

        // Where one window is too large already, it travels alone.
        let largest = match windows.first() {
            Some(window) => inputs.part(window, window.rows(rows.classes())?).travelling_bytes(),
            None => 0,
        };
        let most = if largest.saturating_mul(UNDER_WAY as u64) > budget { 1 } else { UNDER_WAY };
        let mut lanes: Vec<Lane> = Vec::with_capacity(most);
        let outcome = async {
            // Each lane comes round again after the others: the last turns only bring home what is under way.
            for turn in 0..windows.len() + most {
                let place = turn % most;
                if place == lanes.len() && turn < windows.len() {
                    lanes.push(Lane { workspace: self.borrow_workspace(), under_way: None });
                    if most == 1 {
                        // It may take all of the budget, of which others hold a part.
                        self.release_workspaces();
                    }
                }
                let Some(lane) = lanes.get_mut(place) else { continue };
                let workspace = &mut lane.workspace;
                if let Some(UnderWay { window, part, mapping }) = lane.under_way.take() {
                    let clock = Clock::start();
                    self.mapped(mapping).await?;
                    progress.compute += clock.elapsed();
                    land(workspace, &window, &part, &mut progress)?;
                }
                let Some(window) = windows.get(turn) else { continue };
                let part = inputs.part(window, window.rows(rows.classes())?);
                workspace.prepare(self, &part, budget / most as u64)?;
                let clock = Clock::start();
                workspace.fill(self, &part, |input, write| inputs.gather(input, window, write))?;
                progress.upload += clock.elapsed();
                let clock = Clock::start();
                let mapping = workspace.submit(self, &part, waiting)?;
                progress.compute += clock.elapsed();
                lane.under_way = Some(UnderWay { window: window.clone(), part, mapping });
            }
            Ok(())
        }
        .await;
        if let Err(error) = outcome {
            // What the device still has cannot be freed before it is done with it.
            for UnderWay { mapping, .. } in lanes.iter_mut().filter_map(|lane| lane.under_way.take()) {
                self.mapped(mapping).await?;
            }
            return Err(error);
        }
        // The one that was borrowed first is the first to be borrowed again.
        while let Some(lane) = lanes.pop() {
            self.return_workspace(lane.workspace);
        }
        Ok(())
    }

    /// Copies `bytes` of a buffer, from `offset` on, to the host.
    pub(crate) async fn read_buffer(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        result: &mut [u8],
        waiting: Waiting,
    ) -> Result<()> {
        let mut workspace = self.borrow_workspace();
        let window = (self.stream_bytes() / 4).min(self.capabilities().buffer_bytes).max(64) / 8 * 8;
        // Copies are made of whole words: a half before the range, or after it, comes along.
        let before = (offset % 4) as usize;
        let mut start = offset - offset % 4;
        let mut skipped = before;
        let mut rest = result;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at_mut(rest.len().min(window as usize - skipped));
            let bytes = in_words((skipped + piece.len()) as u64);
            let submission = self.guarded(|| {
                let download = usable(&mut workspace.download, self, "download", DOWNLOAD, bytes, false);
                let mut encoder = self.device().create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(buffer, start, download, 0, bytes);
                Ok(self.queue().submit([encoder.finish()]))
            })?;
            let download = workspace.download.iter().map(|buffer| (buffer.clone(), wgpu::MapMode::Read));
            let mapping = self.map(submission, download, waiting);
            self.mapped(mapping).await?;
            let length = piece.len();
            read(self, &workspace.download, bytes, |values| {
                piece.copy_from_slice(&values[skipped..skipped + length])
            })?;
            (start, skipped, rest) = (start + bytes, 0, later);
        }
        self.return_workspace(workspace);
        Ok(())
    }

    /// Runs a check of the device: words in, as many bytes out as `answers` has.
    pub(crate) async fn run_check(
        &self,
        check: &Check,
        words: &[u32],
        answers: &mut [u8],
        waiting: Waiting,
    ) -> Result<()> {
        let result = self.guarded(|| {
            let device = self.device();
            let nothing = Rows::batch(0, 0)?;
            let job = Job::plain(Op::Softmax, Dtype::F32, &nothing, &nothing, &Options::default());
            let shader = self.shader(&job, &check.stage, false);
            let label = check.stage.entry.name;
            let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let logits = filled_buffer(device, label, bytemuck::cast_slice(words), storage);
            let result = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: answers.len() as u64,
                usage: storage,
                mapped_at_creation: false,
            });
            let mut buffers = vec![
                (binding::LOGITS, logits.as_entire_buffer_binding()),
                (binding::RESULT, result.as_entire_buffer_binding()),
            ];
            let uniforms = check
                .parameters
                .map(|parameters| uniform_buffer(device, &[parameters], size_of::<Parameters>() as u64));
            if let (Some(uniforms), Some(parameters)) = (&uniforms, &check.parameters) {
                crate::reach::check(&shader, parameters, |_| answers.len() as u64)?;
                buffers.push((binding::PARAMETERS, uniforms.as_entire_buffer_binding()));
            }
            let pipeline = self.pipeline_of(&shader)?;
            let bindings = bind_group(device, label, &pipeline, buffers);
            let mut encoder = device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(check.groups, 1, 1);
            drop(pass);
            self.queue().submit([encoder.finish()]);
            Ok(result)
        })?;
        self.read_buffer(&result, 0, answers, waiting).await
    }
}

/// What a context asks of its device before it is trusted. Without parameters, a lane takes a word and leaves a vector
/// of four.
pub(crate) struct Check {
    pub(crate) stage: Stage,
    pub(crate) groups: u32,
    pub(crate) parameters: Option<Parameters>,
}

/// Nobody who wants to know how far it has come. Of one type, so that what is generic over observers is compiled once, with
/// this crate; and its futures are `Send`, which those with an observer of a caller's need not be.
pub(crate) fn unobserved() -> fn(Progress) {
    |_| {}
}

/// Log-sum-exp is −∞ of no classes, and its sum 0.
fn fill_without_classes<R: Element>(op: Op, result: &mut [R]) {
    let value = |place| if op == Op::SignedLogSumExp && place % 2 == 1 { 0.0 } else { f64::NEG_INFINITY };
    for (place, result) in result.iter_mut().enumerate() {
        *result = R::rounded(<R::Computed as crate::cpu::Real>::narrow(value(place)));
    }
}

/// Where the values of a window belong in the whole result.
struct Place<'a> {
    op: Op,
    arrangement: &'a Arrangement,
    window: &'a Window,
    rows: &'a Rows,
    written: &'a Rows,
}

impl Place<'_> {
    /// Puts them there; behind them, `bytes` may have some to fill a word.
    fn take<R: Element>(&self, bytes: &[u8], result: &mut [R]) {
        let values = bytemuck::cast_slice(&bytes[..bytes.len() - bytes.len() % size_of::<R>()]);
        if self.op.output() == Output::PerPair {
            let run = self.window.run_of_jacobians(self.rows);
            let result = &mut result[run.start as usize..run.end as usize];
            return result.copy_from_slice(&values[..result.len()]);
        }
        let mut rest: &[R] = values;
        for run in self.window.runs(self.written) {
            let (piece, later) = rest.split_at((run.end - run.start) as usize);
            match self.op.output() {
                Output::PerElement => self.arrangement.scatter(piece, run.start, result),
                _ => result[run.start as usize..run.end as usize].copy_from_slice(piece),
            }
            rest = later;
        }
    }
}

const UPLOAD: wgpu::BufferUsages = wgpu::BufferUsages::MAP_WRITE.union(wgpu::BufferUsages::COPY_SRC);
const INPUT: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST);
const RESULT: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC);
/// What shaders read and the host writes.
const WRITTEN_BY_HOST: wgpu::BufferUsages = INPUT.union(wgpu::BufferUsages::MAP_WRITE);
/// What shaders write and the host reads.
const READ_BY_HOST: wgpu::BufferUsages = RESULT.union(wgpu::BufferUsages::MAP_READ);
const DOWNLOAD: wgpu::BufferUsages = wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST);

/// The buffer in `slot`, made anew where there is none of at least `bytes`.
fn usable<'a>(
    slot: &'a mut Option<wgpu::Buffer>,
    gpu: &Gpu,
    label: &str,
    usage: wgpu::BufferUsages,
    bytes: u64,
    mapped: bool,
) -> &'a wgpu::Buffer {
    if slot.as_ref().is_some_and(|buffer| buffer.size() < bytes) {
        *slot = None;
    }
    slot.get_or_insert_with(|| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4),
            usage,
            mapped_at_creation: mapped,
        })
    })
}

impl Workspace {
    /// Bytes of all its buffers.
    fn bytes(&self) -> u64 {
        let others = [&self.upload, &self.result, &self.row_values, &self.download];
        self.inputs.iter().chain(others).flatten().map(wgpu::Buffer::size).sum()
    }

    /// Whether every buffer that a window needs is there.
    fn has_room_for(&self, part: &Operation, gpu: &Gpu) -> bool {
        let staged = |bytes| if gpu.capabilities().maps_buffers { 0 } else { bytes };
        let fits = |buffer: &Option<wgpu::Buffer>, bytes| {
            bytes == 0 || buffer.as_ref().is_some_and(|buffer| buffer.size() >= bytes)
        };
        let others = [
            (&self.result, part.result_bytes()),
            (&self.row_values, part.row_values_bytes),
            (&self.upload, staged(part.upload_bytes())),
            (&self.download, staged(part.download_bytes())),
        ];
        self.inputs.iter().zip(part.input_bytes).chain(others).all(|(buffer, bytes)| fits(buffer, bytes))
    }

    /// Makes what a window needs and is not there yet. Where that might come to more than `bytes` together with
    /// what other windows have needed, theirs has to go.
    fn prepare(&mut self, gpu: &Gpu, part: &Operation, bytes: u64) -> Result<()> {
        if !self.has_room_for(part, gpu) {
            // What was prepared holds on to buffers that are about to be replaced.
            self.operations.clear();
            if self.bytes().saturating_add(part.travelling_bytes()) > bytes {
                *self = Workspace::default();
            }
        } else if self.bytes() > bytes.max(part.travelling_bytes()) {
            *self = Workspace::default();
        } else if self.prepared(part).is_some() {
            return Ok(());
        }
        // Where this fails, the caller drops the workspace: nothing invalid is left to the next call.
        let prepared = gpu.guarded(|| {
            let mapped = gpu.capabilities().maps_buffers;
            if !mapped {
                usable(&mut self.upload, gpu, "upload", UPLOAD, part.upload_bytes(), true);
                usable(&mut self.download, gpu, "download", DOWNLOAD, part.download_bytes(), false);
            }
            let (input, output) = if mapped { (WRITTEN_BY_HOST, READ_BY_HOST) } else { (INPUT, RESULT) };
            for (slot, bytes) in self.inputs.iter_mut().zip(part.input_bytes) {
                if bytes > 0 {
                    usable(slot, gpu, "input", input, bytes, mapped);
                }
            }
            let result_bytes = part.result_bytes();
            if result_bytes > 0 {
                usable(&mut self.result, gpu, "result", output, result_bytes, false);
            }
            if part.row_values_bytes > 0 {
                usable(&mut self.row_values, gpu, "values of rows", output, part.row_values_bytes, false);
            }
            let input = |input: Input| {
                let bytes = part.input_bytes[input as usize];
                let buffer = self.inputs[input as usize].as_ref().filter(|_| bytes > 0);
                buffer.map(|buffer| buffer.slice(..bytes))
            };
            let whole = |place: Input| input(place).map(Whole::of);
            let of = |buffer: &'_ Option<wgpu::Buffer>, bytes: u64| buffer.clone().filter(|_| bytes > 0);
            let (result, row_values) =
                (of(&self.result, result_bytes), of(&self.row_values, part.row_values_bytes));
            let ranges = Ranges {
                logits: input(Input::Logits).ok_or_else(missing)?,
                result: result.as_ref().map(|buffer| buffer.slice(..result_bytes)),
                operand: input(Input::Operand),
                labels: whole(Input::Labels),
                mask: whole(Input::Mask),
                class_weights: whole(Input::ClassWeights),
                per_row: whole(Input::PerRow),
                additive_mask: whole(Input::AdditiveMask),
                row_values: row_values
                    .as_ref()
                    .map(|buffer| Whole::of(buffer.slice(..part.row_values_bytes))),
                tally: None,
            };
            gpu.prepare_job(part.job, ranges)
        })?;
        self.operations.truncate(KEPT_OPERATIONS - 1);
        self.operations.insert(0, (*part, prepared));
        Ok(())
    }

    fn prepared(&self, part: &Operation) -> Option<&Prepared> {
        self.operations.iter().find(|(operation, _)| operation == part).map(|(_, prepared)| prepared)
    }

    /// Lets `give` write each input, piece after piece, into the upload buffer or straight to where shaders read it.
    fn fill(
        &mut self,
        gpu: &Gpu,
        part: &Operation,
        mut give: impl FnMut(Input, &mut dyn FnMut(&[u8])),
    ) -> Result<()> {
        let sent = || Input::ALL.into_iter().filter(|input| part.input_bytes[*input as usize] > 0);
        let mut write = |buffer: &wgpu::Buffer, input: Input, start: u64| {
            let range = start..start + part.input_bytes[input as usize];
            let mut view =
                buffer.slice(range).get_mapped_range_mut().map_err(|error| unmapped(gpu, &error))?;
            let mut filled = 0;
            give(input, &mut |piece| {
                view.slice(filled..filled + piece.len()).copy_from_slice(piece);
                filled += piece.len();
            });
            Ok(())
        };
        if gpu.capabilities().maps_buffers {
            for input in sent() {
                let buffer = self.inputs[input as usize].as_ref().ok_or_else(missing)?;
                write(buffer, input, 0)?;
            }
            return Ok(());
        }
        let (upload, starts) = (self.upload.as_ref().ok_or_else(missing)?, part.sections());
        for input in sent() {
            write(upload, input, starts[input as usize])?;
        }
        Ok(())
    }

    /// Hands what was written to the device, and submits the window. Once what this returns is mapped, its result can
    /// be read and the next upload written.
    fn submit(&mut self, gpu: &Gpu, part: &Operation, waiting: Waiting) -> Result<Mapping> {
        let submission = gpu.guarded(|| {
            let prepared = self.prepared(part).ok_or_else(missing)?;
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            if gpu.capabilities().maps_buffers {
                let inputs = self.inputs.iter().zip(part.input_bytes).filter(|(_, bytes)| *bytes > 0);
                inputs.filter_map(|(buffer, _)| buffer.as_ref()).for_each(wgpu::Buffer::unmap);
                encoder = prepared.record_in_time(gpu, encoder);
                return Ok(gpu.queue().submit([encoder.finish()]));
            }
            let (Some(upload), Some(download)) = (&self.upload, &self.download) else {
                return Err(missing());
            };
            upload.unmap();
            let sections = self.inputs.iter().zip(part.input_bytes).zip(part.sections());
            for ((input, bytes), start) in sections.filter(|((_, bytes), _)| *bytes > 0) {
                encoder.copy_buffer_to_buffer(upload, start, input.as_ref().ok_or_else(missing)?, 0, bytes);
            }
            encoder = prepared.record_in_time(gpu, encoder);
            for (output, bytes, start) in self.outputs(part).into_iter().filter(|(_, bytes, _)| *bytes > 0) {
                encoder.copy_buffer_to_buffer(
                    output.as_ref().ok_or_else(missing)?,
                    0,
                    download,
                    start,
                    bytes,
                );
            }
            Ok(gpu.queue().submit([encoder.finish()]))
        })?;
        let mut buffers = Vec::with_capacity(2);
        if gpu.capabilities().maps_buffers {
            let inputs = self.inputs.iter().zip(part.input_bytes).filter(|(_, bytes)| *bytes > 0);
            let outputs = self.outputs(part).into_iter().filter(|(_, bytes, _)| *bytes > 0);
            buffers.extend(inputs.map(|(buffer, _)| (buffer, wgpu::MapMode::Write)));
            buffers.extend(outputs.map(|(buffer, _, _)| (buffer, wgpu::MapMode::Read)));
        } else {
            buffers.extend([(&self.upload, wgpu::MapMode::Write), (&self.download, wgpu::MapMode::Read)]);
        }
        let buffers = buffers.into_iter().filter_map(|(buffer, mode)| Some((buffer.clone()?, mode)));
        Ok(gpu.map(submission, buffers, waiting))
    }

    /// What a window leaves: the buffer, its bytes, and where they start in the staging buffer.
    fn outputs(&self, part: &Operation) -> [(&Option<wgpu::Buffer>, u64, u64); 2] {
        let result_bytes = part.result_bytes();
        [
            (&self.result, result_bytes, 0),
            (&self.row_values, part.row_values_bytes, result_bytes.next_multiple_of(8)),
        ]
    }

    /// Lets `take` read the results of a window, and the values of its rows.
    fn drain(&mut self, gpu: &Gpu, part: &Operation, take: impl FnOnce(&[u8], &[u8])) -> Result<()> {
        if !gpu.capabilities().maps_buffers {
            let first = part.result_bytes().next_multiple_of(8) as usize;
            return read(gpu, &self.download, part.download_bytes(), |bytes| {
                take(&bytes[..part.result_bytes() as usize], &bytes[first..]);
            });
        }
        let mut views = Vec::with_capacity(2);
        for (buffer, bytes, _) in self.outputs(part) {
            views.push(match buffer.as_ref().filter(|_| bytes > 0) {
                Some(buffer) => {
                    Some(buffer.slice(..bytes).get_mapped_range().map_err(|error| unmapped(gpu, &error))?)
                }
                None => None,
            });
        }
        let bytes = |view: usize| views[view].as_deref().unwrap_or(&[]);
        take(bytes(0), bytes(1));
        drop(views);
        for (buffer, bytes, _) in self.outputs(part) {
            if let Some(buffer) = buffer.as_ref().filter(|_| bytes > 0) {
                buffer.unmap();
            }
        }
        Ok(())
    }
}

/// Lets `take` read the first `bytes` of a mapped buffer, and gives it back to the device.
fn read(gpu: &Gpu, buffer: &Option<wgpu::Buffer>, bytes: u64, take: impl FnOnce(&[u8])) -> Result<()> {
    let buffer = buffer.as_ref().ok_or_else(missing)?;
    take(&buffer.slice(..bytes).get_mapped_range().map_err(|error| unmapped(gpu, &error))?);
    buffer.unmap();
    Ok(())
}

fn missing() -> Error {
    Error::Device { detail: "a staging buffer is missing".into() }
}

/// A device that is lost while the host reads or writes takes its buffers with it: then that is what there is to say.
fn unmapped(gpu: &Gpu, error: &wgpu::MapRangeError) -> Error {
    gpu.held().notice_loss();
    let detail = format!("a staging buffer is not mapped: {}", crate::gpu::one_line(error));
    gpu.check().err().unwrap_or(Error::Device { detail })
}

/// A stopwatch, which stands still where there is no clock.
pub(crate) struct Clock {
    #[cfg(not(target_arch = "wasm32"))]
    start: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock {
            #[cfg(not(target_arch = "wasm32"))]
            start: std::time::Instant::now(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        #[cfg(not(target_arch = "wasm32"))]
        return self.start.elapsed();
        #[cfg(target_arch = "wasm32")]
        return Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_row_and_fit_the_buffers() {
        for (outer, classes, inner) in
            [(10, 3, 1), (5_000_000, 40, 1), (3, 1000, 70_000), (2, 40_000_000, 3), (1, 7, 5)]
        {
            let rows = Rows::new(outer, classes, inner).unwrap();
            let limit = 1 << 29;
            let mut covered = 0;
            let job = Job::plain(Op::Softmax, Dtype::F32, &rows, &rows, &Options::default());
            let load = Load { up: 4 * classes, down: 4 * classes, fixed: 0 };
            for window in windows(&job, load, limit, 1 << 26).unwrap() {
                let part = window.rows(classes).unwrap();
                assert!(part.elements() * 4 <= limit);
                assert!(inner == 1 || part.inner() > 1);
                let elements: u64 = window.runs(&rows).map(|run| run.end - run.start).sum();
                assert_eq!(elements, part.elements());
                covered += elements;
            }
            assert!(covered >= rows.elements());
        }
    }

    #[test]
    fn a_row_larger_than_a_buffer_is_refused() {
        let rows = Rows::batch(2, 1 << 27).unwrap();
        let job = Job::plain(Op::Softmax, Dtype::F32, &rows, &rows, &Options::default());
        let load = Load { up: 1 << 29, down: 1 << 29, fixed: 0 };
        assert!(matches!(windows(&job, load, 1 << 28, 1 << 26), Err(Error::LimitExceeded { .. })));
    }
}
