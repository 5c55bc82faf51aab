//! The first level: an operation prepared for its buffers, recorded into the caller's encoder.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::assemble::{Dtypes, Pairs, Shader};
use crate::kernels::{Entry, QUAD, tally, total};
use crate::pipelines::{Pipeline, binding, storage_bindings};
use crate::plan::{Dispatch, Flat, Job, Parameters, Stage};
use crate::transfer::in_words;
use crate::{Capabilities, Dtype, Error, Gpu, Op, Options, Output, Plan, Result, Rows, reach};

/// An operation that is ready to be recorded, any number of times.
///
/// Preparing allocates (parameters, bind groups, a little scratch for long rows); recording does not, nor
/// does it submit or wait. What has been recorded runs in the order of the caller's encoder: later passes
/// see the result.
///
/// ```no_run
/// use wgpu_softmax::{Gpu, Op, Options, Rows};
/// # use wgpu_softmax::wgpu;
/// # fn example(
/// #     device: wgpu::Device, queue: wgpu::Queue, logits: wgpu::Buffer, probabilities: wgpu::Buffer,
/// # ) -> wgpu_softmax::Result<()> {
/// let gpu = Gpu::from_device_blocking(device.clone(), queue.clone())?;
/// let rows = Rows::batch(4096, 1000)?;
/// let softmax =
///     gpu.prepare(Op::Softmax, &rows, logits.slice(..), probabilities.slice(..), &Options::default())?;
///
/// let mut encoder = device.create_command_encoder(&Default::default());
/// softmax.record(&mut encoder);
/// queue.submit([encoder.finish()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: [u32; 2],
    /// What it takes, as [`Capabilities::dispatch_elements`] counts.
    elements: u64,
}

/// The buffer ranges of a job.
#[derive(Clone, Copy)]
pub(crate) struct Ranges<'a> {
    pub(crate) logits: wgpu::BufferSlice<'a>,
    /// `None` where the result overwrites the logits, or there is none.
    pub(crate) result: Option<wgpu::BufferSlice<'a>>,
    /// The operand, or target probabilities.
    pub(crate) operand: Option<wgpu::BufferSlice<'a>>,
    pub(crate) labels: Option<Whole<'a>>,
    pub(crate) mask: Option<Whole<'a>>,
    pub(crate) class_weights: Option<Whole<'a>>,
    pub(crate) per_row: Option<Whole<'a>>,
    pub(crate) additive_mask: Option<Whole<'a>>,
    pub(crate) row_values: Option<Whole<'a>>,
    pub(crate) tally: Option<Whole<'a>>,
}

/// A range that every dispatch sees from its start on, not in windows, and how many of its bytes may be
/// touched.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub(crate) range: wgpu::BufferSlice<'a>,
    pub(crate) bytes: u64,
}

impl<'a> Whole<'a> {
    /// All of a range.
    pub(crate) fn of(range: wgpu::BufferSlice<'a>) -> Self {
        Whole { range, bytes: range.size() }
    }
}

impl<'a> Ranges<'a> {
    pub(crate) fn of(logits: wgpu::BufferSlice<'a>, result: Option<wgpu::BufferSlice<'a>>) -> Self {
        Ranges {
            logits,
            result,
            operand: None,
            labels: None,
            mask: None,
            class_weights: None,
            per_row: None,
            additive_mask: None,
            row_values: None,
            tally: None,
        }
    }

