//! A stretch of a file, looked at where the system has it in memory, without a copy.
//!
//! The file may become shorter meanwhile, or its disk fail. A read comes up short then; at a page of a map that is not
//! to be had the process gets SIGBUS, which ends it unless somebody answers. Here the answer is a stretch of zeros in the
//! place of the map, and an error for whoever looked at it.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst, compiler_fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{io, mem, ptr, slice};

use libc::{SIGBUS, c_int, c_void, siginfo_t};
use memmap2::{MmapOptions, MmapRaw};

/// Maps begin at a multiple of this, as no system has larger pages.
const ALIGNMENT: u64 = 1 << 16;

/// What the process did about SIGBUS before.
static BEFORE: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// The addresses of the map that is looked at, of which there is one at a time: its first one, and the one behind it.
static FIRST: AtomicUsize = AtomicUsize::new(0);
static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Whether zeros have taken its place.
static LOST: AtomicBool = AtomicBool::new(false);

static LOOKING: Mutex<()> = Mutex::new(());

/// Neighbouring bytes of a file.
pub struct Mapped<'a> {
    map: MmapRaw,
    /// Bytes of the map before the first one that is wanted.
    ahead: usize,
    file: &'a File,
    /// Where the stretch ends in the file.
    end: u64,
}

impl<'a> Mapped<'a> {
    /// `length` bytes from `place` on.
    ///
    /// # Errors
    /// Where this file or this system has no maps, or no room for one.
    pub fn of(file: &'a File, place: u64, length: usize) -> io::Result<Mapped<'a>> {
        answer_bus_errors()?;
        let ahead = (place % ALIGNMENT) as usize;
        let map =
            MmapOptions::new().offset(place - ahead as u64).len(ahead + length).map_raw_read_only(file)?;
        Ok(Mapped { map, ahead, file, end: place + length as u64 })
    }

    /// What `see` makes of the bytes. Where another process writes to them just then, it may see either.
    ///
    /// # Errors
    /// Where they are no longer there, at the latest when they have been seen.
    pub fn look<R>(self, see: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let looking = Looking::at(&self.map);
        let length = self.map.len() - self.ahead;
        // SAFETY: these bytes are the map's, which lives as long as `self`; a page of it that cannot be had is
        // replaced. Other processes can change them, as they can what a read is about to copy: every value is a valid
        // byte, and nothing that is concluded from one is relied on for another.
        let seen = see(unsafe { slice::from_raw_parts(self.map.as_ptr().add(self.ahead), length) });
        // The last page is there for as long as one byte of it is, and has zeros behind that.
        if looking.lost() || self.file.metadata()?.len() < self.end {
            let why = "it became shorter while it was read, or its disk fails";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(seen)
    }
}

/// The time during which bus errors within a map are answered.
struct Looking {
    _alone: MutexGuard<'static, ()>,
}

impl Looking {
    fn at(map: &MmapRaw) -> Looking {
        let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
        LOST.store(false, SeqCst);
        let first = map.as_ptr() as usize;
        BEHIND.store(first + map.len(), SeqCst);
        FIRST.store(first, SeqCst);
        // No byte is looked at before this, nor after `lost`, as the handler sees it.
        compiler_fence(SeqCst);
        Looking { _alone }
    }

    fn lost(self) -> bool {
        compiler_fence(SeqCst);
        LOST.load(SeqCst)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        BEHIND.store(0, SeqCst);
        FIRST.store(0, SeqCst);
    }
}

/// From the first call on, [`on_bus_error`] handles SIGBUS.
fn answer_bus_errors() -> io::Result<()> {
    let before = BEFORE.get_or_init(|| {
        // SAFETY: a `sigaction` of zeros is one, with the system's own handling, no flags and an empty mask.
        let (mut ours, mut before): (libc::sigaction, libc::sigaction) = unsafe { mem::zeroed() };
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_bus_error;
        ours.sa_sigaction = handler as libc::sighandler_t;
        // On the stack that Rust has for handlers: the one at hand may be what has overflowed.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both are `sigaction`s; the handler takes what SA_SIGINFO has it given, lives as long as the process
        // and does what a handler may.
        let status = unsafe { libc::sigaction(SIGBUS, &ours, &mut before) };
        (status == 0).then_some(before)
    });
    before.as_ref().map(|_| ()).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Puts zeros in the place of the map that is looked at, if the error is there; then the same instruction goes on with
/// them. It touches atomics and asks the system, as a handler may, which runs between any two instructions.
extern "C" fn on_bus_error(_: c_int, about: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the system gives a handler with SA_SIGINFO a valid one, and for this signal it has an address.
    let address = unsafe { (*about).si_addr() } as usize;
    let (first, behind) = (FIRST.load(SeqCst), BEHIND.load(SeqCst));
    if (first..behind).contains(&address) {
        let (kind, protection) = (libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED, libc::PROT_READ);
        // SAFETY: it replaces the map that is looked at, which nobody gives back before the look is over, by one of the
        // same addresses, which can be read just as well and are given back with it.
        let zeros = unsafe {
            libc::mmap(ptr::with_exposed_provenance_mut(first), behind - first, protection, kind, -1, 0)
        };
        if zeros != libc::MAP_FAILED {
            LOST.store(true, SeqCst);
            return;
        }
    }
    // An error elsewhere comes again at once, and is then for whoever handled it before.
    if let Some(Some(before)) = BEFORE.get() {
        // SAFETY: it is what this very call once gave.
        unsafe { libc::sigaction(SIGBUS, before, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(length: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&(0..length).map(|place| (place % 251) as u8).collect::<Vec<_>>()).unwrap();
        file
    }

    #[test]
    fn bytes_are_those_of_the_file() {
        let file = file(300_000);
        for (place, length) in [(0, 300_000), (1, 70_000), (65_535, 3), (65_536, 1), (299_999, 1)] {
            let seen = Mapped::of(&file, place, length).unwrap().look(<[u8]>::to_vec).unwrap();
            assert_eq!(seen.len(), length);
            assert!(seen.iter().enumerate().all(|(at, &byte)| byte == ((place as usize + at) % 251) as u8));
        }
    }

    /// More than once: what was lost says nothing about the next, and the process still has its handler.
    #[test]
    fn a_file_that_becomes_shorter_is_an_error() {
        for left in [0, 1, 70_000, 131_072, 199_999] {
            let file = file(200_000);
            let [before, mapped] = [(); 2].map(|()| Mapped::of(&file, 100, 199_900).unwrap());
            assert!(before.look(|_| ()).is_ok());
            file.set_len(left).unwrap();
            let sum = mapped.look(|bytes| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
            assert_eq!(sum.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{left} bytes left");
            file.set_len(200_000).unwrap();
            let after = Mapped::of(&file, 100, 199_900).unwrap();
            assert_eq!(after.look(|bytes| bytes[199_899]).unwrap(), 0);
        }
    }
}
