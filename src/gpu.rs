//! A device to compute on, owned or borrowed, with all that is made once for it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::assemble::Shader;
use crate::capabilities::dispatch_elements;
use crate::held_device::{HeldDevice, PATIENCE, Trouble};
use crate::kernels::{exponential_check, shuffle_check};
use crate::locked::locked;
use crate::pipelines::{Pipeline, Pipelines};
use crate::plan::{Parameters, Stage};
use crate::recycled::Recycled;
use crate::transfer::{Check, STREAM_BYTES, Workspace};
use crate::wait::Waiting;
use crate::{AdapterKey, Capabilities, Error, Result, Tuning};

/// A GPU that is ready to compute.
///
/// Cheap to clone and to share between threads: all clones use the same device, pipelines and staging
/// memory. Async functions never block the thread that polls them; each has a blocking twin where blocking
/// is possible (everywhere but in a browser).
///
/// ```no_run
/// let gpu = wgpu_softmax::Gpu::new_blocking()?;
/// let probabilities = gpu.softmax_blocking(&[1.25_f32, 2.44, 0.78, 0.12], &[1, 4], -1)?;
/// # Ok::<(), wgpu_softmax::Error>(())
/// ```
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

struct Shared {
    held: Arc<HeldDevice>,
    info: wgpu::AdapterInfo,
    capabilities: Capabilities,
    pipelines: Pipelines,
    workspaces: Mutex<Vec<Workspace>>,
    stream_bytes: AtomicU64,
    recycled: Mutex<Recycled>,
}

/// wgpu's backends, as the `WGPU_BACKEND` environment variable allows them. One instance for all contexts:
/// wgpu reports a buffer of another device as an error, but panics over one of another instance.
fn instance() -> wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env;
    INSTANCE.get_or_init(|| wgpu::Instance::new(descriptor())).clone()
}

impl Gpu {
    /// Every adapter that wgpu finds, the ones [`Gpu::new`] prefers first: discrete, integrated, virtual,
    /// software.
    ///
    /// In a browser this is empty: its adapters cannot be listed.
    pub async fn adapters() -> Vec<wgpu::AdapterInfo> {
        adapters().await.iter().map(wgpu::Adapter::get_info).collect()
    }

