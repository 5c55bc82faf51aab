//! Devices that are lost, exhausted or silent: what comes of it, on a real driver that is made to fail.
#![cfg(target_os = "linux")]

mod common;

use std::future::Future;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::device::{gpu, own_device};
use common::fault_layer;
use wgpu_softmax::{Cpu, CrossEntropy, Device, Dtype, Error, Gpu, Kernel, Op, Options, Request, wgpu};

/// The layer, in a process that has been loaded with it.
struct Faults {
    layer: libloading::Library,
}

impl Faults {
    /// Runs `body`, the body of the test `name`, in a child of its own that has the layer between. What the child
    /// prints shows where it fails; that it ends by itself is part of every test.
    fn provoke(name: &str, body: impl FnOnce(&Faults)) {
        Faults::provoke_with(name, None, body);
    }

    /// [`Faults::provoke`] where the device calls itself a discrete GPU.
    fn provoke_as_discrete(name: &str, body: impl FnOnce(&Faults)) {
        Faults::provoke_with(name, Some(("FAULT_DISCRETE", "1")), body);
    }

    fn provoke_with(name: &str, variable: Option<(&str, &str)>, body: impl FnOnce(&Faults)) {
        if let Some(path) = std::env::var_os(fault_layer::PATH) {
            // SAFETY: the layer is loaded already, by the Vulkan loader or about to be, and does nothing when it is.
            let layer = unsafe { libloading::Library::new(path) }.unwrap();
            return body(&Faults { layer });
        }
        let mut child = fault_layer::between(&mut Command::new(std::env::current_exe().unwrap()))
            .envs(variable)
            .args([name, "--exact", "--nocapture", "--test-threads", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = [
            thread::spawn(move || std::io::read_to_string(stdout).unwrap()),
            thread::spawn(move || std::io::read_to_string(stderr).unwrap()),
        ];
        let hung = fault_layer::hangs(&mut child);
        let told = readers.map(|reader| reader.join().unwrap()).concat();
        assert!(!hung, "{name} hangs:\n{told}");
        let status = child.wait().unwrap();
        assert!(status.success(), "{name} ends with {status}:\n{told}");
        assert!(told.contains("1 passed"), "no test has this name: {name}\n{told}");
    }

    /// From the `nth` call of a kind on, counted from now and from 1, so many of them get `answer`.
    fn arm(&self, kind: &str, nth: u32, times: u32, answer: &str) {
        let [kind, answer] = [kind, answer].map(|word| std::ffi::CString::new(word).unwrap());
        type Arm = unsafe extern "C" fn(*const std::ffi::c_char, u32, u32, *const std::ffi::c_char);
        // SAFETY: `fault_arm` has this signature; the texts end in 0 and are only read while it runs.
        unsafe { self.layer.get::<Arm>(b"fault_arm").unwrap()(kind.as_ptr(), nth, times, answer.as_ptr()) }
    }

    /// Lets everything pass.
    fn disarm(&self) {
        self.arm("none", 1, 1, "lost");
    }

    /// How many calls have failed since the layer was armed.
    fn met(&self) -> u32 {
        // SAFETY: `fault_met` has this signature.
        unsafe { self.layer.get::<unsafe extern "C" fn() -> u32>(b"fault_met").unwrap()() }
    }

    /// How many submissions the driver gets during `work`, none of which fails.
    fn submissions(&self, work: impl FnOnce()) -> u32 {
        self.arm("submit", ALL, 1, "lost");
        work();
        // SAFETY: `fault_calls` has this signature.
        let calls = unsafe { self.layer.get::<unsafe extern "C" fn() -> u32>(b"fault_calls").unwrap()() };
        self.disarm();
        calls
    }
}

/// All further calls.
const ALL: u32 = u32::MAX;

/// More windows than are under way at a time.
const SHAPE: [usize; 2] = [400, 1000];

fn logits() -> Vec<f32> {
    (0..SHAPE[0] * SHAPE[1]).map(|place| ((place * 7919 + 13) % 100_003) as f32 * 3e-4 - 15.0).collect()
}

/// Longer than anything takes that does not wait for what never comes, however busy the machine.
const PATIENT: Duration = Duration::from_secs(60);

/// A context that takes `SHAPE` in a good many windows.
fn fresh() -> Result<Gpu, Error> {
    let engine = Device::Gpu.open_within_blocking(PATIENT)?;
    let gpu = engine.gpu().unwrap().clone();
    gpu.stream_within(1 << 20);
    Ok(gpu)
}

type Call = fn(&Gpu, &[f32]) -> Result<Vec<f32>, Error>;

/// The calls that are made on a device that fails: blocking and awaited, in windows and resident.
const CALLS: [Call; 3] = [
    |gpu, logits| gpu.softmax_blocking(logits, &SHAPE, -1),
    |gpu, logits| pollster::block_on(gpu.softmax(logits, &SHAPE, -1)),
    |gpu, logits| gpu.upload(logits, &SHAPE)?.compute(Op::Softmax, -1, &Options::default())?.read_blocking(),
];

/// What is to fail, for how many calls on end, and in which of `CALLS`: with the context made before, or in the making
/// of it, too.
struct Provoked {
    kind: &'static str,
    times: u32,
    answer: &'static str,
    calls: &'static [usize],
    made_before: &'static [bool],
}

const LOST: Provoked =
    Provoked { kind: "submit", times: 1, answer: "lost", calls: &[0, 1, 2], made_before: &[true, false] };

/// Fails the `n`-th call of a kind for every `n` until there are not so many. Whatever happens has to be what `accept`
/// allows, or the right answer.
fn every(faults: &Faults, provoked: &Provoked, accept: impl Fn(&Error) -> bool) {
    let &Provoked { kind, times, answer, calls, made_before } = provoked;
    let logits = logits();
    let healthy = fresh().unwrap();
    let expected = healthy.softmax_blocking(&logits, &SHAPE, -1).unwrap();
    for &number in calls {
        for &made_before in made_before {
            let mut provoked = 0;
            for nth in 1.. {
                assert!(nth < 500, "there is no end to {kind}");
                let before = made_before.then(|| fresh().unwrap());
                faults.arm(kind, nth, times, answer);
                let start = Instant::now();
                let context = before.map_or_else(fresh, Ok);
                let outcome = context.clone().and_then(|gpu| CALLS[number](&gpu, &logits));
                let what = format!("call {number}, {kind} {nth} {answer}, made before: {made_before}");
                let met = faults.met();
                match &outcome {
                    Ok(result) => assert!(*result == expected, "{what}: wrong numbers"),
                    Err(error) => assert!(accept(error) && met > 0, "{what}: {error}"),
                }
                if let (Ok(gpu), Err(error)) = (&context, &outcome)
                    && matches!(error, Error::DeviceLost { .. } | Error::Timeout { .. })
                {
                    for call in CALLS {
                        assert_eq!(call(gpu, &logits), outcome, "{what}: it is to be said again");
                    }
                    assert!(gpu.wait_blocking().is_err(), "{what}");
                }
                drop(context);
                assert!(start.elapsed() < PATIENT, "{what}: {:?}", start.elapsed());
                faults.disarm();
                provoked += met.min(1);
                if met == 0 {
                    assert!(outcome.is_ok(), "{what}");
                    break;
                }
            }
            assert!(provoked > 0, "no {kind} was met");
            println!("{kind} {answer}, call {number}, made before {made_before}: {provoked} provoked");
        }
    }
    // What happened to others is no concern of a context that was there before, nor of a new one.
    for gpu in [healthy, fresh().unwrap()] {
        assert!(gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap() == expected);
    }
}

fn is_lost(error: &Error) -> bool {
    matches!(error, Error::DeviceLost { .. })
}

/// Silence is met in a third of a second: a wait that a busy machine keeps as long ends in the same way.
const IMPATIENT: Duration = Duration::from_millis(300);

/// Whether all that is asked of a context ends in the `Timeout` that it has met: whoever waited again would tell of
/// another limit.
fn is_given_up(gpu: &Gpu) {
    gpu.wait_at_most(IMPATIENT / 2);
    for call in CALLS {
        assert_eq!(call(gpu, &logits()), Err(Error::Timeout { limit: IMPATIENT }));
    }
    assert_eq!(gpu.wait_blocking(), Err(Error::Timeout { limit: IMPATIENT }));
    assert_eq!(gpu.upload(&[1.0], &[1]).unwrap_err(), Error::Timeout { limit: IMPATIENT });
}

#[test]
fn a_silent_device_is_given_up_in_time() {
    provoke("a_silent_device_is_given_up_in_time", |faults| {
        let logits = logits();
        // A submission that never runs: the first one, one among others, and one that nobody waits for at once.
        for (nth, call) in [(1, 0), (4, 1), (2, 2)] {
            let gpu = fresh().unwrap();
            gpu.wait_at_most(IMPATIENT);
            faults.arm("submit", nth, ALL, "never");
            let start = Instant::now();
            let outcome = CALLS[call](&gpu, &logits);
            assert_eq!(outcome, Err(Error::Timeout { limit: IMPATIENT }), "submission {nth}");
            assert!(start.elapsed() >= IMPATIENT, "submission {nth}: {:?}", start.elapsed());
            is_given_up(&gpu);
            is_given_up(&gpu.planning_with(gpu.capabilities().clone()));
            // Closing it would wait for ever: the layer sees to that.
            drop(gpu);
            faults.disarm();
        }
        let gpu = fresh().unwrap();
        assert_eq!(gpu.softmax_blocking(&[6.0_f32, 3.0], &[2], 0).unwrap().len(), 2);
    });
}

#[test]
fn a_device_that_is_silent_from_the_start_does_not_open() {
    provoke("a_device_that_is_silent_from_the_start_does_not_open", |faults| {
        faults.arm("submit", 1, ALL, "never");
        let blocking = Device::Gpu.open_within_blocking(IMPATIENT);
        assert_eq!(blocking.map(|_| ()), Err(Error::Timeout { limit: IMPATIENT }));
        let awaited = pollster::block_on(Device::Gpu.open_within(IMPATIENT));
        assert_eq!(awaited.map(|_| ()), Err(Error::Timeout { limit: IMPATIENT }));
    });
}

#[test]
fn a_context_with_work_that_never_ends_can_be_dropped() {
    provoke("a_context_with_work_that_never_ends_can_be_dropped", |faults| {
        let logits = logits();
        for awaited in [false, true] {
            let gpu = fresh().unwrap();
            gpu.wait_at_most(IMPATIENT);
            faults.arm("submit", 1, ALL, "never");
            if awaited {
                // A future that is dropped while the device's thread waits for it.
                let mut future = std::pin::pin!(gpu.softmax(&logits, &SHAPE, -1));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(future.as_mut().poll(&mut context).is_pending());
            } else {
                gpu.upload(&logits, &SHAPE).unwrap().compute(Op::Softmax, -1, &Options::default()).unwrap();
            }
            let start = Instant::now();
            drop(gpu);
            assert!(start.elapsed() < PATIENT, "{:?}", start.elapsed());
            faults.disarm();
        }
    });
}

#[test]
fn windows_shrink_where_memory_is_short() {
    provoke("windows_shrink_where_memory_is_short", |faults| {
        let logits = logits();
        let gpu = fresh().unwrap();
        let expected = gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap();
        let gpu = fresh().unwrap();
        gpu.stream_within(16 << 20);
        // The first buffers find no room; in a quarter of the size they do.
        faults.arm("allocate", 1, 2, "device-memory");
        let mut seen = 0;
        let mut result = vec![0.0f32; logits.len()];
        let request = Request::new(Op::Softmax, &logits, &SHAPE, -1);
        gpu.answer_observed_blocking(&request, &mut result, |_| seen += 1).unwrap();
        assert!(result == expected && faults.met() == 2);
        // 4 MiB in all, of which a window is a part where there are two, each of them there twice.
        assert!(seen > 1, "{seen} windows");
        // None has, and the context is none the worse for it.
        let gpu = fresh().unwrap();
        faults.arm("allocate", 1, ALL, "device-memory");
        let error = gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        faults.disarm();
        assert!(gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap() == expected);
    });
}

#[test]
fn the_cpu_takes_over_where_a_discrete_gpu_has_no_memory() {
    if gpu().is_none() {
        return;
    }
    Faults::provoke_as_discrete("the_cpu_takes_over_where_a_discrete_gpu_has_no_memory", |faults| {
        let logits = logits();
        let labels: Vec<i64> = (0..SHAPE[0] as i64).collect();
        let loss = CrossEntropy::new(&logits, &SHAPE, -1, &labels).with_gradient();
        let auto = Device::Auto.open_blocking().unwrap();
        assert!(auto.uses_gpu(Dtype::F32), "{}", auto.why(Dtype::F32));
        let by_name = Device::Gpu.open_blocking().unwrap();
        faults.arm("allocate", 1, ALL, "device-memory");
        assert!(
            auto.softmax_blocking(&logits, &SHAPE, -1).unwrap()
                == Cpu::new().softmax(&logits, &SHAPE, -1).unwrap()
        );
        let losses = auto.cross_entropy_blocking::<f32>(&loss).unwrap();
        assert_eq!(losses, Cpu::new().cross_entropy(&loss).unwrap());
        let error = by_name.softmax_blocking(&logits, &SHAPE, -1).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        faults.disarm();
        assert!(by_name.softmax_blocking(&logits, &SHAPE, -1).is_ok());
    });
}

/// A device of the caller's: what it reports stays his, and it outlives what fails in a call.
#[test]
fn a_borrowed_device_survives_and_keeps_its_handlers() {
    provoke("a_borrowed_device_survives_and_keeps_its_handlers", |faults| {
        let adapter = &gpu().unwrap().info().name;
        let (device, queue) = own_device(adapter, wgpu::Features::empty(), wgpu::Limits::default()).unwrap();
        let told = Arc::new(AtomicU32::new(0));
        let (heard, heard_loss) = (Arc::clone(&told), Arc::clone(&told));
        device.on_uncaptured_error(Arc::new(move |_| _ = heard.fetch_add(1, Ordering::Relaxed)));
        device.set_device_lost_callback(move |_, _| _ = heard_loss.fetch_add(100, Ordering::Relaxed));
        let gpu = Gpu::from_device_blocking(device.clone(), queue.clone()).unwrap();
        let logits = logits();
        let expected = gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap();
        gpu.release_memory();
        faults.arm("allocate", 1, ALL, "device-memory");
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let error = gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        assert!(pollster::block_on(scope.pop()).is_none(), "the owner's scope has caught what was not his");
        faults.disarm();
        assert!(gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap() == expected);
        assert_eq!(told.load(Ordering::Relaxed), 0);
        // What the owner does himself is told to him, and not to the context.
        let both = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE;
        let _ = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: both,
            mapped_at_creation: false,
        });
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(gpu.softmax_blocking(&logits, &SHAPE, -1).unwrap() == expected);
        // A loss is told to both, at every call from then on.
        faults.arm("submit", 1, 1, "lost");
        for call in CALLS {
            assert!(call(&gpu, &logits).is_err_and(|error| is_lost(&error)));
        }
        assert_eq!(told.load(Ordering::Relaxed), 101);
    });
}

