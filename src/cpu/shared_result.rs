//! A result that several threads write to at once, because the rows of their tasks interleave in memory.

use std::marker::PhantomData;

/// A mutable borrow of the result, of which every task takes the parts that are its own.
pub(super) struct SharedResult<'a, T> {
    start: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: whoever reaches for elements through a shared reference promises that no one else does meanwhile.
unsafe impl<T: Send> Sync for SharedResult<'_, T> {}

impl<'a, T> SharedResult<'a, T> {
    pub(super) fn new(result: &'a mut [T]) -> Self {
        SharedResult { start: result.as_mut_ptr(), length: result.len(), borrowed: PhantomData }
    }

    /// `length` elements, from `at` on; none where they would not all lie in the result.
    ///
    /// # Safety
    /// While the slice lives, no other is taken that has an element in common with it.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "a part of a mutable borrow that several threads share")]
    pub(super) unsafe fn part(&self, at: usize, length: usize) -> &mut [T] {
        if at > self.length || length > self.length - at {
            return &mut [];
        }
        // SAFETY: in bounds of the slice that is mutably borrowed for 'a, which outlives `self`; and no
        // other reference to these elements lives, by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), length) }
    }
}
