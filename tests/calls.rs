//! The three levels of calls on a GPU: what they give, what they leave alone, and how they fail.

mod common;

use approx::assert_relative_eq;
use common::device::{gpu, own_device};
use wgpu_softmax::wgpu::{self, BufferUsages};
use wgpu_softmax::{
    Axes, Cpu, Device, Dtype, Error, FullyMasked, Gpu, Kernel, Op, Options, Rows, Tensor, reference,
    result_shape,
};

const BATCH: [f32; 6] = [1.0, 2.0, 0.0, 0.5, 1.5, 2.5];
const ALONG_1: [f32; 6] = [0.24472847, 0.66524096, 0.09003057, 0.09003057, 0.24472847, 0.66524096];

fn expect(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert_relative_eq!(actual, expected, max_relative = 1e-6);
    }
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 7919 + 13) % 1000) as f32 * 0.03 - 15.0).collect()
}

fn storage(gpu: &Gpu, data: &[f32], usage: BufferUsages) -> wgpu::Buffer {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * data.len() as u64,
        usage: usage | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(data));
    buffer
}

fn contents(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<f32> {
    let elements = (buffer.size() / 4) as usize;
    gpu.tensor(buffer.slice(..), &[elements]).unwrap().read_blocking().unwrap()
}

const STORAGE: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_SRC);

#[test]
fn one_call_gives_a_vector() {
    let Some(gpu) = gpu() else { return };
    expect(&gpu.softmax_blocking(&BATCH, &[2, 3], 1).unwrap(), &ALONG_1);
    expect(&pollster::block_on(gpu.softmax(&BATCH, &[2, 3], -1)).unwrap(), &ALONG_1);
    let logs = gpu.log_softmax_blocking(&BATCH, &[2, 3], 1).unwrap();
    expect(&logs.iter().map(|log| log.exp()).collect::<Vec<_>>(), &ALONG_1);
    expect(&gpu.log_sum_exp_blocking(&BATCH, &[2, 3], 1).unwrap(), &[2.407_606, 2.907_606]);
    expect(&gpu.log_sum_exp_blocking(&BATCH, &[2, 3], ..).unwrap(), &[3.381_683_6]);
}

#[test]
fn one_call_into_memory_leaves_the_rest_alone() {
    let Some(gpu) = gpu() else { return };
    let mut memory = [7.0; 8];
    let options = Options::default();
    gpu.compute_into_blocking(Op::Softmax, &BATCH, &[2, 3], 1, &options, &mut memory[1..7]).unwrap();
    expect(&memory[1..7], &ALONG_1);
    assert_eq!([memory[0], memory[7]], [7.0, 7.0]);
    pollster::block_on(gpu.compute_into(Op::LogSumExp, &BATCH, &[2, 3], 1, &options, &mut memory[..2]))
        .unwrap();
    expect(&memory[..2], &[2.407_606, 2.907_606]);
}

#[test]
fn a_second_call_allocates_no_device_memory() {
    let Some(gpu) = gpu() else { return };
    // A context of its own, so that other tests' buffers are not counted.
    let gpu = Gpu::named_blocking(&gpu.info().name).unwrap();
    let logits = ramp(3000);
    let mut result = vec![0.0; 3000];
    let options = Options::default();
    let mut call = || {
        gpu.compute_into_blocking(Op::Softmax, &logits, &[3, 1000], -1, &options, &mut result).unwrap();
        let counters = gpu.device().get_internal_counters().hal;
        [
            counters.buffers.read(),
            counters.buffer_memory.read(),
            counters.bind_groups.read(),
            counters.compute_pipelines.read(),
        ]
    };
    let first = call();
    assert!(first[0] > 0, "the counters count");
    for _ in 0..3 {
        assert_eq!(call(), first);
    }
}

