//! The same loops compiled for several instruction sets, and the choice between them.
//!
//! A [`Task`] is inlined into a function for which more instructions are enabled. What is made of vectors uses those
//! of the [`Machine`] it is given; of plain loops the compiler makes vectors by itself. All machines that fuse
//! products with sums give the same bits.

use super::vectors::{self, Vector};

/// A piece of work whose loops should be compiled for the best instructions there are.
pub trait Task {
    type Output;

    /// Does it. To be `#[inline(always)]`, as everything with a loop in it that this calls.
    fn run<M: Machine>(self, machine: M) -> Self::Output;
}

/// Proof that there are certain instructions.
///
/// Sealed: it lives in a private module.
pub trait Machine: Copy {
    /// Whether a product and a sum are one instruction, and round once.
    const FUSED: bool;
    /// Whether a few short rows are faster with a lane for each than side by side in the lanes, which are then joined. As it
    /// was measured.
    const TRANSPOSES: bool;
    /// Sixteen f32.
    type F32: Vector<Number = f32, Machine = Self>;
    /// Sixteen f64.
    type F64: Vector<Number = f64, Machine = Self>;

    /// Runs a task as a function of its own, which the compiler may or may not inline.
    fn call<K: Task>(self, task: K) -> K::Output;

    /// Asks for the cache line of a place that will be read soon. The place need not be one that may be read.
    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: every x86-64 has the instruction, which only hints, and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = place;
    }

    /// Waits until what was [streamed](Vector::stream) is seen by other threads as ordinary stores are.
    #[inline(always)]
    fn finish_streams(self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 has the instruction.
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}

/// What every machine of the target has: SSE2, NEON, or what the wasm module was built with.
#[derive(Debug, Clone, Copy)]
pub struct Baseline;

impl Machine for Baseline {
    const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    const TRANSPOSES: bool = true;
    type F32 = vectors::baseline::F32x16;
    type F64 = vectors::baseline::F64x16;

    #[inline]
    fn call<K: Task>(self, task: K) -> K::Output {
        run_with_baseline(task, self)
    }
}

/// AVX2 and FMA. Made only where the machine has said that it has both.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Machine for Avx2 {
    const FUSED: bool = true;
    const TRANSPOSES: bool = true;
    type F32 = vectors::avx2::F32x16;
    type F64 = vectors::avx2::F64x16;

    #[inline]
    fn call<K: Task>(self, task: K) -> K::Output {
        // SAFETY: this proves that the machine has AVX2 and FMA.
        unsafe { run_with_avx2(task, self) }
    }
}

/// FMA and the four parts of AVX-512 that all but the first machines have. Made only where the machine has said so.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Machine for Avx512 {
    const FUSED: bool = true;
    const TRANSPOSES: bool = false;
    type F32 = vectors::avx512::F32x16;
    type F64 = vectors::avx512::F64x16;

    #[inline]
    fn call<K: Task>(self, task: K) -> K::Output {
        // SAFETY: this proves that the machine has all of it.
        unsafe { run_with_avx512(task, self) }
    }
}

/// Instructions that the machine is known to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstructionSet(Kind);

// Private, so that a value of `InstructionSet` proves that the machine was asked.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Baseline(Baseline),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl InstructionSet {
    /// The widest that this machine has. The standard library asks the machine once.
    pub(super) fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(set) = Self::avx512().or_else(Self::avx2) {
                return set;
            }
        }
        InstructionSet(Kind::Baseline(Baseline))
    }

    /// Every one that this machine has, so that tests can hold their results against each other.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let baseline = InstructionSet(Kind::Baseline(Baseline));
        #[cfg(target_arch = "x86_64")]
        return [Some(baseline), Self::avx2(), Self::avx512()].into_iter().flatten().collect();
        #[cfg(not(target_arch = "x86_64"))]
        return vec![baseline];
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"))
            .then_some(InstructionSet(Kind::Avx2(Avx2(()))))
    }

    #[cfg(target_arch = "x86_64")]
    fn avx512() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl"))
        .then_some(InstructionSet(Kind::Avx512(Avx512(()))))
    }

    /// Whether products and sums are fused.
    #[cfg(test)]
    pub(super) fn fuses(self) -> bool {
        match self.0 {
            Kind::Baseline(_) => Baseline::FUSED,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => Avx2::FUSED,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => Avx512::FUSED,
        }
    }

    /// Runs a task with these instructions. Not `#[inline]`: every unit of the compiler's would compile it anew.
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            Kind::Baseline(machine) => machine.call(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(machine) => machine.call(task),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(machine) => machine.call(task),
        }
    }
}

fn run_with_baseline<T: Task>(task: T, machine: Baseline) -> T::Output {
    task.run(machine)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_with_avx2<T: Task>(task: T, machine: Avx2) -> T::Output {
    task.run(machine)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
fn run_with_avx512<T: Task>(task: T, machine: Avx512) -> T::Output {
    task.run(machine)
}
