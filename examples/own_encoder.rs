//! Bringing your own wgpu device and encoder: softmax as one step among steps of your own.
//!
//!     cargo run --release --example own_encoder

use wgpu_softmax::wgpu::{self, BufferUsages};
use wgpu_softmax::{Gpu, Op, Options, Rows};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A device as your program has it already: no features, default limits.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    let (rows, classes) = (4096u64, 1000u64);
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: rows * classes * 4,
            usage,
            mapped_at_creation: false,
        })
    };
    let logits = buffer(BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let probabilities = buffer(BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let staging = buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    let data: Vec<f32> = (0..rows * classes).map(|place| (place as f32 * 0.37).sin() * 8.0).collect();
    queue.write_buffer(&logits, 0, bytemuck::cast_slice(&data));

    // Prepared once, for these buffers; recorded wherever it is wanted.
    let gpu = Gpu::from_device_blocking(device.clone(), queue.clone())?;
    let softmax = gpu.prepare(
        Op::Softmax,
        &Rows::batch(rows, classes)?,
        logits.slice(..),
        probabilities.slice(..),
        &Options::default(),
    )?;
    println!("{}", softmax.plan());

    let mut encoder = device.create_command_encoder(&Default::default());
    softmax.record(&mut encoder);
    encoder.copy_buffer_to_buffer(&probabilities, 0, &staging, 0, staging.size());
    queue.submit([encoder.finish()]);

    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the staging buffer is mappable"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let view = staging.get_mapped_range(..)?;
    let first: &[f32] = &bytemuck::cast_slice(&view)[..classes as usize];
    println!("the first row sums to {}", first.iter().sum::<f32>());
    Ok(())
}
