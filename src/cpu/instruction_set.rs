//! The same loops compiled for several instruction sets, and the choice between them.
//!
//! Nothing is written in intrinsics: a [`Task`] is inlined into a function for which more instructions are
//! enabled, and the compiler vectorises it there. Products and sums are never fused, so the bits are the
//! same for all of them.

/// A piece of work whose loops should be compiled for the best instructions there are.
pub(super) trait Task {
    type Output;

    /// Does it. To be `#[inline(always)]`, as everything with a loop in it that this calls.
    fn run(self) -> Self::Output;
}

/// Instructions that the machine is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InstructionSet(Kind);

// Private, so that a value of `InstructionSet` proves that the machine was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What every machine of the target has: SSE2, NEON, or what the wasm module was built with.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
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
        InstructionSet(Kind::Baseline)
    }

    /// Every one that this machine has, so that tests can hold their results against each other.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let baseline = InstructionSet(Kind::Baseline);
        #[cfg(target_arch = "x86_64")]
        return [Some(baseline), Self::avx2(), Self::avx512()].into_iter().flatten().collect();
        #[cfg(not(target_arch = "x86_64"))]
        return vec![baseline];
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(InstructionSet(Kind::Avx2))
    }

    #[cfg(target_arch = "x86_64")]
    fn avx512() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl"))
        .then_some(InstructionSet(Kind::Avx512))
    }

    /// Runs a task with these instructions.
    #[inline]
    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            Kind::Baseline => task.run(),
            // SAFETY: `Kind::Avx2` is only made by `InstructionSet::avx2`, after the machine has said that
            // it has AVX2.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { run_with_avx2(task) },
            // SAFETY: `Kind::Avx512` is only made by `InstructionSet::avx512`, after the machine has said
            // that it has all four parts.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { run_with_avx512(task) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_with_avx2<T: Task>(task: T) -> T::Output {
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_with_avx512<T: Task>(task: T) -> T::Output {
    task.run()
}
