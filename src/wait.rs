//! Waiting for a device without blocking the thread that awaits, and never for longer than the context allows.
//!
//! wgpu calls back only while somebody polls its device. A blocking call polls where it stands; an async
//! one leaves that to a thread of the device's own, which sleeps while nothing is under way. In a browser
//! the event loop does it, which knows no limit: a browser ends what takes too long by losing the device.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Arc, Mutex, mpsc};
#[cfg(not(target_arch = "wasm32"))]
use std::time::{Duration, Instant};

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

#[cfg(not(target_arch = "wasm32"))]
use crate::held_device::Trouble;
#[cfg(not(target_arch = "wasm32"))]
use crate::locked::locked;
use crate::{Error, Gpu, Result};

/// Who polls the device while a future waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The device's own thread, or the browser.
    #[default]
    Elsewhere,
    /// The thread that waits: it has nothing else to do.
    #[cfg(not(target_arch = "wasm32"))]
    Here,
}

/// When a wait has taken too long.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    limit: Duration,
    /// `None` beyond what the clock can tell.
    end: Option<Instant>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Deadline { limit, end: Instant::now().checked_add(limit) }
    }

    fn remaining(&self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }
}

/// Waits until a submission has run, or all there are, and reports it where that ends in anything else.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn wait(
    device: &wgpu::Device,
    trouble: &Trouble,
    submission: Option<wgpu::SubmissionIndex>,
    deadline: Deadline,
) -> Result<()> {
    loop {
        if let Some(end) = trouble.end() {
            return Err(end);
        }
        let timeout = Some(deadline.remaining());
        let how = wgpu::PollType::Wait { submission_index: submission.clone(), timeout };
        // wgpu panics where the device is lost meanwhile; that is an error here.
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(how)));
        let error = match polled {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) if !deadline.remaining().is_zero() => continue,
            Ok(Err(wgpu::PollError::Timeout)) => Error::Timeout { limit: deadline.limit },
            // A submission that the device has never had: it was lost before.
            Ok(Err(error)) => Error::DeviceLost { detail: crate::gpu::one_line(&error) },
            // It asserts what is not so where a wait ends without success while another thread finds all done.
            Err(panic) if says(&*panic, "If the queue is empty") => continue,
            Err(_) => Error::DeviceLost { detail: "while it was waited for".into() },
        };
        trouble.report(error);
        return trouble.end().map_or(Ok(()), Err);
    }
}

/// Whether a panic's message has these words.
#[cfg(not(target_arch = "wasm32"))]
fn says(panic: &(dyn std::any::Any + Send), words: &str) -> bool {
    panic.downcast_ref::<String>().is_some_and(|message| message.contains(words))
}

/// Lets the device free what nothing uses any more, and call back what it has done.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn poll(device: &wgpu::Device, trouble: &Trouble) {
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(wgpu::PollType::Poll)));
    if polled.is_err() {
        trouble.report(Error::DeviceLost { detail: "it was found so when it was polled".into() });
    }
}

/// A thread that polls; it ends with its device.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct Poller {
    device: wgpu::Device,
    trouble: Trouble,
    /// None while the poller is dropped, and where the system has no thread left to give.
    thread: Option<PollingThread>,
}

#[cfg(not(target_arch = "wasm32"))]
struct PollingThread {
    watched: Mutex<mpsc::Sender<Watched>>,
    handle: std::thread::JoinHandle<()>,
}

