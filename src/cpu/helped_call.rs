//! A call that the calling thread makes at once, and that threads of rayon's pool make beside it as soon as they are idle.
//!
//! Rayon's own ways of spreading work over threads hand all of it to the pool, or end only when every thread that was asked
//! has answered. The one waits for a thread to wake up before anything is done, as long as a small batch takes
//! altogether; the other, where the pool is busy, for whatever it is busy with. Here nobody waits for a thread that has
//! not begun: one that comes when the work has been done finds the call closed, and leaves.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

use crate::locked::locked;

/// Bits of [`Call::state`]: whether the caller has come to its end, and one thread more that helps.
const CLOSED: usize = 1;
const HELPER: usize = 2;

/// So many times a caller looks whether helpers have ended before it sleeps: some tens of microseconds, which most of them
/// have not left.
const LOOKS: usize = 1000;

struct Call {
    work: *const (dyn Fn() + Sync),
    state: AtomicUsize,
    caller: Thread,
    /// Of a helper.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: all that is neither is the pointer; what it points to is `Sync`, and followed only as `help` says.
unsafe impl Send for Call {}
// SAFETY: as above.
unsafe impl Sync for Call {}

/// Calls `work` on this thread, and meanwhile on up to so many others. Each of the calls is to go on until all is done that
/// is there to be done. Panics if one of them does, when all have ended.
pub(super) fn call_with_help(helpers: usize, work: &(dyn Fn() + Sync)) {
    if helpers == 0 {
        return work();
    }
    // SAFETY: the types differ in how long what is borrowed lives; the pointer is followed only while it does (`help`).
    let work_of_any_time: *const (dyn Fn() + Sync + 'static) =
        unsafe { std::mem::transmute(work as *const (dyn Fn() + Sync + '_)) };
    let (state, panic) = (AtomicUsize::new(0), Mutex::new(None));
    let call = Arc::new(Call { work: work_of_any_time, state, caller: thread::current(), panic });
    let borrowed = UntilClosed(&call);
    recruit(&call, helpers);
    work();
    drop(borrowed);
    let panic = locked(&call.panic).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Asks one thread, which asks others: waking one takes a while.
fn recruit(call: &Arc<Call>, helpers: usize) {
    if helpers > 0 {
        let call = Arc::clone(call);
        rayon::spawn(move || help(&call, helpers));
    }
}

fn help(call: &Arc<Call>, helpers: usize) {
    // Seen before what it works on is.
    if call.state.fetch_add(HELPER, Ordering::Acquire) & CLOSED == 0 {
        let others = helpers - 1;
        recruit(call, others.div_ceil(2));
        recruit(call, others / 2);
        // SAFETY: the caller had not closed the call when this helper was counted, and before it gives up what `work`
        // borrows, be it by a panic, it closes it and waits until no helper is counted.
        let work = unsafe { &*call.work };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *locked(&call.panic) = Some(panic);
        }
    }
    // After all that it has done.
    if call.state.fetch_sub(HELPER, Ordering::Release) == HELPER | CLOSED {
        call.caller.unpark();
    }
}

/// As long as this lives, so does what the call's work borrows.
struct UntilClosed<'a>(&'a Call);

impl Drop for UntilClosed<'_> {
    fn drop(&mut self) {
        let UntilClosed(call) = self;
        call.state.fetch_or(CLOSED, Ordering::Relaxed);
        let mut looks = 0;
        while call.state.load(Ordering::Acquire) != CLOSED {
            if looks < LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Miri takes a thousand times as long for each.
    const ROUNDS: usize = if cfg!(miri) { 60 } else { 2000 };

    /// Longer than any machine takes that is at all alive.
    const LONG: Duration = Duration::from_secs(100);

    fn pool() -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap()
    }

    #[test]
    fn others_help() {
        // Ends only when all four are in it at the same time.
        let together = std::sync::Barrier::new(4);
        let wait = || {
            together.wait();
        };
        pool().install(|| call_with_help(3, &wait));
    }

    #[test]
    fn no_one_waits_for_a_busy_pool() {
        let pool = pool();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..3 {
            let held = Arc::clone(&held);
            pool.spawn(move || assert!(held.lock().unwrap().recv().is_err()));
        }
        let (done, is_done) = mpsc::channel();
        pool.spawn(move || {
            let calls = AtomicUsize::new(0);
            call_with_help(3, &|| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
            done.send(calls.into_inner()).unwrap();
        });
        assert_eq!(is_done.recv_timeout(LONG), Ok(1));
        drop(release);
    }

    #[test]
    fn all_have_ended_when_the_call_has() {
        let pool = pool();
        for round in 0..ROUNDS {
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.install(|| {
                call_with_help(3, &|| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    (0..round % 7 * 50).for_each(|_| std::hint::spin_loop());
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            });
            assert_eq!(begun.into_inner(), ended.into_inner());
        }
    }

    #[test]
    fn panics_reach_the_caller_when_no_one_works_any_more() {
        let pool = pool();
        for of_caller in [true, false].repeat(ROUNDS / 60) {
            let (helped, at_work) = (AtomicBool::new(false), AtomicUsize::new(0));
            let call = || {
                let caller = thread::current().id();
                call_with_help(3, &|| {
                    at_work.fetch_add(1, Ordering::Relaxed);
                    let is_caller = thread::current().id() == caller;
                    helped.fetch_or(!is_caller, Ordering::Relaxed);
                    // So that there is a helper.
                    while !helped.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    at_work.fetch_sub(1, Ordering::Relaxed);
                    assert!(is_caller != of_caller, "as it should");
                });
            };
            assert!(pool.install(|| catch_unwind(AssertUnwindSafe(call))).is_err());
            assert_eq!(at_work.into_inner(), 0);
        }
    }
}