#[test]
fn any_axis_of_any_shape() {
    let Some(gpu) = gpu() else { return };
    let shape = [3, 4, 5, 6];
    let logits = ramp(360);
    let every_axes: Vec<Axes> = (1..16)
        .map(|set: isize| Axes::Several((0..4).filter(|axis| set >> axis & 1 == 1).collect()))
        .chain([Axes::All, Axes::Several(vec![]), Axes::from([-1, 0])])
        .collect();
    for op in Op::ROW_WISE {
        for axes in &every_axes {
            let on_gpu =
                gpu.compute_blocking(op, &logits, &shape, axes.clone(), &Options::default()).unwrap();
            let wide: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
            let truth = element_by_element(op, &wide, &shape, axes);
            let on_cpu = Cpu::new().compute(op, &logits, &shape, axes.clone(), &Options::default()).unwrap();
            for result in [on_gpu, on_cpu] {
                assert_eq!(
                    result.len(),
                    result_shape(op, &shape, axes, false).unwrap().iter().product::<usize>()
                );
                for (actual, expected) in result.iter().zip(&truth) {
                    assert_relative_eq!(f64::from(*actual), *expected, max_relative = 1e-5, epsilon = 1e-6);
                }
            }
        }
    }
}

/// By definition: each element's row is found by comparing indices.
fn element_by_element(op: Op, logits: &[f64], shape: &[usize], axes: &Axes) -> Vec<f64> {
    let reduced = axes.resolve(shape.len()).unwrap();
    let key = |mut place: usize| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = place % shape[axis];
            place /= shape[axis];
        }
        for &axis in &reduced {
            index[axis] = 0;
        }
        index
    };
    let mut rows: std::collections::BTreeMap<Vec<usize>, Vec<usize>> = Default::default();
    for place in 0..logits.len() {
        rows.entry(key(place)).or_default().push(place);
    }
    let mut elements = vec![0.0; logits.len()];
    let mut sums = Vec::new();
    for places in rows.values() {
        let row: Vec<f64> = places.iter().map(|&place| logits[place]).collect();
        let maximum = row.iter().cloned().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - maximum).exp()).sum();
        sums.push(maximum + sum.ln());
        for (&place, logit) in places.iter().zip(&row) {
            let log = logit - maximum - sum.ln();
            elements[place] = if op == Op::Softmax { log.exp() } else { log };
        }
    }
    if op == Op::LogSumExp { sums } else { elements }
}

#[test]
fn empty_arrays() {
    let Some(gpu) = gpu() else { return };
    for shape in [[0, 5], [0, 0]] {
        for op in Op::ROW_WISE {
            assert_eq!(gpu.compute_blocking::<f32>(op, &[], &shape, -1, &Options::default()).unwrap(), []);
        }
    }
    assert_eq!(gpu.softmax_blocking::<f32>(&[], &[3, 0], -1).unwrap(), []);
    assert_eq!(gpu.log_sum_exp_blocking::<f32>(&[], &[3, 0], -1).unwrap(), [f32::NEG_INFINITY; 3]);
    assert_eq!(gpu.log_sum_exp_blocking::<f32>(&[], &[0], ..).unwrap(), [f32::NEG_INFINITY]);
    assert_eq!(gpu.softmax_blocking(&[4.0f32], &[], ..).unwrap(), [1.0]);

    let tensor = gpu.upload(&[], &[3, 0]).unwrap();
    assert_eq!(tensor.compute(Op::Softmax, -1, &Options::default()).unwrap().read_blocking().unwrap(), []);
    let sums = tensor.compute(Op::LogSumExp, -1, &Options::default()).unwrap();
    assert_eq!((sums.shape(), sums.read_blocking().unwrap()), (&[3][..], vec![f32::NEG_INFINITY; 3]));
}

#[test]
fn nothing_but_negative_infinity_is_what_the_options_say() {
    let Some(gpu) = gpu() else { return };
    let logits = [f32::NEG_INFINITY, f32::NEG_INFINITY, 1.0, 1.0];
    for kernel in Kernel::ROW_WISE {
        let zero = Options::default().fully_masked(FullyMasked::Zero).kernel(kernel);
        let of = |op| gpu.compute_blocking(op, &logits, &[2, 2], 1, &zero).unwrap();
        assert_eq!(of(Op::Softmax), [0.0, 0.0, 0.5, 0.5]);
        assert_eq!(of(Op::LogSoftmax)[..2], [f32::NEG_INFINITY; 2]);
        assert_eq!(of(Op::LogSumExp)[0], f32::NEG_INFINITY);
        let nan = gpu.compute_blocking(Op::Softmax, &logits, &[2, 2], 1, &Options::default()).unwrap();
        assert_eq!(nan[0].to_bits(), 0x7fc0_0000);
    }
}