/// Long work comes to the driver in parts of what a device gets through in time for watchdogs, and short work in one.
#[test]
fn long_work_is_several_submissions() {
    provoke("long_work_is_several_submissions", |faults| {
        let whole = fresh().unwrap();
        let of_elements = |elements| {
            let mut capabilities = whole.capabilities().clone();
            capabilities.dispatch_elements = elements;
            whole.planning_with(capabilities)
        };
        let in_two = Options::default().kernel(Kernel::SplitRow);
        // Rows or columns of which a part holds some, rows that are cut themselves, and rows whose statistics and results
        // are dispatches of their own.
        let cases = [
            ([100, 1000], 1, Options::default(), 3000, 34),
            ([10, 900], 0, Options::default(), 1000, 9),
            ([2, 20_001], 1, in_two, 80_004, 1),
            ([2, 20_001], 1, in_two, 40_002, 2),
            ([2, 20_001], 1, in_two, 20_001, 4),
        ];
        for (shape, axis, options, in_time, expected) in cases {
            let logits: Vec<f32> = logits().into_iter().cycle().take(shape[0] * shape[1]).collect();
            let compute = |gpu: &Gpu, op, expected: u32| {
                let tensor = gpu.upload(&logits, &shape).unwrap();
                // The first call prepares, and the second finds it again.
                let result = tensor.compute(op, axis, &options).unwrap();
                let again = || tensor.compute_into(op, axis, &options, &result).unwrap();
                assert_eq!(faults.submissions(again), expected, "{op} of {shape:?}, {in_time}");
                let of_tensor = result.read_blocking().unwrap();
                let in_one_call = gpu.compute_blocking(op, &logits, &shape, axis, &options).unwrap();
                assert!(in_one_call == of_tensor, "{op} of {shape:?}, {in_time}");
                of_tensor
            };
            let short = of_elements(in_time);
            for op in [Op::Softmax, Op::LogSoftmax] {
                assert!(
                    compute(&short, op, expected) == compute(&whole, op, 1),
                    "{op} of {shape:?}, {in_time}"
                );
            }
            let in_place = |gpu: &Gpu, expected: u32| {
                let tensor = gpu.upload(&logits, &shape).unwrap();
                let tensor = tensor.compute_in_place(Op::LogSoftmax, axis, &options).unwrap();
                let mut again = None;
                let compute =
                    || again = Some(tensor.compute_in_place(Op::LogSoftmax, axis, &options).unwrap());
                assert_eq!(faults.submissions(compute), expected, "{shape:?} in place, {in_time}");
                again.unwrap().read_blocking().unwrap()
            };
            assert!(in_place(&short, expected) == in_place(&whole, 1), "{shape:?} in place, {in_time}");
            // Windows of one call are cut in the same way.
            let mut result = vec![0.0; logits.len()];
            let one_call = || {
                short
                    .compute_into_blocking(Op::Softmax, &logits, &shape, axis, &options, &mut result)
                    .unwrap()
            };
            assert!(faults.submissions(one_call) >= expected, "{shape:?} in one call, {in_time}");
        }
    });
}

