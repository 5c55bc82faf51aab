//! What a plan has to know of a device, as plain numbers: plans are made and tested without one.

use std::sync::Arc;

use crate::{AdapterKey, Tuning};

/// A device as the plan sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Capabilities {
    /// The device's name, for messages.
    pub name: String,
    /// Bytes that one storage binding may cover.
    pub binding_bytes: u64,
    /// Bytes that one buffer may have.
    pub buffer_bytes: u64,
    /// What the start of a storage binding must be a multiple of, in bytes.
    pub binding_alignment: u64,
    /// What the start of a uniform binding must be a multiple of, in bytes.
    pub uniform_alignment: u64,
    /// Elements that one dispatch should take at most, of the logits or of the result, whichever are more: some tenth
    /// of a second for the slowest kernels on devices of this class, so that no desktop's watchdog ends them. Rows,
    /// Jacobians and slabs of columns of more are cut, which does not show in their bits.
    pub dispatch_elements: u64,
    /// Workgroups in one dimension of a grid.
    pub max_workgroups: u32,
    /// Invocations in a workgroup.
    pub max_invocations: u32,
    /// Bytes of memory that the invocations of a workgroup may share.
    pub workgroup_bytes: u64,
    /// Storage buffers that one shader may have.
    pub storage_buffers: u32,
    /// Lanes of the smallest subgroup, where there are subgroup operations.
    pub subgroup_lanes: Option<u32>,
    /// Whether there are subgroup operations that gave other answers than workgroup memory when the context was made,
    /// so that nothing relies on them.
    pub subgroups_lie: bool,
    /// Whether the adapter computes on the CPU.
    pub software: bool,
    /// Whether the host writes into the very buffers that shaders read, and reads those that they write, where the
    /// one-call functions send and bring home: on integrated and software adapters, whose memory is the host's, and only
    /// on devices that a context has made itself.
    pub maps_buffers: bool,
    /// Whether the device's compiler has to be kept from rearranging the exponential.
    pub hide_intermediates: bool,
    /// Whether shaders keep the driver's checks of indices, loops and divisions, which they do not need: for
    /// holding them against those without.
    pub checked_shaders: bool,
    /// Which adapter and driver it is; `None` where these are the capabilities of no adapter.
    pub adapter: Option<AdapterKey>,
    /// What was measured on an adapter, for plans that ask for it by [`Options::tuned`](crate::Options::tuned).
    pub tuning: Option<Arc<Tuning>>,
}

/// What a device of a class gets through in about a tenth of a second: kernels move some eight bytes for an element, and
/// the slowest are reckoned at 0.7 GB/s where the CPU computes, at 5 GB/s of integrated and unknown GPUs and at 40 GB/s
/// of discrete ones.
pub(crate) fn dispatch_elements(class: wgpu::DeviceType) -> u64 {
    match class {
        wgpu::DeviceType::Cpu => 1 << 23,
        wgpu::DeviceType::DiscreteGpu => 1 << 29,
        _ => 1 << 26,
    }
}

impl Capabilities {
    /// What every WebGPU implementation grants: the device that plans are explained for where there is none.
    ///
    /// ```
    /// use wgpu_softmax::Capabilities;
    /// assert_eq!(Capabilities::webgpu_defaults().binding_bytes, 128 << 20);
    /// ```
    pub fn webgpu_defaults() -> Self {
        Capabilities::of("WebGPU's default limits", &wgpu::Limits::defaults(), None, false)
    }

    /// The capabilities of a device with these limits.
    pub fn of(name: &str, limits: &wgpu::Limits, subgroup_lanes: Option<u32>, software: bool) -> Self {
        Capabilities {
            name: name.to_string(),
            binding_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            buffer_bytes: limits.max_buffer_size,
            // Four words are loaded as a whole, wherever a binding starts.
            binding_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(16),
            dispatch_elements: dispatch_elements(match software {
                true => wgpu::DeviceType::Cpu,
                false => wgpu::DeviceType::Other,
            }),
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment).max(16),
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_invocations: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            workgroup_bytes: u64::from(limits.max_compute_workgroup_storage_size),
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            subgroup_lanes: None,
            subgroups_lie: false,
            software,
            maps_buffers: false,
            hide_intermediates: false,
            checked_shaders: false,
            adapter: None,
            tuning: None,
        }
        .with_subgroups_of(subgroup_lanes)
    }

    /// The same with subgroups of so many lanes at least, or without, where kernels can use none such.
    pub(crate) fn with_subgroups_of(self, lanes: Option<u32>) -> Self {
        let subgroup_lanes = lanes.filter(|lanes| lanes.is_power_of_two());
        Capabilities { subgroup_lanes, subgroups_lie: false, ..self }
    }

    /// The same without subgroups, which were found to lie.
    pub(crate) fn without_lying_subgroups(self) -> Self {
        Capabilities { subgroup_lanes: None, subgroups_lie: true, ..self }
    }

    /// Elements of `bytes` each that one binding covers wherever it starts, in 32-bit indices.
    pub(crate) fn binding_elements(&self, bytes: u64) -> u64 {
        let most = self.binding_bytes.min(u64::from(u32::MAX));
        most.saturating_sub(self.binding_alignment) / bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subgroups_that_lie_are_none() {
        let capabilities = Capabilities::of("", &wgpu::Limits::defaults(), Some(8), false);
        let without = capabilities.clone().without_lying_subgroups();
        assert!(without.subgroups_lie && without.subgroup_lanes.is_none());
        assert_eq!(without.with_subgroups_of(Some(8)), capabilities);
    }

    #[test]
    fn subgroups_that_no_kernel_can_use_are_none() {
        let capabilities = Capabilities::of("", &wgpu::Limits::defaults(), None, false);
        assert_eq!(capabilities.clone().with_subgroups_of(Some(0)), capabilities);
        assert_eq!(capabilities.clone().with_subgroups_of(Some(12)), capabilities);
    }
}
