//! An adapter in three ways that are kept apart: the kernel alone, resident, and end to end; and what its memory allows.

use std::collections::HashMap;

use wgpu_softmax::wgpu::{self, BufferSlice};
use wgpu_softmax::{
    Device, Dtype, Error, Gpu, LabelType, LossSettings, MemoryPass, Op, Prepared, Reduction, Result, Rows,
    Tensor,
};

use super::cases::{Case, Limit};
use super::clock::{Budget, Timing, seconds};
use super::data::{Number, Regions};
use super::host::{Judge, Memory, turns};
use super::judge::Errors;
use super::one_call::OneCall;
use super::stopwatch::{Stopwatch, read, submit_and_wait};
use crate::args::Patience;
use crate::failure::Outcome;
use crate::tables;

/// As many operations are made ready for a case at most.
const MOST_TURNS: usize = 64;

/// What of a case's result is read back at once, in bytes.
const READ_AT_ONCE: u64 = 64 << 20;

/// More rows than these are read with all that lies between them.
const MOST_PIECES: usize = 1 << 14;

/// A device with what times it.
#[derive(Debug)]
pub struct Adapter {
    pub gpu: Gpu,
    pub stopwatch: Stopwatch,
}

impl Adapter {
    pub fn open(device: &Device, patience: Patience) -> Result<Adapter> {
        let device = if let Device::Named(_) = device { device } else { &Device::Gpu };
        let engine = device.open_within_blocking(patience.timeout)?;
        let missing = || Error::NoAdapter { detail: engine.why(Dtype::F32) };
        let gpu = engine.gpu().ok_or_else(missing)?.clone();
        let stopwatch = Stopwatch::new(&gpu);
        Ok(Adapter { gpu, stopwatch })
    }

    /// The same adapter with the table that was measured on it.
    pub fn tuned(self) -> Outcome<Adapter> {
        let Some(key) = &self.gpu.capabilities().adapter else { return Ok(self) };
        let table = tables::load(key)?.table;
        Ok(Adapter { gpu: self.gpu.with_tuning(table), ..self })
    }

    /// Whether it computes on the CPU.
    pub fn is_software(&self) -> bool {
        self.gpu.capabilities().software
    }

    pub fn name(&self) -> &str {
        &self.gpu.info().name
    }
}

/// From submission to done, or on the device itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Kernel,
    Resident,
}

/// Device memory for every case of one type, with the same inputs as on the host.
#[derive(Debug)]
pub struct DeviceMemory {
    logits: Tensor,
    operand: Tensor,
    labels: Tensor,
    result: Tensor,
    row_values: Tensor,
    tally: Tensor,
    in_turns: bool,
    known: HashMap<(Limit, u64, Way), Timing>,
}

impl DeviceMemory {
    /// Room for all `cases`, as far as one buffer of the device goes.
    pub fn for_cases<T: Number>(gpu: &Gpu, cases: &[Case], memory: &Memory<T>) -> Result<DeviceMemory> {
        let in_turns = memory.in_turns;
        let most = |bytes: &dyn Fn(&Case) -> u64| cases.iter().map(bytes).max().unwrap_or(0);
        let regions = |length: usize, case: &Case| {
            Regions::new(length, T::DTYPE, turns_on_device(case, in_turns)).elements() as u64
                * T::DTYPE.bytes()
        };
        let words = |bytes: u64| {
            let most = gpu.capabilities().buffer_bytes;
            [(bytes.min(most) / 4).max(64) as usize]
        };
        let moved = |case: &Case| limit_bytes(case, case.limit(), in_turns);
        let from = most(&|case| regions(case.logits(), case).max(moved(case)[0]));
        let to = most(&|case| {
            let result = if case.op == Op::CrossEntropy { 0 } else { regions(case.results(), case) };
            result.max(moved(case)[1])
        });
        let operand =
            most(&|case| if case.op.operand().is_some() { regions(case.logits(), case) } else { 0 });
        let labels = most(&|case| if case.op.is_loss() { 4 * case.batch.rows as u64 } else { 0 });
        let made = DeviceMemory {
            logits: gpu.empty(&words(from))?,
            operand: gpu.empty(&words(operand))?,
            labels: gpu.empty(&words(labels))?,
            result: gpu.empty(&words(to))?,
            row_values: gpu.empty(&words(labels))?,
            tally: gpu.empty(&words(0))?,
            in_turns,
            known: HashMap::new(),
        };
        write(gpu, made.logits.buffer(), bytemuck::cast_slice(&memory.logits))?;
        write(gpu, made.operand.buffer(), bytemuck::cast_slice(&memory.operand))?;
        Ok(made)
    }