#[test]
fn tensors_stay_on_the_device() {
    let Some(gpu) = gpu() else { return };
    let logits = gpu.upload(&BATCH, &[2, 3]).unwrap();
    let options = Options::default();
    let logs = logits.compute(Op::LogSoftmax, 1, &options).unwrap();
    expect(&logs.compute(Op::Softmax, 1, &options).unwrap().read_blocking().unwrap(), &ALONG_1);
    let sums = logs.compute(Op::LogSumExp, 1, &options).unwrap();
    assert_eq!(sums.shape(), [2]);
    assert!(sums.read_blocking().unwrap().iter().all(|sum| sum.abs() < 1e-6));

    let result = gpu.empty(&[3, 2]).unwrap();
    logits.compute_into(Op::Softmax, 1, &options, &result).unwrap();
    expect(&pollster::block_on(result.read()).unwrap(), &ALONG_1);
    let mut memory = [0.0; 6];
    result.read_into_blocking(&mut memory).unwrap();
    expect(&memory, &ALONG_1);

    let overwritten = logits.compute_in_place(Op::Softmax, -1, &options).unwrap();
    expect(&overwritten.read_blocking().unwrap(), &ALONG_1);
}

#[test]
fn a_tensor_around_a_buffer_of_the_callers() {
    let Some(gpu) = gpu() else { return };
    let data: Vec<f32> = [[9.0; 8].as_slice(), &BATCH, &[9.0; 2]].concat();
    let buffer = storage(gpu, &data, STORAGE);
    let tensor = gpu.tensor(buffer.slice(32..56), &[2, 3]).unwrap();
    expect(&tensor.compute(Op::Softmax, 1, &Options::default()).unwrap().read_blocking().unwrap(), &ALONG_1);
    tensor.compute_in_place(Op::Softmax, 1, &Options::default()).unwrap();
    let after = contents(gpu, &buffer);
    expect(&after[8..14], &ALONG_1);
    assert_eq!([&after[..8], &after[14..]].concat(), [9.0; 10]);
}

#[test]
fn recording_into_a_device_and_an_encoder_of_the_callers() {
    let Some(found) = gpu() else { return };
    let (device, queue) =
        own_device(&found.info().name, wgpu::Features::empty(), wgpu::Limits::default()).unwrap();
    let gpu = Gpu::from_device_blocking(device.clone(), queue.clone()).unwrap();
    let logits = storage(&gpu, &BATCH, STORAGE);
    let [first, second] = [0.0; 2].map(|zero| storage(&gpu, &[zero; 6], STORAGE));
    let rows = Rows::batch(2, 3).unwrap();
    let options = Options::default();
    let logs = gpu.prepare(Op::LogSoftmax, &rows, logits.slice(..), first.slice(..), &options).unwrap();
    let probabilities = gpu.prepare(Op::Softmax, &rows, first.slice(..), second.slice(..), &options).unwrap();

    let mut encoder = device.create_command_encoder(&Default::default());
    logs.record(&mut encoder);
    probabilities.record(&mut encoder);
    {
        // Once more, in one pass of the caller's: the passes' order is the recorded one.
        let mut pass = encoder.begin_compute_pass(&Default::default());
        logs.record_in_pass(&mut pass);
        probabilities.record_in_pass(&mut pass);
    }
    queue.submit([encoder.finish()]);
    expect(&contents(&gpu, &second), &ALONG_1);

    // Again, over other logits: nothing has to be prepared anew.
    queue.write_buffer(&logits, 0, bytemuck::cast_slice(&[0.0f32; 6]));
    let mut encoder = device.create_command_encoder(&Default::default());
    logs.record(&mut encoder);
    probabilities.record(&mut encoder);
    queue.submit([encoder.finish()]);
    expect(&contents(&gpu, &second), &[1.0 / 3.0; 6]);
}