    /// [`Gpu::adapters`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapters_blocking() -> Vec<wgpu::AdapterInfo> {
        pollster::block_on(Gpu::adapters())
    }

    /// The best adapter there is, a software one if there is no other.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::DeviceRefused`].
    pub async fn new() -> Result<Gpu> {
        Gpu::open(&best_adapter().await?, Waiting::default(), PATIENCE).await
    }

    /// [`Gpu::new`], blocking.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new_blocking() -> Result<Gpu> {
        pollster::block_on(async { Gpu::open(&best_adapter().await?, Waiting::Here, PATIENCE).await })
    }

    /// The first adapter whose name contains `name`, in any case of letters.
    ///
    /// # Errors
    /// [`Error::AdapterNotFound`], which lists what there is; [`Error::DeviceRefused`].
    pub async fn named(name: &str) -> Result<Gpu> {
        Gpu::open(&adapter_named(name).await?, Waiting::default(), PATIENCE).await
    }

    /// [`Gpu::named`], blocking.
    ///
    /// # Errors
    /// As [`Gpu::named`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn named_blocking(name: &str) -> Result<Gpu> {
        pollster::block_on(async { Gpu::open(&adapter_named(name).await?, Waiting::Here, PATIENCE).await })
    }

    /// A device of this adapter's, with all the limits it offers, and with subgroups, timestamp queries and
    /// pipeline caches where it has them.
    ///
    /// # Errors
    /// [`Error::DeviceRefused`].
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Gpu> {
        Gpu::open(adapter, Waiting::default(), PATIENCE).await
    }

    /// [`Gpu::from_adapter`], blocking.
    ///
    /// # Errors
    /// As [`Gpu::from_adapter`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_adapter_blocking(adapter: &wgpu::Adapter) -> Result<Gpu> {
        pollster::block_on(Gpu::open(adapter, Waiting::Here, PATIENCE))
    }

    pub(crate) async fn open(adapter: &wgpu::Adapter, waiting: Waiting, patience: Duration) -> Result<Gpu> {
        let info = adapter.get_info();
        check_computes(&info.name, adapter.get_downlevel_capabilities().flags)?;
        let refused = |detail: String| Error::DeviceRefused { adapter: info.name.clone(), detail };
        // Elsewhere, what the host can write lies across a bus from the shaders.
        let shares_memory =
            matches!(info.device_type, wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu);
        let mapping =
            if shares_memory { wgpu::Features::MAPPABLE_PRIMARY_BUFFERS } else { wgpu::Features::empty() };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu-softmax"),
            required_features: adapter.features()
                & (wgpu::Features::SUBGROUP
                    | wgpu::Features::TIMESTAMP_QUERY
                    | wgpu::Features::PIPELINE_CACHE
                    | mapping),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        // Where a driver's memory ends while wgpu makes a device, it panics, or says so in words alone.
        let requested =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| adapter.request_device(&descriptor)))
                .map_err(|_| refused("wgpu could not go on with it".into()))?;
        let (device, queue) = requested.await.map_err(|error| match one_line(&error) {
            detail if detail.to_lowercase().contains("memory") => Error::OutOfMemory { detail },
            detail => refused(detail),
        })?;

        let trouble = Trouble::default();
        let lost = trouble.clone();
        device.set_device_lost_callback(move |reason, detail| {
            lost.report(Error::DeviceLost { detail: format!("{reason:?}: {}", one_line(&detail)) });
        });
        let uncaptured = trouble.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.report(from_wgpu(error))));
        let held = HeldDevice::new(device, queue, trouble, true)?;
        held.set_patience(patience);
        let mut gpu = Gpu::over(held, waiting).await?;
        if gpu.device().features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS) {
            gpu = gpu.planning_with(Capabilities { maps_buffers: true, ..gpu.capabilities().clone() });
        }
        Ok(gpu)
    }

    /// The caller's own device: its limits and features are worked with as they are, its error handlers
    /// stay the caller's.
    ///
    /// # Errors
    /// Any that the device reports while its exponential is checked.
    pub async fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu> {
        Gpu::over(HeldDevice::new(device, queue, Trouble::default(), false)?, Waiting::default()).await
    }

    /// [`Gpu::from_device`], blocking.
    ///
    /// # Errors
    /// As [`Gpu::from_device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_device_blocking(device: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu> {
        let held = HeldDevice::new(device, queue, Trouble::default(), false)?;
        pollster::block_on(Gpu::over(held, Waiting::Here))
    }

    async fn over(held: HeldDevice, waiting: Waiting) -> Result<Gpu> {
        let device = held.device();
        let info = device.adapter_info();
        let subgroups =
            device.features().contains(wgpu::Features::SUBGROUP).then_some(info.subgroup_min_size);
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let capabilities = Capabilities {
            adapter: Some(AdapterKey::of(&info)),
            dispatch_elements: dispatch_elements(info.device_type),
            ..Capabilities::of(&info.name, &device.limits(), subgroups, software)
        };
        // In a browser, where there is one thread, wgpu's types stay on it.
        #[cfg_attr(target_arch = "wasm32", expect(clippy::arc_with_non_send_sync))]
        let held = Arc::new(held);
        let as_written = Gpu::with(held, info, capabilities).trusting_its_subgroups(waiting).await?;
        if as_written.exponential_error(waiting).await? <= exponential_check::TOLERATED {
            return Ok(as_written);
        }
        let capabilities = as_written.capabilities().clone();
        Ok(as_written.planning_with(Capabilities { hide_intermediates: true, ..capabilities }))
    }

    /// A context on the same device that plans as if it had other capabilities: smaller bindings, no
    /// subgroups, a hidden exponential. For holding the answers of one kernel against another's.
    ///
    /// What the device cannot do stays an error: capabilities beyond its own are reported by wgpu.
    ///
    /// ```no_run
    /// # let gpu = wgpu_softmax::Gpu::new_blocking()?;
    /// let mut capabilities = gpu.capabilities().clone();
    /// capabilities.subgroup_lanes = None;
    /// let without_subgroups = gpu.planning_with(capabilities);
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    pub fn planning_with(&self, capabilities: Capabilities) -> Gpu {
        Gpu::with(Arc::clone(&self.shared.held), self.info().clone(), capabilities)
    }

    /// A context on the same device that plans with subgroups of `lanes` lanes at least, for a device that has them
    /// though wgpu does not say so: in browsers, where wgpu 30 neither reports WebGPU's feature `"subgroups"` nor asks for
    /// it. A page that has `GPUAdapter.requestDevice` require it may tell so here, with the adapter's `subgroupMinSize`,
    /// which stands in [`Gpu::info`] as `subgroup_min_size`.
    ///
    /// They are checked first, as on every device that reports them. Where they give wrong answers, plans go without, and
    /// [`Capabilities::subgroups_lie`] is set.
    ///
    /// # Errors
    /// [`Error::Device`] of the check's shader, where the device has no subgroups after all.
    pub async fn with_subgroups(&self, lanes: u32) -> Result<Gpu> {
        let capabilities = self.capabilities().clone().with_subgroups_of(Some(lanes));
        self.planning_with(capabilities).trusting_its_subgroups(Waiting::default()).await
    }

    /// A context on the same device with a table of what was measured on it, for calls whose
    /// [`Options::tuned`](crate::Options::tuned) asks for it; all others stay as they are.
    ///
    /// A table of another adapter, driver or backend is never gone by: every plan that asks for it
    /// [says so](crate::Plan::why), and so does [`Tuning::adapter`] beside [`Capabilities::adapter`].
    ///
    /// ```no_run
    /// use wgpu_softmax::{Gpu, Op, Options, Tuning};
    /// let gpu = Gpu::new_blocking()?;
    /// # let text = String::new();
    /// let gpu = gpu.with_tuning(text.parse::<Tuning>()?);
    /// let options = Options::default().tuned(true);
    /// let probabilities = gpu.compute_blocking(Op::Softmax, &[6.0_f32, 3.0], &[1, 2], -1, &options)?;
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    pub fn with_tuning(&self, table: Tuning) -> Gpu {
        self.planning_with(Capabilities { tuning: Some(Arc::new(table)), ..self.capabilities().clone() })
    }

    fn with(held: Arc<HeldDevice>, info: wgpu::AdapterInfo, capabilities: Capabilities) -> Gpu {
        let checked_shaders = capabilities.checked_shaders;
        // In a browser, where there is one thread, wgpu's types stay on it.
        #[cfg_attr(target_arch = "wasm32", expect(clippy::arc_with_non_send_sync))]
        let shared = Arc::new(Shared {
            held,
            info,
            capabilities,
            pipelines: Pipelines::new(checked_shaders),
            workspaces: Mutex::default(),
            stream_bytes: AtomicU64::new(STREAM_BYTES),
            recycled: Mutex::default(),
        });
        Gpu { shared }
    }

    /// Itself; or, where its subgroups give wrong answers, a context that plans without them.
    async fn trusting_its_subgroups(self, waiting: Waiting) -> Result<Gpu> {
        match self.shuffles_lie(waiting).await? {
            false => Ok(self),
            true => Ok(self.planning_with(self.capabilities().clone().without_lying_subgroups())),
        }
    }

    /// Whether lanes find others by shuffles than they should.
    async fn shuffles_lie(&self, waiting: Waiting) -> Result<bool> {
        let Some(geometry) = shuffle_check::geometry(self.capabilities()) else { return Ok(false) };
        let words = shuffle_check::words(&geometry);
        let mut answers = vec![[0u32; 4]; words.len()];
        let stage = Stage { entry: &shuffle_check::ENTRY, geometry };
        let check = Check { stage, groups: shuffle_check::PATTERNS, parameters: None };
        self.run_check(&check, &words, bytemuck::cast_slice_mut(&mut answers), waiting).await?;
        Ok(!shuffle_check::tells_the_truth(&words, geometry.lanes, &answers))
    }

    /// The largest error of this device's exponential, in units of 2⁻²⁴, over the points of the check.
    async fn exponential_error(&self, waiting: Waiting) -> Result<f64> {
        let points = exponential_check::points();
        let mut answers = vec![[0u32; 2]; points.len()];
        let geometry = exponential_check::geometry(self.capabilities());
        let groups = (points.len() as u32).div_ceil(geometry.workgroup);
        let parameters =
            Parameters { slabs: points.len() as u32, grid_width: groups, ..Parameters::default() };
        let stage = Stage { entry: &exponential_check::ENTRY, geometry };
        let check = Check { stage, groups, parameters: Some(parameters) };
        let words = bytemuck::cast_slice(&points);
        self.run_check(&check, words, bytemuck::cast_slice_mut(&mut answers), waiting).await?;
        Ok(exponential_check::worst_error(&points, &answers))
    }

    /// The adapter's name, driver and backend.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// What plans for this device go by.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// The device that this context computes on.
    pub fn device(&self) -> &wgpu::Device {
        self.shared.held.device()
    }

    /// The queue that this context submits to.
    pub fn queue(&self) -> &wgpu::Queue {
        self.shared.held.queue()
    }

    pub(crate) fn held(&self) -> &HeldDevice {
        &self.shared.held
    }

    pub(crate) fn pipelines(&self) -> &Pipelines {
        &self.shared.pipelines
    }

    pub(crate) fn pipeline_of(&self, shader: &Shader) -> Result<Arc<Pipeline>> {
        self.pipelines().of(self.device(), self.held().trouble(), shader)
    }

    pub(crate) fn same_context(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Fails where the device is lost, has taken too long or reported an error of its own accord.
    pub(crate) fn check(&self) -> Result<()> {
        self.held().trouble().check()
    }

    /// Runs `work`, which talks to the device, and turns what the device has against it into an error.
    ///
    /// A lost device first shows in objects that are invalid for no reason of their own, or in nothing at all: so
    /// it is looked for in the end.
    pub(crate) fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.watched(true, work)
    }

    /// [`Gpu::guarded`] for what is asked so often, and so little of, that looking for a loss would cost as much.
    /// Whoever lost a device of his own by `destroy` hears of that at the next call that does more.
    pub(crate) fn guarded_briefly<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.watched(false, work)
    }

    /// Looks for a loss in the end where something was reported, and otherwise if it is to.
    fn watched<T>(&self, looks: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let (outcome, reported) = scoped(self.device(), self.held().trouble(), work);
        if looks || reported.is_some() {
            self.held().notice_loss();
        }
        self.check()?;
        reported.map_or(outcome, Err)
    }

    /// Lets every wait for the device take at most so long: 30 seconds unless something else is said. It goes for
    /// all contexts on the device.
    ///
    /// A wait is for all that was submitted to the device before, by whomever: where many threads share one that is
    /// slow, it takes long by right. One that takes longer ends in [`Error::Timeout`], and so does every later call:
    /// nothing is known of what the device still does, so that its memory cannot be used again. The device is not
    /// closed either when the last context on it is dropped, which would wait without a limit; it stays until the
    /// process ends. A new [`Gpu`] may well work. In a browser there is no limit but the browser's own, which ends in
    /// [`Error::DeviceLost`].
    ///
    /// ```
    /// # fn example(gpu: &wgpu_softmax::Gpu) {
    /// gpu.wait_at_most(std::time::Duration::from_secs(5));
    /// # }
    /// ```
    pub fn wait_at_most(&self, limit: Duration) {
        self.held().set_patience(limit);
    }

    /// What calls on tensors have left.
    pub(crate) fn recycled(&self) -> MutexGuard<'_, Recycled> {
        locked(&self.shared.recycled)
    }

    /// Keeps at most so many bytes of buffers of tensors that are gone, for the next tensors of the same size:
    /// 512 MiB unless something else is said, and never more than 64 buffers. 0 keeps none.
    pub fn keep_at_most(&self, bytes: u64) {
        self.recycled().keep_at_most(bytes);
    }

    /// Lets each call over host memory take at most so many bytes of the device's memory and of staging memory
    /// together, for what it sends and brings home: 256 MiB unless something else is said.
    ///
    /// Larger work goes window by window, two of them under way at a time, so that the device computes while the
    /// host copies. Where not even a single row (two columns, along another axis than the last) fits half of this,
    /// such rows go one by one and take what they need; and a mask of up to 16 MiB goes whole with each window. The
    /// answers do not depend on it, to the last bit. What a call has taken is kept for the next one; a second call at
    /// the same time takes as much again.
    ///
    /// ```
    /// # fn example(gpu: &wgpu_softmax::Gpu) {
    /// gpu.stream_within(32 << 20);
    /// # }
    /// ```
    pub fn stream_within(&self, bytes: u64) {
        self.shared.stream_bytes.store(bytes, Ordering::Relaxed);
        self.release_workspaces();
    }

    pub(crate) fn stream_bytes(&self) -> u64 {
        self.shared.stream_bytes.load(Ordering::Relaxed)
    }

    /// Lets go of all memory that calls have left for the next ones: buffers of tensors that are gone, prepared
    /// operations, staging memory. The next calls allocate anew.
    pub fn release_memory(&self) {
        self.recycled().clear();
        self.release_workspaces();
        // The device frees what nothing uses any more when it is polled.
        self.held().notice_loss();
        #[cfg(not(target_arch = "wasm32"))]
        if self.held().trouble().end().is_none() {
            crate::wait::poll(self.device(), self.held().trouble());
        }
    }

    /// Staging memory that an earlier call left behind, or none yet.
    pub(crate) fn borrow_workspace(&self) -> Workspace {
        locked(&self.shared.workspaces).pop().unwrap_or_default()
    }

    /// Lets go of staging memory that no call is using.
    pub(crate) fn release_workspaces(&self) {
        locked(&self.shared.workspaces).clear();
    }

    /// Keeps staging memory for the next call.
    pub(crate) fn return_workspace(&self, workspace: Workspace) {
        locked(&self.shared.workspaces).push(workspace);
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("capabilities", self.capabilities()).finish_non_exhaustive()
    }
}

