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
    #[cfg(not(target_arch = "wasm32"))]
    device: wgpu::Device,
    /// None where the system has no thread left to give.
    #[cfg(not(target_arch = "wasm32"))]
    submissions: Option<std::sync::Mutex<std::sync::mpsc::Sender<wgpu::SubmissionIndex>>>,
}

impl Poller {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn new(device: wgpu::Device) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let polled = device.clone();
        let thread = std::thread::Builder::new().name("wgpu-softmax".into()).spawn(move || {
            for submission in receiver {
                // A device that is lost calls back with the loss; there is nobody else to tell here.
                let _ = poll(&polled, until(submission));
            }
        });
        Poller { device, submissions: thread.is_ok().then(|| std::sync::Mutex::new(sender)) }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn new(_device: wgpu::Device) -> Self {
        Poller {}
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn watch(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let Some(submissions) = &self.submissions else {
            return poll(&self.device, until(submission));
        };
        let sender = submissions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The receiver lives as long as this sender.
        let _ = sender.send(submission);
        Ok(())
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
            Waiting::Here => poll(self.device(), until(submission))?,
            #[cfg(not(target_arch = "wasm32"))]
            Waiting::Elsewhere => self.poller().watch(submission)?,
            #[cfg(target_arch = "wasm32")]
            Waiting::Elsewhere => drop(submission),
        }
        for receiver in receivers {
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
