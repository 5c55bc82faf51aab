//! From WGSL to what each driver's compiler gets, by naga, with the options that wgpu-hal passes for the modules and
//! pipelines that the library makes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess};
use wgpu_softmax::ShaderText;

/// Whether naga puts checks of indices, loops and divisors into what it writes.
///
/// Trusted modules have none, and are what the library makes; `Capabilities::checked_shaders` has it make the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    Trusted,
    Checked,
}

/// A shader whose `override` constants have their values.
pub struct Resolved {
    module: Module,
    info: ModuleInfo,
    entry_point: String,
    checks: Checks,
}

/// A text in a driver's language, and what its entry point is called there.
pub struct Translation {
    pub entry_point: String,
    pub source: String,
}

impl Resolved {
    /// Parses and validates a text, as wgpu does before anything else.
    pub fn of(text: &ShaderText, subgroups: bool, checks: Checks) -> Result<Resolved> {
        let module = naga::front::wgsl::parse_str(&text.source)
            .map_err(|error| anyhow!("{}", error.emit_to_string(&text.source)))?;
        let capabilities = if subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .validate(&module)
            .map_err(|error| anyhow!("{}", error.emit_to_string(&text.source)))?;
        let constants = text.constants.iter().map(|&(name, value)| (name.to_string(), value)).collect();
        let entry_point = Some((ShaderStage::Compute, text.entry_point));
        let (module, info) = process_overrides(&module, &info, entry_point, &constants)?;
        let (module, info) = (module.into_owned(), info.into_owned());
        Ok(Resolved { module, info, entry_point: text.entry_point.to_string(), checks })
    }

    fn checked(&self) -> bool {
        self.checks == Checks::Checked
    }

    fn bounds_checks(&self) -> BoundsCheckPolicies {
        let policy = if self.checked() { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        }
    }

    /// Every binding with its address space, in the order in which wgpu hands out registers.
    fn bindings(&self) -> BTreeMap<ResourceBinding, AddressSpace> {
        let variables = self.module.global_variables.iter();
        variables.filter_map(|(_, variable)| Some((variable.binding?, variable.space))).collect()
    }

    /// SPIR-V of a version, for a device that has subgroups or one that has not.
    pub fn spirv(&self, version: (u8, u8), subgroups: bool) -> Result<Vec<u32>> {
        let mut capabilities = vec![spv::Capability::Shader, spv::Capability::Matrix];
        if subgroups {
            capabilities.extend([
                spv::Capability::GroupNonUniform,
                spv::Capability::GroupNonUniformVote,
                spv::Capability::GroupNonUniformArithmetic,
                spv::Capability::GroupNonUniformBallot,
                spv::Capability::GroupNonUniformShuffle,
                spv::Capability::GroupNonUniformShuffleRelative,
                spv::Capability::GroupNonUniformQuad,
            ]);
        }
        let options = spv::Options {
            lang_version: version,
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            capabilities: Some(capabilities.into_iter().collect()),
            bounds_check_policies: self.bounds_checks(),
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: self.checked(),
            emit_int_div_checks: self.checked(),
            ..spv::Options::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: self.entry_point.clone(),
        };
        spv::write_vec(&self.module, &self.info, &options, Some(&pipeline)).context("naga writes no SPIR-V")
    }

    /// HLSL of a shader model.
    pub fn hlsl(&self, shader_model: hlsl::ShaderModel) -> Result<Translation> {
        // A register of its kind for each binding, and one for the constants that stand for `num_workgroups`.
        let mut binding_map = hlsl::BindingMap::new();
        let (mut uniforms, mut read, mut written) = (0, 0, 0);
        for (binding, space) in self.bindings() {
            let register = match space {
                AddressSpace::Uniform => &mut uniforms,
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => &mut written,
                _ => &mut read,
            };
            let target = hlsl::BindTarget {
                register: *register,
                restrict_indexing: true,
                ..hlsl::BindTarget::default()
            };
            binding_map.insert(binding, target);
            *register += 1;
        }
        let special = hlsl::BindTarget { register: uniforms, ..hlsl::BindTarget::default() };
        let options = hlsl::Options {
            shader_model,
            binding_map,
            fake_missing_bindings: false,
            special_constants_binding: Some(special),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: self.checked(),
            force_loop_bounding: self.checked(),
            ..hlsl::Options::default()
        };
        let pipeline =
            hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, self.entry_point.clone())) };
        let mut source = String::new();
        let mut names = hlsl::Writer::new(&mut source, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .context("naga writes no HLSL")?
            .entry_point_names;
        let name = names.pop().context("naga writes no entry point")?;
        Ok(Translation { entry_point: name.map_err(|error| anyhow!("{error}"))?, source })
    }

    /// The Metal Shading Language.
    pub fn msl(&self) -> Result<Translation> {
        let mut resources = msl::EntryPointResources::default();
        for (slot, (binding, space)) in self.bindings().into_iter().enumerate() {
            let mutable =
                matches!(space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
            let slot = u8::try_from(slot)?;
            resources
                .resources
                .insert(binding, msl::BindTarget { buffer: Some(slot), mutable, ..Default::default() });
        }
        resources.sizes_buffer = Some(u8::try_from(resources.resources.len())?);
        let options = msl::Options {
            lang_version: (2, 4),
            per_entry_point_map: [(self.entry_point.clone(), resources)].into_iter().collect(),
            fake_missing_bindings: false,
            bounds_check_policies: self.bounds_checks(),
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: self.checked(),
            emit_int_div_checks: self.checked(),
            ..msl::Options::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, self.entry_point.clone())),
            ..msl::PipelineOptions::default()
        };
        let (source, mut names) =
            msl::write_string(&self.module, &self.info, &options, &pipeline).context("naga writes no MSL")?;
        let name = names.entry_point_names.pop().context("naga writes no entry point")?;
        Ok(Translation { entry_point: name.map_err(|error| anyhow!("{error}"))?, source })
    }
}
