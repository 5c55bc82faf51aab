//! A device with its queue, shared by all contexts on it: what it is known to suffer from, how long anybody waits
//! for it, and how the last context lets go of it.

use std::cell::Cell;
use std::mem::ManuallyDrop;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::gpu::scoped;
use crate::locked::locked;
#[cfg(not(target_arch = "wasm32"))]
use crate::wait::Poller;
use crate::{Error, Result};

/// How long a wait may take unless the context is told otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const PROBE: wgpu::BufferDescriptor<'_> = wgpu::BufferDescriptor {
    label: Some("probe"),
    size: 8,
    usage: wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST),
    mapped_at_creation: false,
};

/// A device and its queue, until the last context on them is gone.
pub(crate) struct HeldDevice {
    device: ManuallyDrop<wgpu::Device>,
    queue: ManuallyDrop<wgpu::Queue>,
    trouble: Trouble,
    /// In nanoseconds.
    patience: AtomicU64,
    /// Whether the device was made here, and nobody else is to be asked before its queue is waited for.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code))]
    made_here: bool,
    /// A buffer that is mapped for an instant to learn whether the device is there at all.
    probe: Mutex<Option<wgpu::Buffer>>,
    #[cfg(not(target_arch = "wasm32"))]
    poller: OnceLock<Poller>,
}

/// What a device reported outside of any call of ours, and what waiting for it has come to.
#[derive(Clone, Default)]
pub(crate) struct Trouble {
    first: Arc<Mutex<Option<Error>>>,
    /// Whether closing the device might not come to an end, or not to a good one.
    not_to_be_closed: Arc<AtomicBool>,
}

impl Trouble {
    /// Notes that wgpu has left something of the device half done.
    pub(crate) fn report_panic(&self) {
        self.not_to_be_closed.store(true, Ordering::Relaxed);
        self.report(Error::DeviceLost { detail: "wgpu could not go on with it".into() });
    }

    pub(crate) fn report(&self, error: Error) {
        if matches!(error, Error::Timeout { .. }) {
            self.not_to_be_closed.store(true, Ordering::Relaxed);
        }
        let mut first = locked(&self.first);
        // A device that timed out may be lost as well: what it was left for stays the reason.
        if first.as_ref().is_none_or(|first| !is_final(first) && is_final(&error)) {
            *first = Some(error);
        }
    }

