//! One context for many threads and executors, many contexts one after the other, and all that belongs to one dropped
//! in every order.

mod common;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use common::device::{gpu, own_device};
use wgpu_softmax::{Adjustment, CrossEntropy, Gpu, Op, Options, Request, Rows, wgpu};

const THREADS: usize = 32;
const CALLS: usize = 200;

fn logits(rows: usize, classes: usize) -> Vec<f32> {
    (0..rows * classes).map(|place| ((place * 7919 + 13) % 10_007) as f32 * 3e-3 - 15.0).collect()
}

/// The `number`-th of the calls that are mixed: shapes, axes, operations and levels.
fn call(gpu: &Gpu, number: usize) -> Vec<u32> {
    let (rows, classes) = [(3, 5), (1, 1000), (40, 33), (7, 256), (2, 2049)][number % 5];
    let logits = logits(rows, classes);
    let shape = [rows, classes];
    let op = [Op::Softmax, Op::LogSoftmax, Op::LogSumExp][number % 3];
    let options = Options::default();
    let result: Vec<f32> = match number % 7 {
        0 | 1 => gpu.compute_blocking(op, &logits, &shape, -1, &options),
        2 => pollster::block_on(gpu.compute(op, &logits, &shape, 0, &options)),
        3 => gpu.upload(&logits, &shape).and_then(|tensor| tensor.compute(op, -1, &options)?.read_blocking()),
        4 => pollster::block_on(async {
            gpu.upload(&logits, &shape)?.compute_in_place(Op::Softmax, -1, &options)?.read().await
        }),
        5 => {
            let adjustment = Adjustment::default().temperature(0.7);
            gpu.answer_blocking(&Request::new(op, &logits, &shape, -1).adjustment(adjustment))
        }
        _ => {
            let labels: Vec<i64> = (0..rows).map(|row| (row % classes) as i64).collect();
            let loss = CrossEntropy::new(&logits, &shape, -1, &labels[..]).with_gradient();
            gpu.cross_entropy_blocking(&loss).map(|answer| answer.gradient.unwrap_or_default())
        }
    }
    .unwrap();
    result.into_iter().map(f32::to_bits).collect()
}

#[test]
fn many_threads_get_what_one_gets() {
    let Some(gpu) = gpu() else { return };
    // 5 · 3 · 7 different ones.
    let expected: Vec<_> = (0..105).map(|number| call(gpu, number)).collect();
    assert!(expected[0] != expected[5], "the comparison has something to compare");
    thread::scope(|scope| {
        for first in 0..THREADS {
            let expected = &expected;
            scope.spawn(move || {
                for number in (0..CALLS).map(|turn| (first * 37 + turn * 11) % 105) {
                    assert!(call(gpu, number) == expected[number], "call {number} on thread {first}");
                }
            });
        }
    });
}

#[test]
fn a_call_from_inside_tokio() {
    let Some(gpu) = gpu() else { return };
    let logits = logits(40, 33);
    let expected = gpu.softmax_blocking(&logits, &[40, 33], -1).unwrap();
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for runtime in [one, many] {
        runtime.block_on(async {
            // Awaited in a task of its own, blocking in the middle of another, and dropped half way.
            let spawned = tokio::spawn({
                let (gpu, logits) = (gpu.clone(), logits.clone());
                async move { gpu.softmax(&logits, &[40, 33], -1).await }
            });
            assert_eq!(gpu.softmax_blocking(&logits, &[40, 33], -1).unwrap(), expected);
            assert_eq!(spawned.await.unwrap().unwrap(), expected);
            let dropped = tokio::spawn({
                let (gpu, logits) = (gpu.clone(), logits.clone());
                async move { gpu.softmax(&logits, &[40, 33], -1).await }
            });
            tokio::task::yield_now().await;
            dropped.abort();
            assert_eq!(gpu.softmax(&logits, &[40, 33], -1).await.unwrap(), expected);
        });
    }
}