    /// Whether an operation has the buffers that it reads and writes, and no others: a shader would take
    /// what stands in for a missing one at its word.
    fn check_parts(&self, job: &Job) -> Result<()> {
        let op = job.op;
        let missing = |needed| Err(Error::OperandMissing { op, needed });
        let unused = |given| Err(Error::OperandUnused { op, given });
        if !op.is_loss() {
            let of_losses = [
                (self.labels, "labels"),
                (self.class_weights, "class weights"),
                (self.row_values, "a place for the losses of rows"),
                (self.tally, "a place for a tally"),
            ];
            if let Some((_, given)) = of_losses.into_iter().find(|(part, _)| part.is_some()) {
                return unused(given);
            }
            return match (op.operand(), self.operand) {
                (Some(needed), None) => missing(needed.name()),
                (None, Some(_)) => unused("a second operand"),
                _ => Ok(()),
            };
        }
        match (self.labels, self.operand) {
            (None, None) => missing("labels or target probabilities"),
            (Some(_), Some(_)) => unused("labels beside target probabilities"),
            _ if job.row_values && self.row_values.is_none() => missing("a place for the losses of rows"),
            _ if job.is_tallied() && self.tally.is_none() => missing("a place for a tally"),
            _ if !job.writes_result() && self.result.is_some() => {
                unused("a result beside the losses of rows")
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing is written to a buffer that has another part as well: a device refuses to read and
    /// write one in the same dispatch, whichever ranges of it they are.
    fn check_apart(&self, in_place: bool) -> Result<()> {
        let buffer = |range: Option<wgpu::BufferSlice<'a>>| range.map(|range| range.buffer());
        let whole = |part: Option<Whole<'a>>| part.map(|part| part.range.buffer());
        let (logits, result) = (Some(self.logits.buffer()), buffer(self.result));
        let (read, overwritten) = if in_place { (None, logits) } else { (logits, None) };
        let [row_values, tally] = [self.row_values, self.tally].map(whole);
        let written = [overwritten.or(result), row_values, tally];
        let rest = [self.labels, self.mask, self.class_weights, self.per_row, self.additive_mask].map(whole);
        let read = [read, buffer(self.operand)].into_iter().chain(rest);
        let others: Vec<&wgpu::Buffer> = written.into_iter().chain(read).flatten().collect();
        let count = written.iter().flatten().count();
        match (0..count).any(|index| others[index + 1..].contains(&others[index])) {
            true => Err(Error::SameBuffer),
            false => Ok(()),
        }
    }

    /// Whether the ranges that are bound whole can be.
    fn check_whole(&self, capabilities: &Capabilities) -> Result<()> {
        let parts = [
            (self.labels, "labels'", "the labels"),
            (self.mask, "mask's", "the mask"),
            (self.class_weights, "class weights'", "the class weights"),
            (self.per_row, "temperatures' and lengths'", "the temperatures and lengths"),
            (self.additive_mask, "additive mask's", "the additive mask"),
            (self.row_values, "values of rows'", "the values of rows"),
            (self.tally, "tally's", "the tally"),
        ];
        // Shaders count in 32 bits.
        let limit = capabilities.binding_bytes.min(u64::from(u32::MAX));
        for (part, whose, what) in parts {
            let Some(Whole { range, bytes }) = part else { continue };
            check_bytes(whose, range, bytes, capabilities.binding_alignment)?;
            if in_words(bytes) > limit {
                let remedy =
                    "give fewer rows at a time, or use the one-call functions, which go window by window";
                return Err(Error::LimitExceeded { what, needed: bytes, limit, remedy });
            }
        }
        Ok(())
    }

    /// Whether four elements from the start on may be loaded or stored as a whole, in each range that has an
    /// element for every logit.
    fn start_with_quads(&self, dtypes: &Dtypes) -> bool {
        starts_with_quad(Some(self.logits), dtypes.logits)
            && self.result_starts_with_quad(dtypes)
            && dtypes.operand.is_none_or(|dtype| starts_with_quad(self.operand, dtype))
    }

    /// Whether four elements from the start on may be stored as a whole.
    fn result_starts_with_quad(&self, dtypes: &Dtypes) -> bool {
        starts_with_quad(self.result, dtypes.result)
    }
}

fn starts_with_quad(range: Option<wgpu::BufferSlice<'_>>, dtype: Dtype) -> bool {
    range.is_none_or(|range| range.offset() % (QUAD * dtype.bytes()) == 0)
}

impl Prepared {
    /// How it will run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records the operation as one compute pass.
    ///
    /// What is submitted is the caller's to decide. Where a watchdog ends what keeps a display waiting, work of more than
    /// [`Capabilities::dispatch_elements`] elements is better prepared for some of the rows at a time.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record_steps(&self.steps, encoder);
    }

    /// Records the operation into a pass of the caller's. The pass's pipeline and its bind group 0 are
    /// other ones afterwards.
    pub fn record_in_pass(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.steps.iter().for_each(|step| step.record(pass));
    }

    fn record_steps(&self, steps: &[Step], encoder: &mut wgpu::CommandEncoder) {
        let descriptor =
            wgpu::ComputePassDescriptor { label: Some(self.plan.job.op.name()), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        steps.iter().for_each(|step| step.record(&mut pass));
    }

    /// Records the operation behind what `encoder` holds. Where it is more than a device of this class gets through
    /// in time for watchdogs, which look at what is submitted rather than at dispatches, all but the last part is
    /// submitted at once; the last is left to the caller, in the encoder that comes back.
    pub(crate) fn record_in_time(
        &self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
    ) -> wgpu::CommandEncoder {
        let in_time = gpu.capabilities().dispatch_elements;
        let mut rest = &self.steps[..];
        loop {
            let (part, later) = rest.split_at(steps_in_time(rest, in_time));
            self.record_steps(part, &mut encoder);
            if later.is_empty() {
                return encoder;
            }
            gpu.queue().submit([encoder.finish()]);
            encoder = gpu.device().create_command_encoder(&Default::default());
            rest = later;
        }
    }
}

impl Step {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], 1);
    }
}