    /// Sends the labels of a case.
    pub fn label<T: Number>(&self, gpu: &Gpu, memory: &Memory<T>) -> Result<()> {
        write(gpu, self.labels.buffer(), bytemuck::cast_slice(&memory.labels))
    }

    /// A case made ready for each of its turns.
    pub fn prepare(&self, gpu: &Gpu, case: &Case) -> Result<Vec<Prepared>> {
        let count = turns_on_device(case, self.in_turns);
        (0..count).map(|turn| self.prepare_turn(gpu, case, turn)).collect()
    }

    fn prepare_turn(&self, gpu: &Gpu, case: &Case, turn: usize) -> Result<Prepared> {
        let dtype = case.dtype;
        let count = turns_on_device(case, self.in_turns);
        let inputs = Regions::new(case.logits(), dtype, count).of_turn(turn);
        let results = Regions::new(case.results(), dtype, count).of_turn(turn);
        let part = |tensor: &'_ Tensor, elements: std::ops::Range<usize>| -> Result<std::ops::Range<u64>> {
            let bytes = elements.start as u64 * dtype.bytes()..elements.end as u64 * dtype.bytes();
            let (needed, actual) = (bytes.end, tensor.buffer().size());
            match needed > actual {
                true => Err(Error::BufferTooSmall { what: "benchmark's", needed, actual }),
                false => Ok(bytes),
            }
        };
        let rows = Rows::batch(case.batch.rows as u64, case.batch.classes as u64)?;
        let logits = self.logits.buffer().slice(part(&self.logits, inputs.clone())?);
        let preparation = gpu.preparation(case.op, &rows, logits, dtype).options(gpu.options());
        let preparation = match case.op {
            Op::CrossEntropy => preparation,
            _ => preparation.result(self.result.buffer().slice(part(&self.result, results)?), dtype),
        };
        let preparation = match case.op.operand() {
            Some(_) => preparation.operand(self.operand.buffer().slice(part(&self.operand, inputs)?), dtype),
            None => preparation,
        };
        if !case.op.is_loss() {
            return preparation.prepare();
        }
        let settings = LossSettings { reduction: Reduction::None, ..LossSettings::default() };
        let (values, tally) = (self.row_values.buffer().slice(..), self.tally.buffer().slice(..));
        let labels = self.labels.buffer().slice(..);
        preparation.labels(labels, LabelType::U32).loss(&settings, values, tally).prepare()
    }

    /// The errors of what a case leaves in memory that was cleared before.
    pub fn errors<T: Number>(&self, gpu: &Gpu, case: &Case, judge: &Judge) -> Result<Errors> {
        let prepared = self.prepare_turn(gpu, case, 0)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let written = case.results() as u64 * case.dtype.bytes();
        for (buffer, bytes) in [(&self.result, written), (&self.row_values, 4 * case.batch.rows as u64)] {
            let bytes = bytes.next_multiple_of(4).min(buffer.buffer().size());
            encoder.clear_buffer(buffer.buffer(), 0, Some(bytes));
        }
        prepared.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        gpu.wait_blocking()?;
        let rows = judge.rows();
        let result = match case.op {
            Op::CrossEntropy => Pieces::default(),
            _ => Pieces::read(gpu, self.result.buffer(), rows, case.result_width(), case.dtype)?,
        };
        let losses = match case.op.is_loss() {
            true => Pieces::read(gpu, self.row_values.buffer(), rows, 1, Dtype::F32)?,
            false => Pieces::default(),
        };
        Ok(judge.errors(|place| result.at::<T>(place), |place| losses.at::<f32>(place), case))
    }

    /// How long a case takes, in one of two ways.
    pub fn time(&self, adapter: &Adapter, case: &Case, way: Way, budget: &Budget) -> Result<Timing> {
        let Adapter { gpu, stopwatch } = adapter;
        if budget.cold {
            return self.time_cold(gpu, case, budget);
        }
        let prepared = self.prepare(gpu, case)?;
        let record = |turn: usize, pass: &mut wgpu::ComputePass<'_>| {
            prepared[turn % prepared.len()].record_in_pass(pass);
        };
        time(gpu, stopwatch, way, budget, &record)
    }

    /// The first time on a context that has no pipelines yet: making ready, recording, submitting, waiting.
    fn time_cold(&self, gpu: &Gpu, case: &Case, budget: &Budget) -> Result<Timing> {
        budget.measure(|_| {
            let fresh = gpu.planning_with(gpu.capabilities().clone());
            let mut outcome = Ok(());
            let time = seconds(|| {
                outcome = self.prepare_turn(&fresh, case, 0).and_then(|prepared| {
                    submit_and_wait(&fresh, 0..1, &|_, pass| prepared.record_in_pass(pass)).map(drop)
                });
            });
            outcome.map(|()| time)
        })
    }

    /// How long this crate's own kernel takes that only moves a case's bytes.
    pub fn limit(&mut self, adapter: &Adapter, case: &Case, way: Way, budget: &Budget) -> Result<Timing> {
        let limit = case.limit();
        let key = (limit, case.bytes(), way);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let Adapter { gpu, stopwatch } = adapter;
        let [from, to, count] = limit_regions(case, limit, self.in_turns);
        let part = |tensor: &'_ Tensor, bytes: u64, turn: u64| {
            let range = turn * bytes..(turn + 1) * bytes;
            let (needed, actual) = (range.end, tensor.buffer().size());
            match needed > actual {
                true => Err(Error::BufferTooSmall { what: "benchmark's", needed, actual }),
                false => Ok(range),
            }
        };
        let slice = |tensor, bytes, turn| -> Result<BufferSlice<'_>> {
            Ok(Tensor::buffer(tensor).slice(part(tensor, bytes, turn)?))
        };
        let passes: Vec<MemoryPass> = (0..count)
            .map(|turn| {
                let written = slice(&self.result, to, turn)?;
                match limit {
                    Limit::Copy => gpu.prepare_copy(slice(&self.logits, from, turn)?, written),
                    Limit::Read => gpu.prepare_read(slice(&self.logits, from, turn)?, written),
                    Limit::Fill => gpu.prepare_fill(written),
                }
            })
            .collect::<Result<_>>()?;
        let record = |turn: usize, pass: &mut wgpu::ComputePass<'_>| {
            passes[turn % passes.len()].record_in_pass(pass);
        };
        let budget = Budget { cold: false, ..*budget };
        let timing = time(gpu, stopwatch, way, &budget, &record)?;
        // A pass that moves a little more or less than the case, to whole vectors and with its marks.
        let share = case.bytes() as f64 / passes.first().map_or(1, MemoryPass::bytes) as f64;
        let timing = timing.scaled(share);
        self.known.insert(key, timing);
        Ok(timing)
    }
}

