//! The CPU path where the system has no thread to give, as in a container whose number of processes is limited: in a process
//! of its own, since a pool of threads is there once and for all. On Linux, where the harness runs a test on its first
//! thread if there is no other; it panics on Windows.
#![cfg(target_os = "linux")]

use std::process::Command;

use wgpu_softmax::{Cpu, CrossEntropy, Op, Request};

/// More than any address space has for the stack of a thread.
const STACK: &str = "1152921504606846976";

/// A batch of several tasks, and each row by itself, which is one.
fn whole_and_by_rows() -> [Vec<f32>; 2] {
    let logits: Vec<f32> = (0..300_000).map(|index| ((index * 37) % 101) as f32 * 0.3).collect();
    let answer = |logits: &[f32]| {
        let shape = [logits.len() / 1000, 1000];
        let request = Request::new(Op::Softmax, logits, &shape, -1);
        Cpu::new().answer::<f32>(&request).unwrap()
    };
    [answer(&logits), logits.chunks(1000).flat_map(answer).collect()]
}

#[test]
fn a_system_without_threads_to_give() {
    let is_child = std::env::var("RUST_MIN_STACK").is_ok_and(|stack| stack == STACK);
    if is_child {
        let spawned = std::thread::Builder::new().spawn(|| {});
        assert!(spawned.is_err(), "there is a thread");
        let [whole, by_rows] = whole_and_by_rows();
        assert!(whole == by_rows);
        let loss = CrossEntropy::new(&whole, &[300, 1000], -1, &[3i64; 300]).with_gradient();
        assert!(Cpu::new().cross_entropy::<f32>(&loss).is_ok());
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_system_without_threads_to_give", "--test-threads=1"]);
    let ran = child.env("RUST_MIN_STACK", STACK).output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