fn provoke(name: &str, body: impl FnOnce(&Faults)) {
    if gpu().is_some() {
        Faults::provoke(name, body);
    }
}

#[test]
fn lost_at_every_submission() {
    provoke("lost_at_every_submission", |faults| every(faults, &LOST, is_lost));
}

#[test]
fn lost_at_every_wait() {
    let lost = Provoked { kind: "wait", times: ALL, ..LOST };
    provoke("lost_at_every_wait", |faults| every(faults, &lost, is_lost));
}

#[test]
fn lost_when_asked_how_far_it_is() {
    let lost = Provoked { kind: "counter", times: ALL, calls: &[1], ..LOST };
    provoke("lost_when_asked_how_far_it_is", |faults| every(faults, &lost, is_lost));
}

#[test]
fn lost_when_it_is_let_go_of() {
    provoke("lost_when_it_is_let_go_of", |faults| {
        for answer in ["lost", "device-memory"] {
            let gpu = fresh().unwrap();
            gpu.softmax_blocking(&logits(), &SHAPE, -1).unwrap();
            faults.arm("idle", 1, ALL, answer);
            drop(gpu);
            assert!(faults.met() > 0);
            faults.disarm();
        }
    });
}

#[test]
fn exhausted_at_every_allocation() {
    // wgpu gives up a device that has no memory for what it needs itself, and says so; it panics where it makes one.
    let is_exhausted = |error: &Error| match error {
        Error::DeviceLost { detail } => detail.contains("Out of memory"),
        Error::DeviceRefused { detail, .. } => detail.contains("wgpu could not go on"),
        other => matches!(other, Error::OutOfMemory { .. }),
    };
    let once = Provoked { kind: "allocate", answer: "device-memory", ..LOST };
    let for_good = Provoked { times: ALL, calls: &[0], ..once };
    provoke("exhausted_at_every_allocation", |faults| {
        every(faults, &once, is_exhausted);
        every(faults, &for_good, is_exhausted);
    });
}

/// Where no memory is left for the other objects that wgpu has made for it, it panics in places: that has to end
/// within the call. (Where it makes a device, it may crash over these.)
#[test]
fn exhausted_at_every_object() {
    let exhausted =
        Provoked { kind: "create", answer: "host-memory", calls: &[2], made_before: &[true], ..LOST };
    provoke("exhausted_at_every_object", |faults| every(faults, &exhausted, |_| true));
}