fn time(
    gpu: &Gpu,
    stopwatch: &Stopwatch,
    way: Way,
    budget: &Budget,
    record: super::stopwatch::Record<'_>,
) -> Result<Timing> {
    match way {
        Way::Kernel => stopwatch.time(gpu, budget, record),
        Way::Resident => budget.measure(|turn| submit_and_wait(gpu, turn..turn + 1, record)),
    }
}

/// How many inputs and results take turns: each has bindings of its own.
fn turns_on_device(case: &Case, in_turns: bool) -> usize {
    if in_turns { turns(case.bytes()).min(MOST_TURNS) } else { 1 }
}

/// Bytes of each turn that a limit reads and writes, and how many turns there are.
fn limit_regions(case: &Case, limit: Limit, in_turns: bool) -> [u64; 3] {
    let whole = |bytes: u64| bytes.next_multiple_of(256).max(256);
    let bytes = case.bytes();
    let count = turns_on_device(case, in_turns) as u64;
    match limit {
        Limit::Copy => [whole(bytes / 2), whole(bytes / 2), count],
        // A word is left for every 128 bytes, by whole workgroups of up to 256 lanes.
        Limit::Read => [whole(bytes), (bytes / 32).next_multiple_of(1024) + 1024, count],
        Limit::Fill => [0, whole(bytes), count],
    }
}

/// Bytes that a limit needs to read from and to write to, all turns together.
fn limit_bytes(case: &Case, limit: Limit, in_turns: bool) -> [u64; 2] {
    let [from, to, count] = limit_regions(case, limit, in_turns);
    [from * count, to * count]
}