/// A submission, and who is to hear of it where it never comes to an end.
#[cfg(not(target_arch = "wasm32"))]
struct Watched {
    submission: wgpu::SubmissionIndex,
    deadline: Deadline,
    senders: Vec<Arc<Sender>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Watched {
    fn wait(self, device: &wgpu::Device, trouble: &Trouble) {
        if let Err(error) = wait(device, trouble, Some(self.submission), self.deadline) {
            for sender in self.senders {
                // The buffer may have been mapped all the same, or nobody may care any more.
                let _ = sender.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    pub(crate) fn new(device: wgpu::Device, trouble: Trouble) -> Self {
        let (sender, receiver) = mpsc::channel::<Watched>();
        let (polled, noted) = (device.clone(), trouble.clone());
        let spawned = std::thread::Builder::new().name("wgpu-softmax".into()).spawn(move || {
            for watched in receiver {
                watched.wait(&polled, &noted);
            }
        });
        let watched = Mutex::new(sender);
        Poller { device, trouble, thread: spawned.ok().map(|handle| PollingThread { watched, handle }) }
    }

    fn watch(&self, watched: Watched) {
        let Some(thread) = &self.thread else {
            return watched.wait(&self.device, &self.trouble);
        };
        let queue = locked(&thread.watched);
        // The receiver lives as long as this sender.
        let _ = queue.send(watched);
    }
}

/// Waits for the thread, which holds the device: a process that exits while another thread still destroys a
/// device unloads the driver under that thread's feet, and ends in a segmentation fault. What it still waits for
/// has its limits.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    fn drop(&mut self) {
        if let Some(PollingThread { watched, handle }) = self.thread.take() {
            drop(watched);
            // A waker that drops the last context runs on the thread itself, which cannot wait for itself.
            if handle.thread().id() != std::thread::current().id() {
                let _ = handle.join();
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
type Sender = futures_intrusive::channel::shared::OneshotSender<Result<()>>;

/// Buffers that can be mapped once a submission is done.
pub(crate) struct Mapping {
    /// Where it is this thread that has to poll for it.
    #[cfg(not(target_arch = "wasm32"))]
    polled_here: Option<(wgpu::SubmissionIndex, Deadline)>,
    receivers: Vec<OneshotReceiver<Result<()>>>,
}

impl Gpu {
    /// Waits until everything submitted to the device so far has run, whoever submitted it.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`], and what the device has reported meanwhile.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait_blocking(&self) -> Result<()> {
        self.held().notice_loss();
        wait(self.device(), self.held().trouble(), None, Deadline::after(self.held().patience()))?;
        self.check()
    }

    /// Asks for `buffers` to be mapped, once `submission` is done.
    pub(crate) fn map(
        &self,
        submission: wgpu::SubmissionIndex,
        buffers: impl IntoIterator<Item = (wgpu::Buffer, wgpu::MapMode)>,
        waiting: Waiting,
    ) -> Mapping {
        let (senders, receivers): (Vec<_>, Vec<_>) = (buffers.into_iter())
            .map(|(buffer, mode)| {
                let (sender, receiver) = oneshot_channel();
                let sender = std::sync::Arc::new(sender);
                let told = std::sync::Arc::clone(&sender);
                buffer.map_async(mode, .., move |mapped| {
                    let mapped =
                        mapped.map_err(|error| Error::DeviceLost { detail: crate::gpu::one_line(&error) });
                    // Nobody receives where the future was dropped.
                    let _ = told.send(mapped);
                });
                (sender, receiver)
            })
            .unzip();
        #[cfg(not(target_arch = "wasm32"))]
        {
            let deadline = Deadline::after(self.held().patience());
            if waiting == Waiting::Here {
                return Mapping { polled_here: Some((submission, deadline)), receivers };
            }
            self.held().poller().watch(Watched { submission, deadline, senders });
            Mapping { polled_here: None, receivers }
        }
        #[cfg(target_arch = "wasm32")]
        {
            _ = (submission, waiting, senders);
            Mapping { receivers }
        }
    }

    /// Waits until all of them are mapped.
    pub(crate) async fn mapped(&self, mapping: Mapping) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some((submission, deadline)) = mapping.polled_here {
            wait(self.device(), self.held().trouble(), Some(submission), deadline)?;
        }
        for receiver in mapping.receivers {
            let mapped = receiver.receive().await;
            let mapped =
                mapped.unwrap_or_else(|| Err(Error::DeviceLost { detail: "it never answered".into() }));
            if let Err(error) = mapped {
                // What is known of the device's end says more than a buffer that was not mapped.
                self.held().notice_loss();
                self.check()?;
                return Err(error);
            }
        }
        self.check()
    }
}
