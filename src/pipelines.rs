//! The pipelines of one device, each built when it is first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::assemble::{Dialect, Pairs, Shader};
use crate::gpu::scoped;
use crate::held_device::Trouble;
use crate::kernels::{Geometry, Role};
use crate::locked::locked;
#[cfg(not(target_arch = "wasm32"))]
use crate::pipeline_file::PipelineFile;
use crate::{Op, Result};

/// What tells pipelines apart: the text and the constants of their shader.
type Key = (String, Geometry, Pairs);

/// Pipelines by the text and the constants of their shader.
pub(crate) struct Pipelines {
    checked: bool,
    made: Mutex<HashMap<Key, Arc<Pipeline>>>,
    #[cfg(not(target_arch = "wasm32"))]
    file: std::sync::OnceLock<PipelineFile>,
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
    /// Or labels.
    pub(crate) const OPERAND: u32 = 4;
    pub(crate) const MASK: u32 = 5;
    pub(crate) const CLASS_WEIGHTS: u32 = 6;
    pub(crate) const PER_ROW: u32 = 7;
    pub(crate) const ADDITIVE_MASK: u32 = 8;
    pub(crate) const ROW_VALUES: u32 = 9;
    pub(crate) const TALLY: u32 = 10;
}

impl Pipelines {
    /// None yet; `checked` says whether drivers are to add checks to the shaders.
    pub(crate) fn new(checked: bool) -> Self {
        Pipelines {
            checked,
            made: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            file: std::sync::OnceLock::new(),
        }
    }

    /// The pipeline of `shader` on `device`. One that the device had no memory for is not kept.
    pub(crate) fn of(
        &self,
        device: &wgpu::Device,
        trouble: &Trouble,
        shader: &Shader,
    ) -> Result<Arc<Pipeline>> {
        let key = (shader.name(), shader.geometry, shader.pairs);
        let mut made = locked(&self.made);
        if let Some(pipeline) = made.get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let (pipeline, reported) = scoped(device, trouble, || {
            Ok(Arc::new(Pipeline::new(device, shader, self.checked, self.cache())))
        });
        let pipeline = reported.map_or(pipeline, Err)?;
        Ok(Arc::clone(made.entry(key).or_insert(pipeline)))
    }

    /// What the device builds pipelines with, where that is kept on disk.
    fn cache(&self) -> Option<&wgpu::PipelineCache> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.file.get().map(|file| &file.cache);
        #[cfg(target_arch = "wasm32")]
        return None;
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn file(&self) -> Option<&PipelineFile> {
        self.file.get()
    }

    /// Builds pipelines with the help of a file, unless there is one already.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn keep_in(&self, file: PipelineFile) -> bool {
        self.file.set(file).is_ok()
    }
}

/// Which bindings beside the parameters a shader uses, in the order of their places.
pub(crate) fn storage_bindings(shader: &Shader) -> Vec<u32> {
    let role = shader.entry.role;
    match role {
        Role::Labels if shader.class_weights => {
            return vec![binding::OPERAND, binding::CLASS_WEIGHTS, binding::TALLY];
        }
        Role::Labels => return vec![binding::OPERAND, binding::TALLY],
        Role::RowValues => return vec![binding::ROW_VALUES, binding::TALLY],
        Role::Copy | Role::Load | Role::Shuffles => return vec![binding::LOGITS, binding::RESULT],
        Role::Fill => return vec![binding::RESULT],
        _ => {}
    }
    let (works, loss) = (role != Role::Check, shader.op.is_loss());
    let writes = role != Role::Statistics;
    let adjusted = shader.adjusted.unwrap_or_default();
    [
        (binding::LOGITS, true),
        (binding::RESULT, writes && !shader.in_place && shader.op != Op::CrossEntropy),
        (binding::PARTIALS, matches!(role, Role::Statistics | Role::Write)),
        (binding::OPERAND, works && (shader.dtypes.operand.is_some() || loss)),
        (binding::MASK, adjusted.mask),
        (binding::CLASS_WEIGHTS, works && shader.class_weights),
        (binding::PER_ROW, adjusted.per_row),
        (binding::ADDITIVE_MASK, adjusted.additive_mask),
        (binding::ROW_VALUES, works && writes && shader.row_values),
        (binding::TALLY, works && writes && shader.tallied),
    ]
    .into_iter()
    .filter_map(|(place, used)| used.then_some(place))
    .collect()
}

impl Pipeline {
    fn new(
        device: &wgpu::Device,
        shader: &Shader,
        checked: bool,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Self {
        let name = shader.name();
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = Vec::new();
        if !shader.entry.role.stands_alone() {
            entries.push(entry(binding::PARAMETERS, wgpu::BufferBindingType::Uniform));
        }
        entries.extend(storage_bindings(shader).into_iter().map(|place| {
            let read_only = match place {
                binding::LOGITS => !shader.in_place,
                binding::RESULT | binding::PARTIALS | binding::ROW_VALUES => false,
                binding::TALLY => !matches!(shader.entry.role, Role::Labels | Role::RowValues),
                _ => true,
            };
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
        let text = wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(shader.source(dialect).into()),
        };
        let checks = match checked {
            true => wgpu::ShaderRuntimeChecks::checked(),
            false => wgpu::ShaderRuntimeChecks::unchecked(),
        };
        // SAFETY: the text is made of this crate's own parts alone, and of them holds:
        // Indices. Whoever binds buffers to this pipeline has asked `reach::check` whether the dispatch stays
        // within them. Arrays of workgroup memory and of lanes have a length that is an override or a constant,
        // which is also what their loops count to, or which `reach::check` has found to be no less (the classes that are
        // kept of a row); a column's lanes sit where its tile has room for all of them.
        // Loops. Each counts with a fixed step that is not 0 (lanes of a workgroup, chunks, a constant), or
        // halves or doubles a distance, towards a bound that stays: a length of the plan's, below 2³² by more
        // than a step.
        // Divisors. They are overrides, numbers of a plan, which keeps them above 0 (`Plan::of`), and what fits into
        // a tile, at least one column of one slab. None is signed.
        // Each context of `Capabilities::checked_shaders` keeps all the checks, and a test holds the bits of the
        // two kinds against each other.
        let module = unsafe { device.create_shader_module_trusted(text, checks) };
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
            cache,
        });
        Pipeline { pipeline, bindings }
    }
}
