//! The devices that tests run on. Without an adapter a test returns early, unless `REQUIRE_GPU` is set:
//! then that is a failure.

use std::sync::OnceLock;
use std::time::Duration;

use wgpu_softmax::{Cpu, CrossEntropy, Element, Gpu, LossMemory, LossTotals, Losses, Request, Result, wgpu};

/// What the same questions are put to.
pub enum Processor {
    Cpu(Cpu),
    Gpu(Gpu),
}

/// The CPU and every GPU context.
pub fn devices() -> Vec<Processor> {
    let gpus = [gpu(), plain_gpu()].into_iter().flatten().cloned().map(Processor::Gpu);
    std::iter::once(Processor::Cpu(Cpu::new())).chain(gpus).collect()
}

impl Processor {
    pub fn name(&self) -> String {
        match self {
            Processor::Cpu(cpu) => cpu.name(),
            Processor::Gpu(gpu) => gpu.info().name.clone(),
        }
    }

    pub fn computes_f64(&self) -> bool {
        matches!(self, Processor::Cpu(_))
    }

    pub fn answer<R: Element>(&self, request: &Request<'_>) -> Result<Vec<R>> {
        match self {
            Processor::Cpu(cpu) => cpu.answer(request),
            Processor::Gpu(gpu) => gpu.answer_blocking(request),
        }
    }

    pub fn cross_entropy<R: Element>(&self, loss: &CrossEntropy<'_>) -> Result<Losses<R>> {
        match self {
            Processor::Cpu(cpu) => cpu.cross_entropy(loss),
            Processor::Gpu(gpu) => gpu.cross_entropy_blocking(loss),
        }
    }

    pub fn cross_entropy_into<R: Element>(
        &self,
        loss: &CrossEntropy<'_>,
        memory: LossMemory<'_, R>,
    ) -> Result<LossTotals> {
        match self {
            Processor::Cpu(cpu) => cpu.cross_entropy_into(loss, memory),
            Processor::Gpu(gpu) => gpu.cross_entropy_into_blocking(loss, memory),
        }
    }
}

/// The best adapter, with all it offers.
pub fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| or_skip(Gpu::new_blocking().ok()).map(patient)).as_ref()
}

/// The same adapter, without subgroup operations and with no more than WebGPU's default limits; planned for as if it
/// were no software adapter.
pub fn plain_gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        let adapter = gpu()?.info().name.clone();
        let plain = or_skip(device(&adapter, wgpu::Features::empty(), wgpu::Limits::default()))?;
        Some(as_hardware(&patient(plain)))
    })
    .as_ref()
}

/// A context that plans as if the adapter did not compute on the CPU.
pub fn as_hardware(gpu: &Gpu) -> Gpu {
    let mut capabilities = gpu.capabilities().clone();
    capabilities.software = false;
    gpu.planning_with(capabilities)
}

/// A device of the caller's own making, borrowed by a context.
pub fn device(adapter: &str, features: wgpu::Features, limits: wgpu::Limits) -> Option<Gpu> {
    let (device, queue) = own_device(adapter, features, limits)?;
    Gpu::from_device_blocking(device, queue).ok()
}

/// A device and its queue, made as a program with a device of its own would.
pub fn own_device(
    adapter: &str,
    features: wgpu::Features,
    limits: wgpu::Limits,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let adapters =
        pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|found| found.get_info().name == adapter)?;
    let limits = limits.using_alignment(adapter.limits());
    let descriptor =
        wgpu::DeviceDescriptor { required_features: features, required_limits: limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).ok()
}

/// Tests wait for one another on one queue, on machines that have other things to do.
fn patient(gpu: Gpu) -> Gpu {
    gpu.wait_at_most(Duration::from_secs(600));
    gpu
}

fn or_skip<T>(found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set, and there is no adapter");
        eprintln!("skipped: there is no adapter");
    }
    found
}