/// Ranges, pitches and offsets, in every kernel: what lies between the rows stays as it was.
#[test]
fn padded_rows_in_ranges_of_buffers() {
    let Some(gpu) = gpu() else { return };
    for kernel in Kernel::ROW_WISE {
        for classes in [3u64, 70, 1100] {
            for inner in [1u64, 2] {
                let (outer, padding, offset, skipped) = (4, 5, 3, 7);
                let compact = Rows::new(outer, classes, inner).unwrap();
                let rows =
                    compact.with_pitch(compact.pitch() + padding).unwrap().with_offset(offset).unwrap();
                let data = ramp((skipped + rows.extent() + 9) as usize);
                let logits = storage(gpu, &data, STORAGE);
                let options = Options::default().kernel(kernel);
                for op in Op::ROW_WISE {
                    let written = compact.result(op);
                    let result_rows =
                        written.with_pitch(written.pitch() + 2).unwrap().with_offset(offset + 1).unwrap();
                    let result =
                        storage(gpu, &vec![7.0; (skipped + result_rows.extent() + 4) as usize], STORAGE);
                    let prepared = gpu.prepare_into_rows(
                        op,
                        &rows,
                        logits.slice(4 * skipped..),
                        &result_rows,
                        result.slice(4 * skipped..),
                        &options,
                    );
                    let prepared = match prepared {
                        Ok(prepared) => prepared,
                        Err(Error::KernelUnsuitable { .. }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    submit(gpu, &prepared);
                    check_padded(op, &data, &contents(gpu, &result), skipped, &rows, &result_rows, 7.0);

                    if op != Op::LogSumExp {
                        let overwritten = storage(gpu, &data, STORAGE);
                        let range = overwritten.slice(4 * skipped..);
                        submit(gpu, &gpu.prepare_in_place(op, &rows, range, &options).unwrap());
                        let after = contents(gpu, &overwritten);
                        let mut untouched = after.clone();
                        for (place, _) in places(&rows) {
                            untouched[(skipped + place) as usize] = data[(skipped + place) as usize];
                        }
                        assert_eq!(untouched, data, "{kernel} {op} in place");
                        check_padded(op, &data, &after, skipped, &rows, &rows, f32::NAN);
                    }
                }
            }
        }
    }
}

fn submit(gpu: &Gpu, prepared: &wgpu_softmax::Prepared) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    prepared.record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

/// Where each element of `rows` lies, beside its place in the compact array.
fn places(rows: &Rows) -> impl Iterator<Item = (u64, usize)> {
    let (slab, rows) = (rows.classes() * rows.inner(), *rows);
    (0..rows.elements())
        .map(move |place| (rows.offset() + place / slab * rows.pitch() + place % slab, place as usize))
}

fn check_padded(
    op: Op,
    data: &[f32],
    result: &[f32],
    skipped: u64,
    rows: &Rows,
    result_rows: &Rows,
    filler: f32,
) {
    let compact = Rows::new(rows.outer(), rows.classes(), rows.inner()).unwrap();
    let logits: Vec<f64> = places(rows).map(|(place, _)| data[(skipped + place) as usize].into()).collect();
    let truth = reference::compute(op, &logits, &compact, &Options::default());
    let mut untouched = result.to_vec();
    for (place, index) in places(result_rows) {
        let place = (skipped + place) as usize;
        assert_relative_eq!(f64::from(result[place]), truth[index], max_relative = 1e-5, epsilon = 1e-6);
        untouched[place] = filler;
    }
    assert!(
        filler.is_nan() || untouched.iter().all(|&value| value == filler),
        "{op}: something between the rows changed"
    );
}

#[test]
fn tokio_like_waiting_does_not_need_the_callers_thread() {
    let Some(gpu) = gpu() else { return };
    // Eight futures polled in turns by one thread: none of them may wait for the device inside a poll
    // and every one of them has to be woken.
    let logits = ramp(4000);
    let expected = gpu.softmax_blocking(&logits, &[4, 1000], -1).unwrap();
    let mut running: Vec<_> = (0..8).map(|_| Box::pin(gpu.softmax(&logits, &[4, 1000], -1))).collect();
    let mut finished = 0;
    pollster::block_on(std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                assert_eq!(result.unwrap(), expected);
                finished += 1;
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    }));
    assert_eq!(finished, 8);
}