/// How many of the first steps take no more than `in_time` elements together; one, if there is any, in any case.
fn steps_in_time(steps: &[Step], in_time: u64) -> usize {
    let mut taken = 0u64;
    let fits = |step: &&Step| {
        taken = taken.saturating_add(step.elements);
        taken <= in_time
    };
    steps.iter().take_while(fits).count().max(1).min(steps.len())
}

impl Gpu {
    /// Prepares `op` over the f32 logits in a buffer range that `rows` describes, with a compact result at
    /// the start of another buffer's range.
    ///
    /// Both buffers need [`BufferUsages::STORAGE`](wgpu::BufferUsages::STORAGE).
    ///
    /// # Errors
    /// [`Error::OperandMissing`] for an operation that needs more than logits, which
    /// [`Gpu::preparation`] takes; [`Error::SameBuffer`], [`Error::BufferTooSmall`],
    /// [`Error::BufferUsage`], [`Error::BufferMisaligned`], and what [`Plan::new`] reports.
    pub fn prepare(
        &self,
        op: Op,
        rows: &Rows,
        logits: wgpu::BufferSlice<'_>,
        result: wgpu::BufferSlice<'_>,
        options: &Options,
    ) -> Result<Prepared> {
        self.prepare_into_rows(op, rows, logits, &rows.result(op), result, options)
    }

    /// [`Gpu::prepare`], with the result laid out as `result_rows` says: padded, or starting further in.
    /// What lies between the rows is not touched.
    ///
    /// # Errors
    /// As [`Gpu::prepare`], and [`Error::ResultRowsMismatch`].
    pub fn prepare_into_rows(
        &self,
        op: Op,
        rows: &Rows,
        logits: wgpu::BufferSlice<'_>,
        result_rows: &Rows,
        result: wgpu::BufferSlice<'_>,
        options: &Options,
    ) -> Result<Prepared> {
        let job = Job::plain(op, Dtype::F32, rows, result_rows, options);
        self.prepare_job(job, Ranges::of(logits, Some(result)))
    }

    /// Prepares `op` so that its result overwrites the logits.
    ///
    /// # Errors
    /// [`Error::NotInPlace`] for an operation without a value per logit, otherwise as [`Gpu::prepare`].
    pub fn prepare_in_place(
        &self,
        op: Op,
        rows: &Rows,
        logits: wgpu::BufferSlice<'_>,
        options: &Options,
    ) -> Result<Prepared> {
        self.prepare_job(Job::plain(op, Dtype::F32, rows, rows, options), Ranges::of(logits, None))
    }

    /// Prepares a job for its buffers; in place where it has a result and that has no buffer.
    pub(crate) fn prepare_job(&self, job: Job, ranges: Ranges<'_>) -> Result<Prepared> {
        let op = job.op;
        let in_place = ranges.result.is_none() && job.writes_result();
        if in_place && op.output() != Output::PerElement {
            return Err(Error::NotInPlace { op });
        }
        ranges.check_parts(&job)?;
        ranges.check_apart(in_place)?;
        let plan = Plan::of(job, self.capabilities())?;
        self.check_storage_buffers(&plan, in_place)?;
        check_range("logits", ranges.logits, &job.rows, job.dtypes.logits)?;
        if let Some(result) = ranges.result {
            check_range("result", result, &job.result, job.dtypes.result)?;
        }
        if let (Some(dtype), Some(operand)) = (job.dtypes.operand, ranges.operand) {
            check_range("second operand's", operand, &job.operand, dtype)?;
        }
        ranges.check_whole(self.capabilities())?;
        self.guarded(|| {
            let mut steps = if plan.dispatches.is_empty() { Vec::new() } else { self.steps(&plan, ranges)? };
            if let Some(tally) = ranges.tally {
                if ranges.labels.is_some() {
                    steps.insert(0, self.step_over_rows(&plan.job, &tally::ENTRY, ranges, tally)?);
                }
                steps.push(self.step_over_rows(&plan.job, &total::ENTRY, ranges, tally)?);
            }
            Ok(Prepared { steps, plan })
        })
    }