    /// A loss stays, and so does a wait that took too long; anything else has been said once it is said.
    pub(crate) fn check(&self) -> Result<()> {
        let mut first = locked(&self.first);
        match &*first {
            Some(end) if is_final(end) => Err(end.clone()),
            Some(_) => first.take().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Why the device is not to be asked anything any more, where that is so.
    pub(crate) fn end(&self) -> Option<Error> {
        locked(&self.first).clone().filter(is_final)
    }
}

fn is_final(error: &Error) -> bool {
    matches!(error, Error::DeviceLost { .. } | Error::Timeout { .. })
}

thread_local! {
    /// Whether a device has refused to map the probe. It does that before the call returns, on the same thread.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

impl HeldDevice {
    pub(crate) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        trouble: Trouble,
        made_here: bool,
    ) -> Result<Self> {
        let held = HeldDevice {
            device: ManuallyDrop::new(device),
            queue: ManuallyDrop::new(queue),
            trouble,
            patience: AtomicU64::new(PATIENCE.as_nanos() as u64),
            made_here,
            probe: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            poller: OnceLock::new(),
        };
        let (probe, reported) =
            scoped(held.device(), &held.trouble, || Ok(held.device().create_buffer(&PROBE)));
        let probe = reported.map_or(probe, Err)?;
        *locked(&held.probe) = Some(probe);
        Ok(held)
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    pub(crate) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// How long a wait may take.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience.load(Ordering::Relaxed))
    }

    pub(crate) fn set_patience(&self, limit: Duration) {
        self.patience.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes that the device is lost, where it is.
    ///
    /// wgpu keeps silent about it: objects of a lost device are invalid without an error, submissions go nowhere, the
    /// callback is its owner's, and polling may panic. A buffer that cannot be mapped tells. In a browser devices
    /// tell by themselves.
    pub(crate) fn notice_loss(&self) {
        if cfg!(target_arch = "wasm32") || self.trouble.end().is_some() {
            return;
        }
        let mut probe = locked(&self.probe);
        if probe.as_ref().is_none_or(|probe| self.maps(probe)) {
            return;
        }
        // A buffer also refuses where another thread polled just when the last request was taken back: wgpu maps it
        // then after all, and for good. A new one has no past.
        let (fresh, _) = scoped(&self.device, &self.trouble, || Ok(self.device.create_buffer(&PROBE)));
        let Ok(fresh) = fresh else { return };
        if !self.maps(&fresh) {
            let detail = "it refuses all work".to_string();
            self.trouble.report(Error::DeviceLost { detail });
        }
        *probe = Some(fresh);
    }

    /// Whether the device takes a request to map a buffer, which is taken back before anybody heeds it.
    fn maps(&self, probe: &wgpu::Buffer) -> bool {
        // What wgpu has against either call is known here, and not to be told to the device's owner: a buffer that is
        // mapped already, or no buffer; a buffer that another thread is mapping cannot be taken back.
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        REFUSED.set(false);
        probe.map_async(wgpu::MapMode::Read, .., |mapped| REFUSED.set(mapped.is_err()));
        let refused = REFUSED.get();
        if !refused {
            probe.unmap();
        }
        drop(scope.pop());
        !refused
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn poller(&self) -> &Poller {
        self.poller.get_or_init(|| Poller::new(self.device().clone(), self.trouble.clone()))
    }
}

/// wgpu waits for a queue that it drops, for as long as that takes, and panics where the driver fails meanwhile. So
/// the wait comes first, with a limit; a device that is beyond it is left where it is, with its memory, and so is
/// one that wgpu has panicked over.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for HeldDevice {
    fn drop(&mut self) {
        // Its thread holds the device.
        drop(self.poller.take());
        if self.made_here && self.trouble.end().is_none() {
            let deadline = crate::wait::Deadline::after(self.patience());
            // What it comes to is in `trouble`.
            let _ = crate::wait::wait(&self.device, &self.trouble, None, deadline);
        }
        if self.trouble.not_to_be_closed.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: each is taken once, here, and nobody reads them afterwards: this is the end of what held them.
        let (device, queue) =
            unsafe { (ManuallyDrop::take(&mut self.device), ManuallyDrop::take(&mut self.queue)) };
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop((queue, device))));
        // There is nobody left to tell.
        let _ = dropped;
    }
}

#[cfg(target_arch = "wasm32")]
impl Drop for HeldDevice {
    fn drop(&mut self) {
        // SAFETY: each is dropped once, here, and nobody reads them afterwards.
        unsafe {
            ManuallyDrop::drop(&mut self.queue);
            ManuallyDrop::drop(&mut self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final_stays_and_the_rest_is_told_once() {
        let trouble = Trouble::default();
        assert_eq!(trouble.check(), Ok(()));
        let complaint = Error::Device { detail: "something".into() };
        trouble.report(complaint.clone());
        assert_eq!(trouble.end(), None);
        assert_eq!(trouble.check(), Err(complaint.clone()));
        assert_eq!(trouble.check(), Ok(()));
        let late = Error::Timeout { limit: Duration::from_secs(1) };
        trouble.report(complaint.clone());
        trouble.report(late.clone());
        // Also where it is lost later: it has to be left alone all the same.
        trouble.report(Error::DeviceLost { detail: String::new() });
        trouble.report(complaint);
        for _ in 0..2 {
            assert_eq!(trouble.check(), Err(late.clone()));
            assert_eq!(trouble.end(), Some(late.clone()));
        }
    }
}