#[cfg(not(target_arch = "wasm32"))]
async fn adapters() -> Vec<wgpu::Adapter> {
    let mut adapters = instance().enumerate_adapters(wgpu::Backends::all()).await;
    adapters.sort_by_key(|adapter| preference(&adapter.get_info()));
    adapters
}

/// The adapter that serves best.
pub(crate) async fn best_adapter() -> Result<wgpu::Adapter> {
    if let Some(adapter) = adapters().await.into_iter().next() {
        return Ok(adapter);
    }
    // A browser chooses for itself; elsewhere this says why there is none.
    let power_preference = wgpu::PowerPreference::HighPerformance;
    let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
    let requested = instance().request_adapter(&options).await;
    requested.map_err(|error| Error::NoAdapter { detail: one_line(&error) })
}

pub(crate) async fn adapter_named(name: &str) -> Result<wgpu::Adapter> {
    let mut adapters = adapters().await;
    let wanted = name.to_lowercase();
    match adapters.iter().position(|adapter| adapter.get_info().name.to_lowercase().contains(&wanted)) {
        Some(place) => Ok(adapters.swap_remove(place)),
        None => Err(Error::AdapterNotFound {
            name: name.to_string(),
            available: adapters.iter().map(|adapter| adapter.get_info().name).collect(),
        }),
    }
}