#[test]
fn every_order_of_dropping() {
    let Some(gpu) = gpu() else { return };
    let name = gpu.info().name.clone();
    let (rows, options) = (Rows::batch(3, 5).unwrap(), Options::default());
    for order in 0..24 {
        let borrowed = order % 2 == 1;
        let owner =
            borrowed.then(|| own_device(&name, wgpu::Features::empty(), wgpu::Limits::default()).unwrap());
        let context = match &owner {
            Some((device, queue)) => Gpu::from_device_blocking(device.clone(), queue.clone()).unwrap(),
            None => Gpu::named_blocking(&name).unwrap(),
        };
        let other = context.planning_with(context.capabilities().clone());
        let tensor = context.upload(&logits(3, 5), &[3, 5]).unwrap();
        let result = other.empty(&[3, 5]).unwrap();
        let prepared = context
            .prepare(Op::Softmax, &rows, tensor.buffer().slice(..), result.buffer().slice(..), &options)
            .unwrap();
        let mut encoder = context.device().create_command_encoder(&Default::default());
        prepared.record(&mut encoder);
        context.queue().submit([encoder.finish()]);
        // A future half way, which holds on to nothing but its arguments.
        let data = logits(3, 5);
        let mut future = Box::pin(other.softmax(&data, &[3, 5], -1));
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = future.as_mut().poll(&mut waker);
        drop(future);
        let mut all: Vec<Box<dyn std::any::Any>> = vec![
            Box::new(context),
            Box::new(other),
            Box::new(tensor),
            Box::new(result),
            Box::new(prepared),
            Box::new(owner),
        ];
        // Another one first each time, and the rest from either end.
        all.rotate_left(order / 2 % 6);
        if order >= 12 {
            all.reverse();
        }
        all.into_iter().for_each(drop);
    }
    assert_eq!(call(gpu, 1), call(gpu, 1));
}

/// What the owner of a borrowed device has recorded, submitted, mapped or asked to be told goes on as if nobody else
/// used his queue.
#[test]
fn the_owners_work_goes_on() {
    let Some(gpu) = gpu() else { return };
    let (device, queue) =
        own_device(&gpu.info().name, wgpu::Features::empty(), wgpu::Limits::default()).unwrap();
    let context = Gpu::from_device_blocking(device.clone(), queue.clone()).unwrap();
    let buffer = |usage, mapped_at_creation| {
        let descriptor = wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation };
        device.create_buffer(&descriptor)
    };
    let source = buffer(wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST, false);
    let [submitted, recorded] =
        [(); 2].map(|()| buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ, false));
    let mapped = buffer(wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::MAP_WRITE, true);
    let copy = |from: &wgpu::Buffer, to: &wgpu::Buffer| {
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, 256);
        encoder
    };

    // Before the call: submitted and on its way, recorded and not submitted, written without a submission, mapped, and
    // a scope that is open.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    queue.write_buffer(&source, 0, &[1; 256]);
    let done = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&done);
    queue.submit([copy(&source, &submitted).finish()]);
    queue.on_submitted_work_done(move || _ = told.fetch_add(1, Ordering::Relaxed));
    let half_recorded = copy(&source, &recorded);
    queue.write_buffer(&source, 0, &[2; 256]);
    mapped.slice(..).get_mapped_range_mut().unwrap().slice(..).copy_from_slice(&[3; 256]);

    for number in 0..7 {
        call(&context, number);
    }

    // After it: what was recorded sees what was written, and what was mapped still is.
    assert!(mapped.slice(..).get_mapped_range_mut().is_ok(), "the owner's buffer has been unmapped");
    mapped.unmap();
    queue.submit([half_recorded.finish()]);
    let from_mapped = buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ, false);
    queue.submit([copy(&mapped, &from_mapped).finish()]);
    for (buffer, expected) in [(&submitted, 1u8), (&recorded, 2), (&from_mapped, 3)] {
        buffer.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let bytes = buffer.get_mapped_range(..).unwrap();
        assert!(bytes.iter().all(|&byte| byte == expected), "{expected}: {:?}", &bytes[..8]);
    }
    assert_eq!(done.load(Ordering::Relaxed), 1, "told once that its work is done");
    assert!(pollster::block_on(scope.pop()).is_none(), "the owner's scope has caught what was not his");
    call(&context, 0);
}
