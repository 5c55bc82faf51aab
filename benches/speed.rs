//! The cases of `wgpu-softmax bench` under criterion, which keeps what it has measured and tells what has changed:
//! `cargo bench`, or `cargo bench -- 'kernel/softmax'` for some of them.
//!
//! Each case is measured on the CPU, and on the best adapter three ways: the kernel alone, by timestamp queries;
//! resident, from submission to done; end to end, from host memory to host memory. The copy, read and fill that
//! kernels are held against stand beside them. Whether results are right is the tests' concern, and the program's: it
//! verifies before it times.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_softmax::wgpu::{self, BufferSlice};
use wgpu_softmax::{
    Cpu, CrossEntropy, Gpu, LabelType, LossMemory, LossSettings, Op, Options, Output, Prepared, Reduction,
    Request, Result, Rows, Tensor,
};

const OPS: [Op; 7] = [
    Op::Softmax,
    Op::LogSoftmax,
    Op::LogSumExp,
    Op::CrossEntropy,
    Op::CrossEntropyGradient,
    Op::Vjp,
    Op::Jacobian,
];

const BATCHES: [[usize; 2]; 4] = [[65_536, 4], [32_768, 32], [1024, 1000], [16, 50_257]];
const BATCHES_FOR_JACOBIANS: [[usize; 2]; 2] = [[4096, 10], [256, 100]];

/// An operation over a batch of f32.
struct Case {
    op: Op,
    shape: [usize; 2],
    logits: Vec<f32>,
    operand: Vec<f32>,
    labels: Vec<u32>,
    results: usize,
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        OPS.into_iter().flat_map(|op| {
            let batches: &[[usize; 2]] =
                if op.output() == Output::PerPair { &BATCHES_FOR_JACOBIANS } else { &BATCHES };
            batches.iter().map(move |&shape| Case::new(op, shape))
        })
    }

    fn new(op: Op, shape: [usize; 2]) -> Case {
        let [rows, classes] = shape;
        let mut seed = 1u32;
        let mut draw = move || {
            // Of three sums of bits, the bell; now and then an outlier.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bell = ((seed >> 8 & 0xff) + (seed >> 16 & 0xff) + (seed >> 24)) as f32 / 14.8 - 25.8;
            if seed >> 8 & 0xffff == 7 { 40.0 * bell } else { bell }
        };
        let logits: Vec<f32> = (0..rows * classes).map(|_| draw()).collect();
        let operand = logits.iter().rev().copied().collect();
        let labels = (0..rows).map(|row| (row * 7919 % classes) as u32).collect();
        let results = match op.output() {
            Output::PerElement => rows * classes,
            Output::PerPair => rows * classes * classes,
            Output::PerRow | Output::TwoPerRow => rows,
        };
        Case { op, shape, logits, operand, labels, results }
    }

    fn id(&self) -> BenchmarkId {
        BenchmarkId::new(self.op.name(), format!("{}x{}", self.shape[0], self.shape[1]))
    }

    /// Every byte that has to be moved, once.
    fn bytes(&self) -> u64 {
        let inputs = if self.op.operand().is_some() { 2 } else { 1 };
        let beside = if self.op.is_loss() { self.shape[0] } else { 0 };
        4 * (inputs * self.logits.len() + self.results + beside) as u64
    }

    fn request(&self) -> Request<'_> {
        let request = Request::new(self.op, &self.logits, &self.shape, 1);
        if self.op.operand().is_some() { request.cotangent(&self.operand) } else { request }
    }

    fn loss(&self) -> CrossEntropy<'_> {
        let loss = CrossEntropy::new(&self.logits, &self.shape, 1, &self.labels).reduction(Reduction::None);
        if self.op == Op::CrossEntropyGradient { loss.with_gradient() } else { loss }
    }

    /// Where a loss goes, with its gradient if that is the case.
    fn memory<'m>(&self, losses: &'m mut [f32], gradient: &'m mut [f32]) -> LossMemory<'m, f32> {
        let memory = LossMemory::new(losses);
        if self.op == Op::CrossEntropyGradient { memory.gradient(gradient) } else { memory }
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    group
}

fn cpu(criterion: &mut Criterion) {
    let mut group = group(criterion, "cpu");
    let cpu = Cpu::new();
    for case in Case::all() {
        group.throughput(Throughput::Bytes(case.bytes()));
        let (mut losses, mut result) = (vec![0f32; case.shape[0]], vec![0f32; case.results]);
        group.bench_function(case.id(), |bencher| match case.op.is_loss() {
            true => bencher.iter(|| {
                let done = cpu.cross_entropy_into(&case.loss(), case.memory(&mut losses, &mut result));
                black_box((done, &mut losses, &mut result)).0
            }),
            false => bencher.iter(|| {
                let done = cpu.answer_into(&case.request(), &mut result);
                black_box((done, &mut result)).0
            }),
        });
    }
}

fn end_to_end(criterion: &mut Criterion) {
    let Ok(gpu) = Gpu::new_blocking() else { return };
    let mut group = group(criterion, "end to end");
    for case in Case::all() {
        group.throughput(Throughput::Bytes(case.bytes()));
        let (mut losses, mut result) = (vec![0f32; case.shape[0]], vec![0f32; case.results]);
        group.bench_function(case.id(), |bencher| match case.op.is_loss() {
            true => bencher.iter(|| {
                let memory = case.memory(&mut losses, &mut result);
                let done = gpu.cross_entropy_into_blocking(&case.loss(), memory);
                black_box((done, &mut losses, &mut result)).0
            }),
            false => bencher.iter(|| {
                let done = gpu.answer_into_blocking(&case.request(), &mut result);
                black_box((done, &mut result)).0
            }),
        });
    }
}

