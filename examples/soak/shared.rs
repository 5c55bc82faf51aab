//! What the threads share: the context that lives throughout, the counts, and the right to be alone for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use wgpu_softmax::Gpu;

use crate::faults::{PATIENCE, unexpected};

pub struct Soak {
    pub gpu: Gpu,
    /// Another context on the same device, for budgets that go up and down.
    pub tight: Gpu,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    quiet: RwLock<()>,
    kept: AtomicU64,
}

impl Soak {
    pub fn new(gpu: Gpu) -> Soak {
        gpu.wait_at_most(PATIENCE);
        let tight = gpu.planning_with(gpu.capabilities().clone());
        Soak { gpu, tight, counts: Mutex::default(), quiet: RwLock::default(), kept: AtomicU64::new(0) }
    }

    /// A context of the turn's own, on the same adapter.
    pub fn open(&self) -> Result<Gpu, String> {
        let gpu = Gpu::named_blocking(&self.gpu.info().name).map_err(unexpected)?;
        gpu.wait_at_most(PATIENCE);
        self.count("contexts made");
        Ok(gpu)
    }

    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// Pipelines that the two contexts which live throughout have had built: one for each kind of question.
    pub fn pipelines(&self) -> isize {
        self.gpu.device().get_internal_counters().hal.compute_pipelines.read()
    }

    /// Notes memory that stays with a context that is never closed, in KiB.
    pub fn kept(&self, kib: u64) {
        self.kept.fetch_add(kib, Ordering::Relaxed);
    }

    pub fn kept_in_all(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    pub fn among_others(&self) -> RwLockReadGuard<'_, ()> {
        self.quiet.read().unwrap()
    }

    pub fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().unwrap()
    }
}