/// Copies bytes to the start of a buffer, as far as it goes, a piece at a time: wgpu keeps what it is given until it has
/// been sent.
fn write(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
    let bytes = &bytes[..bytes.len().min(buffer.size() as usize)];
    let at_once = 32 << 20;
    for (piece, bytes) in bytes.chunks(at_once).enumerate() {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        let place = (piece * at_once) as u64;
        gpu.queue().write_buffer(buffer, place, words);
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            gpu.queue().write_buffer(buffer, place + words.len() as u64, &word);
        }
        gpu.queue().submit([]);
        gpu.wait_blocking()?;
    }
    Ok(())
}

/// Rows of a result that have been read back.
#[derive(Debug, Default)]
struct Pieces {
    rows: Vec<usize>,
    width: usize,
    /// Where each row starts among the bytes.
    starts: Vec<usize>,
    bytes: Vec<u8>,
}

impl Pieces {
    fn read(gpu: &Gpu, buffer: &wgpu::Buffer, rows: &[usize], width: usize, dtype: Dtype) -> Result<Pieces> {
        let row_bytes = width as u64 * dtype.bytes();
        // Copies start and end at whole words; rows that are read together are one copy.
        let wanted = |rows: std::ops::RangeInclusive<usize>| {
            let start = *rows.start() as u64 * row_bytes;
            let end = (*rows.end() as u64 + 1) * row_bytes;
            start / 4 * 4..end.next_multiple_of(4)
        };
        let last = rows.last().copied().unwrap_or(0);
        let ranges: Vec<std::ops::Range<u64>> = match rows.len() <= MOST_PIECES {
            true => rows.iter().map(|&row| wanted(row..=row)).collect(),
            false => vec![wanted(0..=last)],
        };
        let mut starts = Vec::with_capacity(rows.len());
        let mut end = 0;
        for (place, range) in ranges.iter().enumerate() {
            let at = |row: usize| (end + row as u64 * row_bytes - range.start) as usize;
            match ranges.len() == rows.len() {
                true => starts.push(at(rows[place])),
                false => starts.extend(rows.iter().map(|&row| at(row))),
            }
            end += range.end - range.start;
        }
        let bytes = read_ranges(gpu, buffer, &ranges)?;
        Ok(Pieces { rows: rows.to_vec(), width, starts, bytes })
    }

    /// An element of the result, NaN where it was not read.
    fn at<T: Number>(&self, place: usize) -> f64 {
        let (row, column) = (place / self.width.max(1), place % self.width.max(1));
        let Ok(piece) = self.rows.binary_search(&row) else { return f64::NAN };
        let start = self.starts[piece] + column * size_of::<T>();
        match self.bytes.get(start..start + size_of::<T>()) {
            Some(bytes) => bytemuck::pod_read_unaligned::<T>(bytes).value(),
            None => f64::NAN,
        }
    }
}

/// The bytes of these ranges of a buffer, one after the other.
fn read_ranges(gpu: &Gpu, buffer: &wgpu::Buffer, ranges: &[std::ops::Range<u64>]) -> Result<Vec<u8>> {
    let pieces = ranges.iter().flat_map(|range| {
        let starts = range.clone().step_by(READ_AT_ONCE as usize);
        starts.map(|start| start..(start + READ_AT_ONCE).min(range.end))
    });
    let mut bytes = Vec::new();
    let mut waiting = Vec::new();
    let mut size = 0;
    for piece in pieces {
        let length = piece.end - piece.start;
        if size + length > READ_AT_ONCE {
            bytes.extend(read_together(gpu, buffer, &waiting, size)?);
            waiting.clear();
            size = 0;
        }
        size += length;
        waiting.push(piece);
    }
    if !waiting.is_empty() {
        bytes.extend(read_together(gpu, buffer, &waiting, size)?);
    }
    Ok(bytes)
}

/// Pieces of a buffer that are `size` bytes together, in one submission.
fn read_together(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    pieces: &[std::ops::Range<u64>],
    size: u64,
) -> Result<Vec<u8>> {
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("read-back"),
        size,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut at = 0;
    for piece in pieces {
        let length = piece.end - piece.start;
        encoder.copy_buffer_to_buffer(buffer, piece.start, &staging, at, length);
        at += length;
    }
    gpu.queue().submit([encoder.finish()]);
    read(gpu, &staging)
}