/// An adapter of a time before compute shaders is of no use.
fn check_computes(adapter: &str, flags: wgpu::DownlevelFlags) -> Result<()> {
    if flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Ok(());
    }
    Err(Error::DeviceRefused { adapter: adapter.into(), detail: "it has no compute shaders".into() })
}

#[cfg(target_arch = "wasm32")]
async fn adapters() -> Vec<wgpu::Adapter> {
    Vec::new()
}

#[cfg(not(target_arch = "wasm32"))]
fn preference(info: &wgpu::AdapterInfo) -> u32 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Runs `work`, and says what the device has against it.
pub(crate) fn scoped<T>(
    device: &wgpu::Device,
    trouble: &Trouble,
    work: impl FnOnce() -> Result<T>,
) -> (Result<T>, Option<Error>) {
    let filters =
        [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    // Where a driver runs out of memory at the wrong moment, wgpu panics. What it has left half done is its own,
    // and nothing is asked of that device again.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        trouble.report_panic();
        trouble.check().and(Err(Error::DeviceLost { detail: String::new() }))
    });
    (outcome, scopes.into_iter().rev().filter_map(popped).last())
}

/// What an error scope has caught. Scopes nest, so the last one pushed is the first to ask.
#[cfg(not(target_arch = "wasm32"))]
fn popped(scope: wgpu::ErrorScopeGuard) -> Option<Error> {
    // The future of a native scope is ready as soon as it is made.
    pollster::block_on(scope.pop()).map(from_wgpu)
}

/// A browser answers later than anybody here can wait; what it has to say goes to its console.
#[cfg(target_arch = "wasm32")]
fn popped(scope: wgpu::ErrorScopeGuard) -> Option<Error> {
    drop(scope.pop());
    None
}

/// What wgpu reports, as this crate's error.
fn from_wgpu(error: wgpu::Error) -> Error {
    let detail = one_line(&error);
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { detail },
        _ => Error::Device { detail },
    }
}

/// wgpu's messages run over several lines; an error of ours is one.
pub(crate) fn one_line(message: &dyn fmt::Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_compute_shaders_is_refused() {
        let all = wgpu::DownlevelFlags::all();
        assert_eq!(check_computes("old", all), Ok(()));
        let error = check_computes("old", all - wgpu::DownlevelFlags::COMPUTE_SHADERS).unwrap_err();
        assert!(matches!(error, Error::DeviceRefused { .. }), "{error:?}");
        assert!(error.to_string().contains("old") && error.to_string().contains("compute"), "{error}");
    }
}