/// A case's data on the device.
struct Resident {
    prepared: Prepared,
    /// What it computes with stays as long as it does.
    _tensors: [Tensor; 6],
}

impl Resident {
    fn new(gpu: &Gpu, case: &Case) -> Result<Resident> {
        let [rows, classes] = case.shape;
        let labels: Vec<f32> = case.labels.iter().map(|&label| f32::from_bits(label)).collect();
        let tensors = [
            gpu.upload(&case.logits, &case.shape)?,
            gpu.upload(&case.operand, &case.shape)?,
            gpu.upload(&labels, &[rows])?,
            gpu.empty(&[case.results])?,
            gpu.empty(&[rows])?,
            gpu.empty(&[8])?,
        ];
        let [logits, operand, labels, result, losses, tally] = tensors.each_ref().map(whole);
        let layout = Rows::batch(rows as u64, classes as u64)?;
        let f32 = wgpu_softmax::Dtype::F32;
        let mut preparation = gpu.preparation(case.op, &layout, logits, f32).options(Options::default());
        if case.op != Op::CrossEntropy {
            preparation = preparation.result(result, f32);
        }
        if case.op.operand().is_some() {
            preparation = preparation.operand(operand, f32);
        }
        if case.op.is_loss() {
            let settings = LossSettings { reduction: Reduction::None, ..LossSettings::default() };
            preparation = preparation.labels(labels, LabelType::U32).loss(&settings, losses, tally);
        }
        Ok(Resident { prepared: preparation.prepare()?, _tensors: tensors })
    }
}

fn whole(tensor: &Tensor) -> BufferSlice<'_> {
    tensor.buffer().slice(..)
}

fn submit(gpu: &Gpu, record: &dyn Fn(&mut wgpu::CommandEncoder)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
    gpu.wait_blocking().expect("the device is there");
}

fn resident(criterion: &mut Criterion) {
    let Ok(gpu) = Gpu::new_blocking() else { return };
    let mut group = group(criterion, "resident");
    for case in Case::all() {
        group.throughput(Throughput::Bytes(case.bytes()));
        let resident = Resident::new(&gpu, &case).expect("the case fits the device");
        group.bench_function(case.id(), |bencher| {
            bencher.iter(|| submit(&gpu, &|encoder| resident.prepared.record(encoder)));
        });
    }
}

/// Two timestamps around a pass.
struct Stopwatch {
    gpu: Gpu,
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read_back: wgpu::Buffer,
}

impl Stopwatch {
    /// None without an adapter, or where it has no timestamp queries.
    fn new() -> Option<Stopwatch> {
        let gpu = Gpu::new_blocking().ok()?;
        let device = gpu.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage,
                mapped_at_creation: false,
            })
        };
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let read_back = buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        Some(Stopwatch { gpu, queries, resolved, read_back })
    }

    /// How long `times` passes took on the device, together.
    fn time(&self, times: u64, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Duration {
        let start = Instant::now();
        let mut ticks = 0;
        for _ in 0..times {
            submit(&self.gpu, &|encoder| {
                let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                    query_set: &self.queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                });
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                record(&mut encoder.begin_compute_pass(&descriptor));
                encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
                encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read_back, 0, 16);
            });
            self.read_back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the device is there"));
            self.gpu.wait_blocking().expect("the device is there");
            let view = self.read_back.slice(..).get_mapped_range().expect("it is mapped");
            let [begun, ended]: [u64; 2] = bytemuck::pod_read_unaligned(&view);
            drop(view);
            self.read_back.unmap();
            ticks += ended.wrapping_sub(begun);
        }
        let nanoseconds = ticks as f64 * f64::from(self.gpu.queue().get_timestamp_period());
        // criterion divides by it.
        Duration::from_nanos(nanoseconds as u64).clamp(Duration::from_nanos(1), start.elapsed())
    }
}

fn kernel(criterion: &mut Criterion) {
    let Some(stopwatch) = Stopwatch::new() else { return };
    let mut group = group(criterion, "kernel");
    for case in Case::all() {
        group.throughput(Throughput::Bytes(case.bytes()));
        let resident = Resident::new(&stopwatch.gpu, &case).expect("the case fits the device");
        group.bench_function(case.id(), |bencher| {
            bencher.iter_custom(|times| stopwatch.time(times, |pass| resident.prepared.record_in_pass(pass)));
        });
    }
}

/// What kernels are held against.
fn limits(criterion: &mut Criterion) {
    let Some(stopwatch) = Stopwatch::new() else { return };
    let mut group = group(criterion, "limit");
    for mebibytes in [1, 16] {
        let words = [mebibytes << 18];
        let tensor = || stopwatch.gpu.empty(&words).expect("there is memory");
        let (from, to) = (tensor(), tensor());
        let passes = [
            ("copy", stopwatch.gpu.prepare_copy(whole(&from), whole(&to))),
            ("read", stopwatch.gpu.prepare_read(whole(&from), whole(&to))),
            ("fill", stopwatch.gpu.prepare_fill(whole(&to))),
        ];
        for (name, pass) in passes {
            let pass = pass.expect("both are buffers of ours");
            group.throughput(Throughput::Bytes(pass.bytes()));
            group.bench_function(BenchmarkId::new(name, format!("{mebibytes} MiB")), |bencher| {
                bencher.iter_custom(|times| stopwatch.time(times, |encoded| pass.record_in_pass(encoded)));
            });
        }
    }
}

criterion_group!(benches, cpu, end_to_end, resident, kernel, limits);
criterion_main!(benches);