#[test]
fn futures_travel_between_threads_and_may_be_dropped() {
    fn travels<T: Send>(value: T) -> T {
        value
    }
    let Some(gpu) = gpu() else { return };
    let logits = ramp(4000);
    for _ in 0..4 {
        let mut dropped = travels(Box::pin(gpu.softmax(&logits, &[4, 1000], -1)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = std::future::Future::poll(dropped.as_mut(), &mut context);
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (gpu, logits) = (gpu.clone(), logits.clone());
            std::thread::spawn(move || gpu.softmax_blocking(&logits, &[4, 1000], -1).unwrap())
        })
        .collect();
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn mistakes_are_errors_that_say_what_to_do() {
    let Some(gpu) = gpu() else { return };
    let options = Options::default();
    let says = |error: Error, part: &str| assert!(error.to_string().contains(part), "{error}");

    says(gpu.softmax_blocking(&BATCH, &[2, 3], 2).unwrap_err(), "axis 2 is out of range");
    let error = gpu.softmax_blocking(&BATCH, &[2, 4], 1).unwrap_err();
    assert_eq!(error, Error::LengthMismatch { what: "the logits' slice", expected: 8, actual: 6 });
    let error =
        gpu.compute_into_blocking(Op::LogSumExp, &BATCH, &[2, 3], 1, &options, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error, Error::LengthMismatch { what: "the result's slice", expected: 2, actual: 3 });
    says(gpu.softmax_blocking(&BATCH, &[usize::MAX, 3], 1).unwrap_err(), "64-bit");
    let error = gpu.softmax_blocking(&[1.0f64, 2.0], &[2], 0).unwrap_err();
    assert!(matches!(error, Error::UnsupportedDtype { dtype: Dtype::F64, .. }));
    says(error, "convert the logits to f32");
    let error = gpu.softmax_blocking(&[1.0f32; 1 << 10], &[1 << 40, 1 << 10], 1).unwrap_err();
    assert!(matches!(error, Error::LengthMismatch { .. }));

    let tensor = gpu.upload(&[0.0; 24], &[2, 3, 4]).unwrap();
    says(tensor.compute(Op::Softmax, [0, 2], &options).unwrap_err(), "not adjacent");
    says(gpu.upload(&BATCH, &[7]).unwrap_err(), "7 are needed");
    says(gpu.empty(&[1 << 40]).unwrap_err(), "one tensor needs");
    let other = Gpu::named_blocking(&gpu.info().name).unwrap();
    let foreign = other.empty(&[2, 3, 4]).unwrap();
    assert_eq!(tensor.compute_into(Op::Softmax, -1, &options, &foreign), Err(Error::ForeignTensor));
    let small = gpu.empty(&[2, 3]).unwrap();
    assert!(matches!(
        tensor.compute_into(Op::Softmax, -1, &options, &small),
        Err(Error::LengthMismatch { .. })
    ));
    assert_eq!(tensor.compute_into(Op::Softmax, -1, &options, &tensor), Err(Error::SameBuffer));
    assert!(matches!(tensor.read_into_blocking(&mut [0.0; 3]), Err(Error::LengthMismatch { .. })));
    let in_place = tensor.compute_in_place(Op::LogSumExp, -1, &options);
    assert!(matches!(in_place, Err(Error::NotInPlace { op: Op::LogSumExp })));
}

#[test]
fn buffers_that_do_not_serve_are_errors() {
    let Some(gpu) = gpu() else { return };
    let rows = Rows::batch(2, 3).unwrap();
    let options = Options::default();
    let good = storage(gpu, &BATCH, STORAGE);
    let prepare = |logits: wgpu::BufferSlice<'_>, result: wgpu::BufferSlice<'_>| {
        gpu.prepare(Op::Softmax, &rows, logits, result, &options).map(|_| ()).unwrap_err()
    };
    assert_eq!(prepare(good.slice(..12), good.slice(12..)), Error::SameBuffer);
    let other = storage(gpu, &BATCH, STORAGE);
    let error = prepare(good.slice(..20), other.slice(..));
    assert_eq!(error, Error::BufferTooSmall { what: "logits", needed: 24, actual: 20 });
    let error = prepare(good.slice(..), other.slice(8..));
    assert_eq!(error, Error::BufferTooSmall { what: "result", needed: 24, actual: 16 });
    let error = prepare(good.slice(2..), other.slice(..));
    assert_eq!(error, Error::BufferMisaligned { what: "logits", offset: 2, alignment: 4 });
    let unusable = storage(gpu, &BATCH, BufferUsages::COPY_SRC);
    let error = prepare(good.slice(..), unusable.slice(..));
    assert_eq!(error, Error::BufferUsage { what: "result", usage: "STORAGE" });
    let unreadable = storage(gpu, &BATCH, BufferUsages::STORAGE);
    let error = gpu.tensor(unreadable.slice(..), &[6]).unwrap().read_blocking().unwrap_err();
    assert_eq!(error, Error::BufferUsage { what: "tensor's", usage: "COPY_SRC" });
    // A buffer of another device's: wgpu's own word, as an error and not as a panic.
    let stranger = Gpu::named_blocking(&gpu.info().name).unwrap();
    let foreign = storage(&stranger, &BATCH, STORAGE);
    let error = prepare(good.slice(..), foreign.slice(..));
    assert!(matches!(error, Error::Device { .. }), "{error}");
    assert!(!error.to_string().contains('\n'));

    let result_rows = Rows::batch(3, 2).unwrap();
    let error = gpu
        .prepare_into_rows(Op::Softmax, &rows, good.slice(..), &result_rows, other.slice(..), &options)
        .unwrap_err();
    assert!(matches!(error, Error::ResultRowsMismatch { .. }));
}

#[test]
fn a_mistake_of_the_callers_is_told_once() {
    let Some(gpu) = gpu() else { return };
    let gpu = Gpu::named_blocking(&gpu.info().name).unwrap();
    // One place twice; nobody's error scope is around it.
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
        count: None,
    };
    let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry, entry] };
    drop(gpu.device().create_bind_group_layout(&descriptor));
    assert!(matches!(gpu.softmax_blocking(&BATCH, &[2, 3], 1), Err(Error::Device { .. })));
    expect(&gpu.softmax_blocking(&BATCH, &[2, 3], 1).unwrap(), &ALONG_1);
}

