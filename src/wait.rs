//! Waiting for a device without blocking the thread that awaits.
//!
//! wgpu calls back only while somebody polls its device. A blocking call polls where it stands; an async
//! one leaves that to a thread of the context's own, which sleeps while nothing is under way. In a browser
//! the event loop does it.

use crate::{Error, Gpu, Result};

/// Who polls the device while a future waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The context's own thread, or the browser.
    #[default]
    Elsewhere,
    /// The thread that waits: it has nothing else to do.
    #[cfg(not(target_arch = "wasm32"))]
    Here,
}

/// The thread that polls; it ends with its context.
pub(crate) struct Poller {
    /// None only while the poller is dropped.
    #[cfg(not(target_arch = "wasm32"))]
    submissions: std::sync::Mutex<Option<std::sync::mpsc::Sender<wgpu::SubmissionIndex>>>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Poller {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn new(device: wgpu::Device) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for submission in receiver {
                // A device that is lost calls back with the loss; there is nobody else to tell here.
                let _ = poll(&device, submission);
            }
        });
        Poller { submissions: std::sync::Mutex::new(Some(sender)), thread: Some(thread) }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn new(_device: wgpu::Device) -> Self {
        Poller {}
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn watch(&self, submission: wgpu::SubmissionIndex) {
        let sender = self.submissions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sender) = &*sender {
            // The receiver lives as long as this sender.
            let _ = sender.send(submission);
        }
    }
}

/// Waits for the thread, which holds the device: a process that exits while another thread still destroys a
/// device unloads the driver under that thread's feet, and ends in a segmentation fault.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    fn drop(&mut self) {
        *self.submissions.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        if let Some(thread) = self.thread.take()
            // A waker that drops the last context runs on the thread itself, which cannot wait for itself.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// Waits for one submission. wgpu panics when the device is lost meanwhile; that is an error here.
#[cfg(not(target_arch = "wasm32"))]
fn poll(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Result<()> {
    let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(wait)));
    match polled {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::Device { detail: crate::gpu::one_line(&error) }),
        Err(_) => Err(Error::DeviceLost { detail: "while waiting for it".into() }),
    }
}

impl Gpu {
    /// Maps `buffers`, once `submission` is done.
    pub(crate) async fn map(
        &self,
        submission: wgpu::SubmissionIndex,
        buffers: impl IntoIterator<Item = (wgpu::Buffer, wgpu::MapMode)>,
        waiting: Waiting,
    ) -> Result<()> {
        let receivers: Vec<_> = (buffers.into_iter())
            .map(|(buffer, mode)| {
                let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
                buffer.map_async(mode, .., move |mapped| {
                    // Nobody receives where the future was dropped.
                    let _ = sender.send(mapped);
                });
                receiver
            })
            .collect();
        match waiting {
            #[cfg(not(target_arch = "wasm32"))]
            Waiting::Here => poll(self.device(), submission)?,
            #[cfg(not(target_arch = "wasm32"))]
            Waiting::Elsewhere => self.poller().watch(submission),
            #[cfg(target_arch = "wasm32")]
            Waiting::Elsewhere => drop(submission),
        }
        for receiver in receivers {
            match receiver.receive().await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.check()?;
                    return Err(Error::DeviceLost { detail: crate::gpu::one_line(&error) });
                }
                None => return Err(Error::DeviceLost { detail: "it never answered".into() }),
            }
        }
        self.check()
    }
}
