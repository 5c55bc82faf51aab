//! Devices that grant less: each limit alone as low as WebGPU has it, each feature alone absent. The answers keep their
//! bounds, whatever kernels are left to find them.

mod common;

use common::device::{Processor, gpu, own_device};
use common::question::Question;
use common::rows_of_interest::Character;
use common::stored::Stored;
use wgpu_softmax::{Dtype, Error, Gpu, Op, wgpu};

/// Short rows, a long one that is split, columns and an operand: all kernels but the Jacobian's.
const QUESTIONS: [(Op, Dtype, &[usize], usize); 4] = [
    (Op::Softmax, Dtype::F32, &[40, 33], 1),
    (Op::LogSoftmax, Dtype::F32, &[1, 40_003], 1),
    (Op::LogSumExp, Dtype::F32, &[3, 301, 5], 1),
    (Op::Vjp, Dtype::F16, &[3, 2049], 1),
];

/// A limit, what it is lowered to, and where it is found.
type Lowered = (&'static str, u64, fn(&mut wgpu::Limits) -> Limit<'_>);

enum Limit<'a> {
    Of32Bits(&'a mut u32),
    Of64Bits(&'a mut u64),
}

impl Limit<'_> {
    fn get(&self) -> u64 {
        match self {
            Limit::Of32Bits(limit) => u64::from(**limit),
            Limit::Of64Bits(limit) => **limit,
        }
    }

    fn set(self, value: u64) {
        match self {
            Limit::Of32Bits(limit) => *limit = value as u32,
            Limit::Of64Bits(limit) => *limit = value,
        }
    }
}

/// WebGPU's defaults, and below them its compatibility mode's.
const LOWERED: [Lowered; 12] = [
    ("invocations", 256, |limits| Limit::Of32Bits(&mut limits.max_compute_invocations_per_workgroup)),
    ("invocations", 128, |limits| Limit::Of32Bits(&mut limits.max_compute_invocations_per_workgroup)),
    ("workgroup width", 256, |limits| Limit::Of32Bits(&mut limits.max_compute_workgroup_size_x)),
    ("workgroup width", 128, |limits| Limit::Of32Bits(&mut limits.max_compute_workgroup_size_x)),
    ("workgroup memory", 16_384, |limits| Limit::Of32Bits(&mut limits.max_compute_workgroup_storage_size)),
    ("workgroups", 65_535, |limits| Limit::Of32Bits(&mut limits.max_compute_workgroups_per_dimension)),
    ("storage buffers", 8, |limits| Limit::Of32Bits(&mut limits.max_storage_buffers_per_shader_stage)),
    ("storage buffers", 4, |limits| Limit::Of32Bits(&mut limits.max_storage_buffers_per_shader_stage)),
    ("uniform binding", 16 << 10, |limits| Limit::Of64Bits(&mut limits.max_uniform_buffer_binding_size)),
    ("storage binding", 128 << 20, |limits| Limit::Of64Bits(&mut limits.max_storage_buffer_binding_size)),
    ("buffer", 256 << 20, |limits| Limit::Of64Bits(&mut limits.max_buffer_size)),
    ("bind groups", 4, |limits| Limit::Of32Bits(&mut limits.max_bind_groups)),
];

/// Has a device with these limits and features answer all questions.
#[track_caller]
fn judged(what: &str, features: wgpu::Features, limits: wgpu::Limits) -> Gpu {
    let adapter = &gpu().unwrap().info().name;
    let (device, queue) =
        own_device(adapter, features, limits).unwrap_or_else(|| panic!("{what}: no device"));
    let context = Gpu::from_device_blocking(device, queue).unwrap_or_else(|error| panic!("{what}: {error}"));
    let processor = Processor::Gpu(context.clone());
    for (op, dtype, shape, axis) in QUESTIONS {
        let logits = Stored::row(dtype, Character::Normal, shape.iter().product(), 5);
        let question = Question::of_logits(op, logits, shape, axis);
        let answer = question.ask(&processor).unwrap_or_else(|error| panic!("{what}: {op}: {error}"));
        if let Err(fault) = question.judge(&answer) {
            panic!("{what}: {fault}");
        }
    }
    context
}

#[test]
fn each_limit_lowered() {
    let Some(gpu) = gpu() else { return };
    let mut everything = gpu.device().limits();
    for (name, value, of) in LOWERED {
        let offered = of(&mut everything).get();
        if offered < value {
            // Nothing to lower: the adapter itself has less, and so have all other tests.
            continue;
        }
        let mut limits = everything.clone();
        of(&mut limits).set(value);
        let context = judged(&format!("{name} of {value}"), gpu.device().features(), limits);
        assert_eq!(of(&mut context.device().limits()).get(), value, "{name} is lowered");
    }
}

#[test]
fn each_feature_absent() {
    let Some(gpu) = gpu() else { return };
    let (limits, features) = (gpu.device().limits(), gpu.device().features());
    for feature in [wgpu::Features::SUBGROUP, wgpu::Features::TIMESTAMP_QUERY] {
        let context = judged(&format!("without {feature:?}"), features - feature, limits.clone());
        assert!(!context.device().features().contains(feature), "{feature:?} is absent");
    }
    // The crate asks for no device of its own with f16, so that it is absent everywhere else.
    assert!(!features.contains(wgpu::Features::SHADER_F16));
    if own_device(&gpu.info().name, wgpu::Features::SHADER_F16, limits.clone()).is_some() {
        judged("with f16", features | wgpu::Features::SHADER_F16, limits);
    }
}

/// What a browser's page tells of a device that wgpu does not tell of.
#[test]
fn subgroups_that_are_told_of() {
    let Some(gpu) = gpu() else { return };
    let Some(lanes) = gpu.capabilities().subgroup_lanes else { return };
    let (limits, features) = (gpu.device().limits(), gpu.device().features());
    let told = |context: &Gpu, lanes| pollster::block_on(context.with_subgroups(lanes));

    let context = judged("with subgroups", features, limits.clone());
    let mut capabilities = context.capabilities().clone();
    capabilities.subgroup_lanes = None;
    assert_eq!(
        told(&context.planning_with(capabilities), lanes).unwrap().capabilities(),
        context.capabilities()
    );
    // Groups that no subgroup of this adapter can be are found out.
    let too_many = told(&context, 2 * gpu.info().subgroup_max_size).unwrap();
    assert!(too_many.capabilities().subgroups_lie && too_many.capabilities().subgroup_lanes.is_none());

    let context = judged("without subgroups", features - wgpu::Features::SUBGROUP, limits);
    let error = told(&context, lanes).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert!(context.softmax_blocking(&[6.0_f32, 3.0], &[2], -1).is_ok(), "the context is what it was");
}
