//! Opening the device that was asked for, with the reason in words.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use wgpu_softmax::{Device, Dtype, Engine, Error};

use crate::failure::{Failure, Outcome};
use crate::output::shown;
use crate::tables;

/// A device that is ready, for elements of one type.
#[derive(Debug)]
pub struct Chosen {
    pub engine: Engine,
    pub identity: Identity,
}

/// What reports say of a device.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    pub name: String,
    /// `gpu` or `cpu`.
    pub kind: &'static str,
    /// The graphics interface, for a GPU.
    pub backend: Option<String>,
    /// Why this one.
    pub why: String,
    /// The file of the table that chooses its kernels, where that is asked for.
    pub table: Option<String>,
}

impl Chosen {
    /// Lets the GPU build its pipelines with the help of a file, where one is named.
    pub fn keep_pipelines(&self, file: Option<&Path>) {
        if let (Some(gpu), Some(file)) = (self.engine.gpu(), file) {
            gpu.keep_pipelines_in(file);
        }
    }

    /// Writes to the file what the GPU has built since.
    ///
    /// # Errors
    /// What the file system has against it.
    pub fn save_pipelines(&self, file: Option<&Path>) -> Outcome {
        let (Some(gpu), Some(file)) = (self.engine.gpu(), file) else { return Ok(()) };
        gpu.save_pipelines().map(drop).map_err(|error| Failure::writing(&shown(file), &error))
    }

    /// The same device with the table that was measured on it, for elements of type `dtype`.
    ///
    /// # Errors
    /// Where there is no such table, and on the CPU.
    pub fn tuned(self, dtype: Dtype) -> Outcome<Chosen> {
        let Chosen { engine, mut identity } = self;
        let gpu = engine.gpu().filter(|_| engine.uses_gpu(dtype));
        let Some(adapter) = gpu.and_then(|gpu| gpu.capabilities().adapter.clone()) else {
            return Err(Failure::Usage(format!(
                "--tuned is about an adapter's kernels, and this would run on {}, because {}: name an adapter by \
                 --device, or leave --tuned out",
                identity.name, identity.why
            )));
        };
        let stored = tables::load(&adapter)?;
        identity.table = Some(shown(&stored.path));
        Ok(Chosen { engine: engine.with_tuning(stored.table), identity })
    }
}

/// Opens the device for elements of type `dtype`; an error where it is missing or does not compute in it. Nothing
/// that it is asked may take longer than `timeout`.
pub fn open(device: &Device, dtype: Dtype, timeout: Duration) -> wgpu_softmax::Result<Chosen> {
    // No GPU has to be woken up to learn that none computes in f64.
    if *device == Device::Auto && dtype == Dtype::F64 {
        let mut chosen = describe(Device::Cpu.open_blocking()?, dtype);
        chosen.identity.why = "GPUs do not compute in f64".into();
        return Ok(chosen);
    }
    let chosen = describe(device.open_within_blocking(timeout)?, dtype);
    if chosen.engine.uses_gpu(dtype) && dtype == Dtype::F64 {
        return Err(Error::UnsupportedDtype { dtype, device: chosen.identity.name });
    }
    Ok(chosen)
}

fn describe(engine: Engine, dtype: Dtype) -> Chosen {
    let uses_gpu = engine.uses_gpu(dtype);
    let backend = engine.gpu().filter(|_| uses_gpu).map(|gpu| gpu.info().backend.to_str().to_string());
    let identity = Identity {
        name: engine.name(dtype),
        kind: if uses_gpu { "gpu" } else { "cpu" },
        backend,
        why: engine.why(dtype),
        table: None,
    };
    Chosen { engine, identity }
}