    /// Whether the device lets a shader have as many buffers as these.
    fn check_storage_buffers(&self, plan: &Plan, in_place: bool) -> Result<()> {
        let limit = u64::from(self.capabilities().storage_buffers);
        let buffers = |stage| storage_bindings(&self.shader(&plan.job, stage, in_place)).len() as u64;
        let needed = plan.stages.iter().map(buffers).max().unwrap_or(0);
        let remedy = "leave out what is not wanted, such as a boolean mask whose −∞ an additive one may hold";
        match needed > limit {
            true => Err(Error::LimitExceeded { what: "the buffers of one shader", needed, limit, remedy }),
            false => Ok(()),
        }
    }

    /// Whether the device runs a job, as far as the number of its buffers goes.
    pub(crate) fn has_buffers_for(&self, job: Job) -> bool {
        let plan = Plan::of(job, self.capabilities());
        plan.is_ok_and(|plan| self.check_storage_buffers(&plan, false).is_ok())
    }

    fn steps(&self, plan: &Plan, ranges: Ranges<'_>) -> Result<Vec<Step>> {
        let device = self.device();
        let in_place = ranges.result.is_none() && plan.job.writes_result();
        let stages: Vec<(Shader, Arc<Pipeline>)> = (plan.stages.iter())
            .map(|stage| {
                let shader = self.shader(&plan.job, stage, in_place);
                let quads = plan.quads && ranges.start_with_quads(&plan.job.dtypes);
                let pairs = match plan.flat {
                    Some(Flat { kept, quads: at_quads }) if !quads => {
                        let at_quads = at_quads && ranges.result_starts_with_quad(&plan.job.dtypes);
                        Pairs::Flat { kept, quads: at_quads }
                    }
                    _ => Pairs::ByColumns,
                };
                let shader = Shader { quads, pairs, ..shader };
                Ok((shader, self.pipeline_of(&shader)?))
            })
            .collect::<Result<_>>()?;
        // For the logits of rows without classes, and for masks that there are none of: a binding is never
        // empty.
        let stand_in = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("stand-in"),
            size: 16,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let partials = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("partial statistics"),
            size: plan.partial_bytes.max(16),
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let windows: Vec<_> = (plan.dispatches.iter())
            .map(|dispatch| self.windows_of(plan, dispatch, ranges, &stand_in))
            .collect();
        let parameters: Vec<Parameters> = windows.iter().map(|(parameters, _)| *parameters).collect();
        let stride = (size_of::<Parameters>() as u64).next_multiple_of(self.capabilities().uniform_alignment);
        let uniforms = uniform_buffer(device, &parameters, stride);
        (plan.dispatches.iter().zip(&windows).enumerate())
            .map(|(index, (dispatch, (told, buffers)))| {
                let (shader, pipeline) = &stages[dispatch.stage];
                let buffer_at = |place| match place {
                    binding::LOGITS => buffers.logits.clone(),
                    binding::RESULT => buffers.result.clone(),
                    binding::OPERAND if plan.job.dtypes.operand.is_some() => buffers.operand.clone(),
                    binding::OPERAND => whole(&stand_in, ranges.labels),
                    binding::MASK => whole(&stand_in, ranges.mask),
                    binding::CLASS_WEIGHTS => whole(&stand_in, ranges.class_weights),
                    binding::PER_ROW => whole(&stand_in, ranges.per_row),
                    binding::ADDITIVE_MASK => whole(&stand_in, ranges.additive_mask),
                    binding::ROW_VALUES => whole(&stand_in, ranges.row_values),
                    binding::TALLY => whole(&stand_in, ranges.tally),
                    _ => partials.as_entire_buffer_binding(),
                };
                reach::check(shader, told, |place| length_of(&buffer_at(place)))?;
                let parameters = wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: index as u64 * stride,
                    size: NonZeroU64::new(size_of::<Parameters>() as u64),
                };
                let storage = storage_bindings(shader).into_iter().map(|place| (place, buffer_at(place)));
                let buffers = std::iter::once((binding::PARAMETERS, parameters)).chain(storage).collect();
                let bindings = bind_group(device, plan.job.op.name(), pipeline, buffers);
                let pipeline = pipeline.pipeline.clone();
                Ok(Step { pipeline, bindings, grid: dispatch.grid, elements: dispatch.elements })
            })
            .collect()
    }

    /// One workgroup that walks a loss's labels, or its rows' values.
    fn step_over_rows(
        &self,
        job: &Job,
        entry: &'static Entry,
        ranges: Ranges<'_>,
        tally: Whole<'_>,
    ) -> Result<Step> {
        let device = self.device();
        let stage = Stage { entry, geometry: tally::geometry(self.capabilities()) };
        let shader = self.shader(job, &stage, false);
        let pipeline = self.pipeline_of(&shader)?;
        let parameters = Parameters {
            slabs: job.rows.count() as u32,
            classes: job.rows.classes() as u32,
            loss: job.loss,
            ..Parameters::default()
        };
        let uniforms = uniform_buffer(device, &[parameters], size_of::<Parameters>() as u64);
        let stand_in = filled_buffer(device, "stand-in", &[0; 16], wgpu::BufferUsages::STORAGE);
        let buffer_at = |place| {
            let range = match place {
                binding::OPERAND => ranges.labels,
                binding::CLASS_WEIGHTS => ranges.class_weights,
                binding::ROW_VALUES => ranges.row_values,
                _ => Some(tally),
            };
            whole(&stand_in, range)
        };
        reach::check(&shader, &parameters, |place| length_of(&buffer_at(place)))?;
        let storage = storage_bindings(&shader).into_iter().map(|place| (place, buffer_at(place)));
        let parameters = (binding::PARAMETERS, uniforms.as_entire_buffer_binding());
        let buffers = std::iter::once(parameters).chain(storage).collect();
        let bindings = bind_group(device, entry.name, &pipeline, buffers);
        let elements = job.rows.count();
        Ok(Step { pipeline: pipeline.pipeline.clone(), bindings, grid: [1, 1], elements })
    }

    pub(crate) fn shader(&self, job: &Job, stage: &Stage, in_place: bool) -> Shader {
        Shader {
            entry: stage.entry,
            op: job.op,
            dtypes: job.dtypes,
            precision: job.options.precision,
            given: job.options.given,
            geometry: stage.geometry,
            in_place,
            quads: false,
            side_by_side: !self.capabilities().software
                && stage.geometry.stores_in_fragments(job.rows.inner()),
            pairs: Pairs::ByColumns,
            adjusted: job.adjusted(),
            class_weights: job.class_weights,
            row_values: job.row_values,
            tallied: job.is_tallied(),
            hide_intermediates: self.capabilities().hide_intermediates,
        }
    }

    /// Where a dispatch's windows lie in the buffers, and its parameters with where they start.
    fn windows_of<'a>(
        &self,
        plan: &Plan,
        dispatch: &Dispatch,
        ranges: Ranges<'a>,
        stand_in: &'a wgpu::Buffer,
    ) -> (Parameters, Windows<'a>) {
        let dtypes = plan.job.dtypes;
        let alignment = self.capabilities().binding_alignment;
        let window = |slice: wgpu::BufferSlice<'a>, elements: &std::ops::Range<u64>, dtype: Dtype| {
            if elements.is_empty() {
                return (0, stand_in.as_entire_buffer_binding());
            }
            let bytes = dtype.bytes();
            let first = slice.offset() + elements.start * bytes;
            let end = slice.offset() + elements.end * bytes;
            let offset = first - first % alignment;
            // Bindings are made of whole words.
            let size = NonZeroU64::new(in_words(end - offset));
            let start = ((first - offset) / bytes) as u32;
            (start, wgpu::BufferBinding { buffer: slice.buffer(), offset, size })
        };
        let (logits_start, logits) = window(ranges.logits, &dispatch.logits, dtypes.logits);
        let (result_start, result) =
            window(ranges.result.unwrap_or(ranges.logits), &dispatch.result, dtypes.result);
        let (operand_start, operand) = match (ranges.operand, dtypes.operand) {
            (Some(operand), Some(dtype)) => window(operand, &dispatch.operand, dtype),
            _ => (0, stand_in.as_entire_buffer_binding()),
        };
        let [logits_skipped, result_skipped, operand_skipped] = dispatch.skipped;
        let parameters = Parameters {
            logits_start: logits_start.wrapping_sub(logits_skipped),
            result_start: result_start.wrapping_sub(result_skipped),
            operand_start: operand_start.wrapping_sub(operand_skipped),
            ..dispatch.parameters
        };
        (parameters, Windows { logits, result, operand })
    }
}

