//! What fuzzers call, and tests with the corpora of `fuzz/`: properties that hold whatever the bytes are.
//!
//! Only there for tests and under `cfg(fuzzing)`, which cargo-fuzz sets. Each panics where its property does not hold.

use crate::kernels::Role;
use crate::plan::Job;
use crate::{Capabilities, Cpu, Dtype, Error, Kernel, Op, Options, Output, Plan, Request, Rows};

#[cfg(test)]
#[path = "../fuzz/mutate.rs"]
mod mutate;

/// Elements up to which each is counted by itself.
const COUNTED_ONE_BY_ONE: u64 = 1 << 12;

/// Numbers out of bytes: small ones as often as large ones.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    fn next(&mut self) -> u64 {
        let bits = u32::from(self.byte()) % 65;
        let number = (0..bits.div_ceil(8)).fold(0u64, |number, _| number << 8 | u64::from(self.byte()));
        number.checked_shr((64 - bits).min(bits.div_ceil(8) * 8 - bits)).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

/// Whatever the shape, the operation and the device's limits are: a plan whose windows cover every element of the
/// result exactly once, within every limit; or an error.
pub fn planner(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let op = numbers.one_of(&[&Op::ALL[..], &[Op::CrossEntropy, Op::CrossEntropyGradient]].concat());
    let dtype = numbers.one_of(&[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64]);
    let kernel = numbers.one_of(&[&[None; 5][..], &Kernel::ROW_WISE.map(Some)].concat());
    let [outer, classes, inner] = [numbers.next(), numbers.next(), numbers.next()];
    let [padding, offset] = [numbers.next(), numbers.next()];
    let mut capabilities =
        Capabilities::of("fuzzed", &wgpu::Limits::defaults(), None, numbers.byte() % 2 == 0);
    capabilities.subgroup_lanes = numbers.one_of(&[None, Some(1), Some(4), Some(8), Some(32), Some(128)]);
    capabilities.binding_bytes = numbers.next();
    capabilities.buffer_bytes = capabilities.binding_bytes.saturating_add(numbers.next());
    capabilities.binding_alignment = numbers.one_of(&[16, 32, 64, 256]);
    capabilities.max_workgroups = numbers.one_of(&[1, 2, 8, 255, 65_535, u32::MAX]);
    capabilities.max_invocations = numbers.one_of(&[1, 16, 128, 256, 1024]);
    capabilities.workgroup_bytes = numbers.one_of(&[16 << 10, 0, 1 << 10, 32 << 10]);
    capabilities.storage_buffers = numbers.one_of(&[1, 4, 8, 16]);
    capabilities.dispatch_elements = numbers.next();

    let rows = Rows::new(outer, classes, inner)
        .and_then(|rows| rows.with_pitch(rows.pitch().saturating_add(padding)))
        .and_then(|rows| rows.with_offset(offset));
    let Ok(rows) = rows else { return };
    let result = rows.result(op);
    let options = Options { kernel, ..Options::default() };
    let job = Job::plain(op, dtype, &rows, &result, &options);
    let plan = match Plan::of(job, &capabilities) {
        Ok(plan) => plan,
        Err(
            Error::UnsupportedDtype { .. }
            | Error::KernelUnsuitable { .. }
            | Error::LimitExceeded { .. }
            | Error::SizeOverflow { .. },
        ) => return,
        Err(error) => panic!("{error}"),
    };
    assert!(!plan.to_string().is_empty());
    assert!(plan.partial_bytes <= capabilities.binding_bytes);
    covers_the_result(&plan, &capabilities, dtype);
}

