//! Choosing where to run: a named device, or whichever serves best.

use std::time::Duration;

use crate::gpu::{adapter_named, best_adapter};
use crate::held_device::PATIENCE;
use crate::wait::Waiting;
use crate::{Cpu, Dtype, Gpu, Result, Tuning};

/// Where to compute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// A discrete or integrated GPU; the CPU where the only adapter is a software one or there is none,
    /// for element types that GPUs do not have, and for calls that exhaust the GPU's memory.
    #[default]
    Auto,
    /// The best adapter, a software one if there is no other.
    Gpu,
    /// The native CPU path.
    Cpu,
    /// The first adapter whose name contains this, in any case of letters.
    Named(String),
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// For a device asked for by kind or name: [`Error::NoAdapter`](crate::Error::NoAdapter),
    /// [`AdapterNotFound`](crate::Error::AdapterNotFound) and
    /// [`DeviceRefused`](crate::Error::DeviceRefused). [`Device::Auto`] and [`Device::Cpu`] always open.
    pub async fn open(&self) -> Result<Engine> {
        self.open_within(PATIENCE).await
    }

    /// [`Device::open`], blocking.
    ///
    /// # Errors
    /// As [`Device::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_blocking(&self) -> Result<Engine> {
        self.open_within_blocking(PATIENCE)
    }

    /// Opens the device, and lets every wait for it take at most `limit`, as [`Gpu::wait_at_most`] does: from the
    /// first one on, which is part of opening it.
    ///
    /// # Errors
    /// As [`Device::open`], and [`Error::Timeout`](crate::Error::Timeout).
    pub async fn open_within(&self, limit: Duration) -> Result<Engine> {
        self.open_waiting(Waiting::default(), limit).await
    }

    /// [`Device::open_within`], blocking.
    ///
    /// # Errors
    /// As [`Device::open_within`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_within_blocking(&self, limit: Duration) -> Result<Engine> {
        pollster::block_on(self.open_waiting(Waiting::Here, limit))
    }

    async fn open_waiting(&self, waiting: Waiting, limit: Duration) -> Result<Engine> {
        Ok(match self {
            Device::Cpu => Engine::on_cpu("it was asked for"),
            Device::Gpu => Engine::new(
                Open::Gpu(Gpu::open(&best_adapter().await?, waiting, limit).await?),
                "it is the best adapter",
            ),
            Device::Named(name) => {
                let gpu = Gpu::open(&adapter_named(name).await?, waiting, limit).await?;
                Engine::new(Open::Gpu(gpu), "it was asked for by name")
            }
            Device::Auto => match best_adapter().await {
                Ok(adapter) if adapter.get_info().device_type == wgpu::DeviceType::Cpu => {
                    // Browsers keep names to themselves.
                    let only = match adapter.get_info().name.as_str() {
                        "" => "the only adapter".to_owned(),
                        name => format!("the only adapter, {name},"),
                    };
                    Engine::on_cpu(format!("{only} computes on the CPU itself"))
                }
                Ok(adapter) => match Gpu::open(&adapter, waiting, limit).await {
                    Ok(gpu) => Engine::new(Open::Either(gpu, Cpu::new()), "it is the best adapter"),
                    Err(error) => Engine::on_cpu(error.to_string()),
                },
                Err(_) => Engine::on_cpu("there is no GPU adapter"),
            },
        })
    }
}

/// An open device, or the pair of GPU and CPU behind [`Device::Auto`].
///
/// ```
/// use wgpu_softmax::Device;
/// let engine = Device::Auto.open_blocking()?;
/// let p = engine.softmax_blocking(&[6.0_f32, 3.0], &[2], -1)?;
/// approx::assert_relative_eq!(p[0], 0.95257413, max_relative = 1e-6);
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    open: Open,
    why: String,
}

#[derive(Debug, Clone)]
enum Open {
    Gpu(Gpu),
    Cpu(Cpu),
    /// The GPU for what it computes, the CPU for the rest.
    Either(Gpu, Cpu),
}

/// Which of the two computes.
pub(crate) enum Choice<'a> {
    Gpu(&'a Gpu),
    Cpu(&'a Cpu),
    /// The CPU where the GPU's memory is exhausted.
    GpuThenCpu(&'a Gpu, &'a Cpu),
}

impl Engine {
    fn new(open: Open, why: impl Into<String>) -> Self {
        Engine { open, why: why.into() }
    }

    fn on_cpu(why: impl Into<String>) -> Self {
        Engine::new(Open::Cpu(Cpu::new()), why)
    }

    pub(crate) fn choice_for(&self, dtype: Dtype) -> Choice<'_> {
        match &self.open {
            Open::Cpu(cpu) => Choice::Cpu(cpu),
            Open::Either(_, cpu) if dtype == Dtype::F64 => Choice::Cpu(cpu),
            Open::Gpu(gpu) => Choice::Gpu(gpu),
            Open::Either(gpu, cpu) => Choice::GpuThenCpu(gpu, cpu),
        }
    }

    /// The GPU, where one was opened.
    pub fn gpu(&self) -> Option<&Gpu> {
        match &self.open {
            Open::Gpu(gpu) | Open::Either(gpu, _) => Some(gpu),
            Open::Cpu(_) => None,
        }
    }

    /// The same engine with a table for its GPU, as [`Gpu::with_tuning`]; unchanged where it has none.
    pub fn with_tuning(mut self, table: Tuning) -> Engine {
        if let Open::Gpu(gpu) | Open::Either(gpu, _) = &mut self.open {
            *gpu = gpu.with_tuning(table);
        }
        self
    }

    /// The same engine with subgroups for its GPU, as [`Gpu::with_subgroups`]; unchanged where it has none.
    ///
    /// # Errors
    /// As [`Gpu::with_subgroups`].
    pub async fn with_subgroups(mut self, lanes: u32) -> Result<Engine> {
        if let Open::Gpu(gpu) | Open::Either(gpu, _) = &mut self.open {
            *gpu = gpu.with_subgroups(lanes).await?;
        }
        Ok(self)
    }

    /// Whether elements of this type are computed on the GPU.
    pub fn uses_gpu(&self, dtype: Dtype) -> bool {
        !matches!(self.choice_for(dtype), Choice::Cpu(_))
    }

    /// The name of what computes elements of this type.
    pub fn name(&self, dtype: Dtype) -> String {
        match self.choice_for(dtype) {
            Choice::Gpu(gpu) | Choice::GpuThenCpu(gpu, _) => gpu.info().name.clone(),
            Choice::Cpu(cpu) => cpu.name(),
        }
    }

    /// Why that one, for elements of this type.
    pub fn why(&self, dtype: Dtype) -> String {
        match &self.open {
            Open::Either(..) if !self.uses_gpu(dtype) => format!("GPUs do not compute in {dtype}"),
            _ => self.why.clone(),
        }
    }
}
