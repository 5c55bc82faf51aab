//! Locks that a panic of another thread does not end.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the lock guards, also where a thread has panicked under it: nothing is left half done under the locks of this crate.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