struct Windows<'a> {
    logits: wgpu::BufferBinding<'a>,
    result: wgpu::BufferBinding<'a>,
    operand: wgpu::BufferBinding<'a>,
}

/// What of a range may be touched, or what stands in for one that there is not, or nothing of.
fn whole<'a>(stand_in: &'a wgpu::Buffer, part: Option<Whole<'a>>) -> wgpu::BufferBinding<'a> {
    match part {
        Some(Whole { range, bytes }) if bytes > 0 => wgpu::BufferBinding {
            buffer: range.buffer(),
            offset: range.offset(),
            // Bindings are made of whole words.
            size: NonZeroU64::new(in_words(bytes)),
        },
        _ => stand_in.as_entire_buffer_binding(),
    }
}

/// Buffers at their places, for a pipeline.
pub(crate) fn bind_group(
    device: &wgpu::Device,
    label: &str,
    pipeline: &Pipeline,
    buffers: Vec<(u32, wgpu::BufferBinding<'_>)>,
) -> wgpu::BindGroup {
    let entries: Vec<_> = (buffers.into_iter())
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(buffer),
        })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(label),
        layout: &pipeline.bindings,
        entries: &entries,
    })
}

/// Bytes that a binding covers.
fn length_of(binding: &wgpu::BufferBinding<'_>) -> u64 {
    binding.size.map_or(binding.buffer.size() - binding.offset, std::num::NonZeroU64::get)
}