#[test]
fn a_device_that_is_not_there() {
    let Some(gpu) = gpu() else { return };
    let error = Gpu::named_blocking("no such adapter").unwrap_err();
    assert!(error.to_string().contains(&gpu.info().name), "{error} lists what there is");
    let error = Device::Named("no such adapter".into()).open_blocking().unwrap_err();
    assert!(matches!(error, Error::AdapterNotFound { .. }));
}

#[test]
fn devices_compute_where_they_say() {
    let Some(gpu) = gpu() else { return };
    let cpu = Device::Cpu.open_blocking().unwrap();
    assert!(!cpu.uses_gpu(Dtype::F32) && cpu.gpu().is_none());
    let named = Device::Named(gpu.info().name[..4].to_lowercase()).open_blocking().unwrap();
    assert!(named.uses_gpu(Dtype::F32) && named.uses_gpu(Dtype::F64));
    assert!(matches!(named.softmax_blocking(&[1.0f64], &[1], 0), Err(Error::UnsupportedDtype { .. })));
    let auto = Device::Auto.open_blocking().unwrap();
    assert_eq!(auto.uses_gpu(Dtype::F32), !gpu.capabilities().software);
    assert!(!auto.uses_gpu(Dtype::F64));
    for engine in [cpu, auto] {
        expect(&engine.softmax_blocking(&BATCH, &[2, 3], 1).unwrap(), &ALONG_1);
        let wide = engine.softmax_blocking(&[6.0f64, 3.0], &[2], 0).unwrap();
        assert_relative_eq!(wide[0], 0.952_574_126_822_433_2, max_relative = 1e-15);
        assert!(!engine.why(Dtype::F32).is_empty());
    }
}

#[test]
fn a_lost_device_is_an_error_from_then_on() {
    let Some(gpu) = gpu() else { return };
    let doomed = Gpu::named_blocking(&gpu.info().name).unwrap();
    let tensor: Tensor = doomed.upload(&BATCH, &[2, 3]).unwrap();
    doomed.device().destroy();
    for _ in 0..2 {
        let error = doomed.softmax_blocking(&BATCH, &[2, 3], 1).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        let error = tensor.read_blocking().unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
    expect(&gpu.softmax_blocking(&BATCH, &[2, 3], 1).unwrap(), &ALONG_1);
}