/// Every element of the result by one dispatch, within what a binding covers.
fn covers_the_result(plan: &Plan, capabilities: &Capabilities, dtype: Dtype) {
    let Job { op, result, rows, .. } = &plan.job;
    let mut seen = 0u64;
    let few = result.elements() <= COUNTED_ONE_BY_ONE && result.outer() * result.pitch() <= 1 << 20;
    let mut counted = vec![0u8; if few { (result.outer() * result.pitch()) as usize } else { 0 }];
    for dispatch in &plan.dispatches {
        let told = &dispatch.parameters;
        assert!(dispatch.grid.iter().all(|&side| (1..=capabilities.max_workgroups).contains(&side)));
        for range in [&dispatch.logits, &dispatch.result] {
            let bytes = (range.end - range.start) * dtype.bytes();
            assert!(bytes <= capabilities.binding_bytes, "{range:?} of {plan}");
        }
        if plan.stages[dispatch.stage].entry.role == Role::Statistics || *op == Op::CrossEntropy {
            continue;
        }
        let stretch = match op.output() {
            Output::PerElement => u64::from(told.end_class - told.first_class),
            Output::PerRow => 1,
            Output::TwoPerRow => 2,
            Output::PerPair => u64::from(told.end_class - told.first_class) * u64::from(told.classes),
        };
        seen += u64::from(told.slabs) * u64::from(told.columns) * stretch;
        if !few {
            continue;
        }
        // What lies between two values of a row.
        let step = if op.output() == Output::PerPair { 1 } else { rows.inner() };
        for slab in 0..u64::from(told.slabs) {
            for column in 0..u64::from(told.columns) {
                for value in 0..stretch {
                    let place =
                        dispatch.result.start + slab * u64::from(told.result_pitch) + value * step + column;
                    assert!(dispatch.result.contains(&place), "{place} of {plan}");
                    counted[place as usize] += 1;
                }
            }
        }
    }
    if *op != Op::CrossEntropy && rows.count() > 0 {
        assert_eq!(seen, result.elements(), "{plan}");
    }
    assert!(counted.iter().all(|&times| times <= 1), "{plan}");
}

/// Whatever the bits of the logits are: the CPU's answer keeps its bounds of the textbook's, and special values are
/// the same.
pub fn cpu(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let op = numbers.one_of(&Op::ROW_WISE);
    let (classes, inner) = (usize::from(numbers.byte()) + 1, usize::from(numbers.byte()) % 5 + 1);
    let mut logits: Vec<f32> = numbers
        .0
        .chunks_exact(4)
        .map(|bits| f32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]))
        .collect();
    logits.truncate(logits.len() / (classes * inner) * classes * inner);
    let shape = [logits.len() / (classes * inner), classes, inner];
    let answer = Cpu::new().answer::<f32>(&Request::new(op, &logits, &shape, 1)).unwrap_or_default();

    let exact: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
    let rows = Rows::new(shape[0] as u64, classes as u64, inner as u64).unwrap_or(Rows::batch(0, 1).unwrap());
    let expected = crate::reference::compute(op, &exact, &rows, &Options::default());
    assert_eq!(answer.len(), expected.len());
    let (unit, least) = (2f64.powi(-24), 2f64.powi(-126));
    for (place, (&value, &expected)) in answer.iter().zip(&expected).enumerate() {
        let greatest = || {
            let (slab, column) = (place / inner * classes * inner, place % inner);
            let row = (0..classes).map(|class| exact[slab + class * inner + column].abs());
            row.fold(0.0, |most: f64, x| if x.is_finite() { most.max(x) } else { most })
        };
        let bound = match op {
            Op::Softmax => 16.0 * unit * expected + least,
            Op::LogSoftmax => 8.0 * unit * expected.abs().max(1.0) + least,
            _ => 4.0 * unit * (greatest() + expected.abs()) + least,
        };
        let agree = value.is_nan() && expected.is_nan()
            || value == expected as f32
            || (f64::from(value) - expected).abs() <= bound;
        assert!(agree, "{op} of {shape:?} at {place}: {value} for {expected}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn corpus(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
    }

    #[test]
    fn plans_for_strangers() {
        mutate::run(&corpus("planner"), planner);
    }

    #[test]
    fn logits_of_strangers() {
        mutate::run(&corpus("cpu"), cpu);
    }

    /// The check of coverage finds a window that is missing, and one that comes twice.
    #[test]
    fn wrong_plans_are_found() {
        let mut capabilities = Capabilities::webgpu_defaults();
        capabilities.binding_bytes = 2000;
        let rows = Rows::batch(20, 100).unwrap();
        let mut plan = Plan::new(Op::Softmax, Dtype::F32, &rows, &Options::default(), &capabilities).unwrap();
        covers_the_result(&plan, &capabilities, Dtype::F32);
        let is_found = |plan: Plan| {
            std::panic::catch_unwind(|| {
                covers_the_result(&plan, &Capabilities::webgpu_defaults(), Dtype::F32)
            })
            .is_err()
        };
        let window = plan.dispatches.pop().unwrap();
        assert!(is_found(plan.clone()));
        let first = plan.dispatches[0].clone();
        plan.dispatches.push(first);
        assert!(is_found(plan.clone()));
        plan.dispatches.pop();
        plan.dispatches.push(window);
        assert!(!is_found(plan));
    }
}
