//! The pipelines of one device, each built when it is first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::assemble::{Dialect, Shader};
use crate::kernels::{Geometry, Role};

/// Pipelines by the text and the constants of their shader.
#[derive(Default)]
pub(crate) struct Pipelines {
    made: Mutex<HashMap<(String, Geometry), Arc<Pipeline>>>,
}

/// A pipeline with the layout of its bindings.
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) bindings: wgpu::BindGroupLayout,
}

/// The place of each buffer in every shader's bindings.
pub(crate) mod binding {
    pub(crate) const PARAMETERS: u32 = 0;
    pub(crate) const LOGITS: u32 = 1;
    pub(crate) const RESULT: u32 = 2;
    pub(crate) const PARTIALS: u32 = 3;
}

impl Pipelines {
    /// The pipeline of `shader` on `device`.
    pub(crate) fn of(&self, device: &wgpu::Device, shader: &Shader) -> Arc<Pipeline> {
        let key = (shader.name(), shader.geometry);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(key).or_insert_with(|| Arc::new(Pipeline::new(device, shader))))
    }
}

/// Which bindings beside the parameters a shader uses, in the order of their places.
pub(crate) fn storage_bindings(shader: &Shader) -> Vec<u32> {
    let role = shader.entry.role;
    [
        (binding::LOGITS, true),
        (binding::RESULT, role != Role::Statistics && !shader.in_place),
        (binding::PARTIALS, matches!(role, Role::Statistics | Role::Write)),
    ]
    .into_iter()
    .filter_map(|(place, used)| used.then_some(place))
    .collect()
}

impl Pipeline {
    fn new(device: &wgpu::Device, shader: &Shader) -> Self {
        let name = shader.name();
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(binding::PARAMETERS, wgpu::BufferBindingType::Uniform)];
        entries.extend(storage_bindings(shader).into_iter().map(|place| {
            let read_only = place == binding::LOGITS && !shader.in_place;
            entry(place, wgpu::BufferBindingType::Storage { read_only })
        }));
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&name),
            entries: &entries,
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&name),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let dialect = if cfg!(target_arch = "wasm32") { Dialect::Browser } else { Dialect::Native };
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(shader.source(dialect).into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(shader.entry.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &shader.constants(),
                // Every shader writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { pipeline, bindings }
    }
}
