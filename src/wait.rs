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
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct Poller {
    device: wgpu::Device,
    /// None while the poller is dropped, and where the system has no thread left to give.
    thread: Option<PollingThread>,
}

#[cfg(not(target_arch = "wasm32"))]
struct PollingThread {
    submissions: std::sync::Mutex<std::sync::mpsc::Sender<wgpu::SubmissionIndex>>,
    handle: std::thread::JoinHandle<()>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    pub(crate) fn new(device: wgpu::Device) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let polled = device.clone();
        let spawned = std::thread::Builder::new().name("wgpu-softmax".into()).spawn(move || {
            for submission in receiver {
                // A device that is lost calls back with the loss; there is nobody else to tell here.
                let _ = poll(&polled, until(submission));
            }
        });
        let submissions = std::sync::Mutex::new(sender);
        Poller { device, thread: spawned.ok().map(|handle| PollingThread { submissions, handle }) }
    }

    fn watch(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let Some(thread) = &self.thread else {
            return poll(&self.device, until(submission));
        };
        let submissions = thread.submissions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The receiver lives as long as this sender.
        let _ = submissions.send(submission);
        Ok(())
    }
}

/// Waits for the thread, which holds the device: a process that exits while another thread still destroys a
/// device unloads the driver under that thread's feet, and ends in a segmentation fault.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    fn drop(&mut self) {
        if let Some(PollingThread { submissions, handle }) = self.thread.take() {
            drop(submissions);
            // A waker that drops the last context runs on the thread itself, which cannot wait for itself.
            if handle.thread().id() != std::thread::current().id() {
                let _ = handle.join();
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn until(submission: wgpu::SubmissionIndex) -> wgpu::PollType {
    wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }
}

/// Polls the device. wgpu panics when it is lost meanwhile; that is an error here.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn poll(device: &wgpu::Device, how: wgpu::PollType) -> Result<()> {
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(how)));
    match polled {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::Device { detail: crate::gpu::one_line(&error) }),
        Err(_) => Err(Error::DeviceLost { detail: "while waiting for it".into() }),
    }
}

type Mapped = std::result::Result<(), wgpu::BufferAsyncError>;

/// Buffers that can be mapped once a submission is done.
pub(crate) struct Mapping {
    /// Where it is this thread that has to poll for it.
    #[cfg(not(target_arch = "wasm32"))]
    polled_here: Option<wgpu::SubmissionIndex>,
    receivers: Vec<futures_intrusive::channel::shared::OneshotReceiver<Mapped>>,
}

impl Gpu {
    /// Waits until everything submitted to the device so far has run, whoever submitted it.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], and what the device has reported meanwhile.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait_blocking(&self) -> Result<()> {
        poll(self.device(), wgpu::PollType::wait_indefinitely())?;
        self.check()
    }

    /// Asks for `buffers` to be mapped, once `submission` is done.
    pub(crate) fn map(
        &self,
        submission: wgpu::SubmissionIndex,
        buffers: impl IntoIterator<Item = (wgpu::Buffer, wgpu::MapMode)>,
        waiting: Waiting,
    ) -> Result<Mapping> {
        let receivers = (buffers.into_iter())
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
            Waiting::Here => Ok(Mapping { polled_here: Some(submission), receivers }),
            #[cfg(not(target_arch = "wasm32"))]
            Waiting::Elsewhere => {
                self.poller().watch(submission)?;
                Ok(Mapping { polled_here: None, receivers })
            }
            #[cfg(target_arch = "wasm32")]
            Waiting::Elsewhere => {
                _ = submission;
                Ok(Mapping { receivers })
            }
        }
    }

    /// Waits until all of them are mapped.
    pub(crate) async fn mapped(&self, mapping: Mapping) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(submission) = mapping.polled_here {
            poll(self.device(), until(submission))?;
        }
        for receiver in mapping.receivers {
            match receiver.receive().await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.notice_loss();
                    self.check()?;
                    return Err(Error::DeviceLost { detail: crate::gpu::one_line(&error) });
                }
                None => return Err(Error::DeviceLost { detail: "it never answered".into() }),
            }
        }
        self.check()
    }
}