/// One buffer for the parameters of all dispatches, `stride` bytes apart.
pub(crate) fn uniform_buffer(device: &wgpu::Device, parameters: &[Parameters], stride: u64) -> wgpu::Buffer {
    let mut bytes = vec![0; parameters.len() * stride as usize];
    for (slot, parameters) in bytes.chunks_exact_mut(stride as usize).zip(parameters) {
        slot[..size_of::<Parameters>()].copy_from_slice(bytemuck::bytes_of(parameters));
    }
    filled_buffer(device, "parameters", &bytes, wgpu::BufferUsages::UNIFORM)
}

/// A buffer that holds `bytes`, whose number is a multiple of four.
pub(crate) fn filled_buffer(
    device: &wgpu::Device,
    label: &str,
    bytes: &[u8],
    usage: wgpu::BufferUsages,
) -> wgpu::Buffer {
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: (bytes.len() as u64).max(4),
        usage,
        mapped_at_creation: true,
    });
    // No view where the allocation failed, which the error scope around this reports.
    if !bytes.is_empty()
        && let Ok(mut view) = buffer.slice(..bytes.len() as u64).get_mapped_range_mut()
    {
        view.copy_from_slice(bytes);
    }
    buffer.unmap();
    buffer
}

/// Whether a buffer range can hold `rows` of elements of a type for a shader.
fn check_range(what: &'static str, slice: wgpu::BufferSlice<'_>, rows: &Rows, dtype: Dtype) -> Result<()> {
    check_bytes(what, slice, rows.extent().saturating_mul(dtype.bytes()), dtype.bytes())
}

/// Whether a buffer range holds so many bytes for a shader, from a multiple of `alignment` on.
fn check_bytes(what: &'static str, slice: wgpu::BufferSlice<'_>, needed: u64, alignment: u64) -> Result<()> {
    if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(Error::BufferUsage { what, usage: "STORAGE" });
    }
    if slice.offset() % alignment != 0 {
        return Err(Error::BufferMisaligned { what, offset: slice.offset(), alignment });
    }
    if needed > slice.size() {
        return Err(Error::BufferTooSmall { what, needed, actual: slice.size() });
    }
    // A word of which half is used has to be there as a whole.
    let (end, there) = (in_words(slice.offset() + needed), slice.buffer().size());
    if end > there {
        return Err(Error::BufferTooSmall { what, needed: end, actual: there });
    }
    Ok(())
}
