//! Passes that only move memory: every word arrives, nothing else is touched, and what cannot be moved is an error.

mod common;

use common::device::{gpu, plain_gpu};
use wgpu_softmax::wgpu::{self, BufferUsages};
use wgpu_softmax::{Error, Gpu, MemoryPass};

fn words(gpu: &Gpu, count: usize) -> wgpu::Buffer {
    let numbers: Vec<f32> = (0..count).map(|word| f32::from_bits(word as u32 * 3 + 1)).collect();
    gpu.upload(&numbers, &[count]).unwrap().buffer().clone()
}

fn run(gpu: &Gpu, pass: &MemoryPass) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    pass.record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
    gpu.wait_blocking().unwrap();
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<u32> {
    let count = buffer.size() as usize / 4;
    let numbers = gpu.tensor(buffer.slice(..), &[count]).unwrap().read_blocking().unwrap();
    numbers.into_iter().map(f32::to_bits).collect()
}

/// Contexts whose passes are one dispatch, and several over a folded grid.
fn contexts() -> Vec<Gpu> {
    let Some(gpu) = gpu() else { return Vec::new() };
    let mut narrow = gpu.capabilities().clone();
    (narrow.binding_bytes, narrow.max_workgroups) = (48 << 10, 2);
    let mut contexts = vec![gpu.clone(), gpu.planning_with(narrow)];
    contexts.extend(plain_gpu().cloned());
    contexts
}

#[test]
fn every_word_is_copied_and_nothing_else() {
    for gpu in contexts() {
        for count in [4, 8, 100, 4096, 4100, 50_000] {
            let (from, to) = (words(&gpu, count), gpu.empty(&[count + 64]).unwrap().buffer().clone());
            let copy = gpu.prepare_copy(from.slice(..), to.slice(256..)).unwrap();
            let moved = (count / 4 * 4).min(count);
            assert_eq!(copy.bytes(), 8 * moved as u64);
            run(&gpu, &copy);
            let (expected, found) = (read(&gpu, &from), read(&gpu, &to));
            assert_eq!(found[64..64 + moved], expected[..moved], "{count}");
            assert!(found[..64].iter().chain(&found[64 + moved..]).all(|&word| word == 0), "{count}");
        }
    }
}

#[test]
fn every_word_is_filled_and_nothing_else() {
    for gpu in contexts() {
        for count in [4, 100, 4096, 4104, 50_000] {
            let to = words(&gpu, count + 64);
            let untouched = read(&gpu, &to);
            let fill = gpu.prepare_fill(to.slice(256..)).unwrap();
            assert_eq!(fill.bytes(), 4 * count as u64);
            run(&gpu, &fill);
            let found = read(&gpu, &to);
            assert_eq!(found[..64], untouched[..64]);
            // A workgroup fills in its own number.
            assert!(found[64..].iter().all(|&word| word < 50), "{count}");
        }
    }
}

#[test]
fn every_word_is_read() {
    for gpu in contexts() {
        for count in [4, 100, 8192, 8196, 50_000] {
            let from = words(&gpu, count);
            let marks = gpu.empty(&[8192]).unwrap().buffer().clone();
            let pass = gpu.prepare_read(from.slice(..), marks.slice(..)).unwrap();
            run(&gpu, &pass);
            // All that was read, in one word.
            let combined = |words: &[u32]| words.iter().fold(0, |all, word| all ^ word);
            assert_eq!(combined(&read(&gpu, &marks)), combined(&read(&gpu, &from)), "{count}");
        }
    }
}

#[test]
fn what_cannot_be_moved() {
    let Some(gpu) = gpu() else { return };
    let (one, other) = (words(gpu, 1024), words(gpu, 1024));
    let refused = |outcome: Result<MemoryPass, Error>| outcome.unwrap_err();
    let same = refused(gpu.prepare_copy(one.slice(..512), one.slice(512..)));
    assert_eq!(same, Error::SameBuffer);
    let same = refused(gpu.prepare_read(one.slice(..512), one.slice(512..)));
    assert_eq!(same, Error::SameBuffer);
    assert!(matches!(
        refused(gpu.prepare_copy(one.slice(..), other.slice(4..))),
        Error::BufferMisaligned { offset: 4, .. }
    ));
    assert!(matches!(refused(gpu.prepare_fill(one.slice(..12))), Error::BufferTooSmall { needed: 16, .. }));
    assert!(matches!(
        refused(gpu.prepare_read(one.slice(..), other.slice(..256))),
        Error::BufferTooSmall { actual: 256, .. }
    ));
    let usage = BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 4096, usage, mapped_at_creation: false };
    let no_storage = gpu.device().create_buffer(&descriptor);
    let refusal = refused(gpu.prepare_fill(no_storage.slice(..)));
    assert!(matches!(refusal, Error::BufferUsage { usage: "STORAGE", .. }), "{refusal}");
}
