//! How many octets a thread holds: what a structure takes, whatever the allocator and the load of the machine.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted; for `#[global_allocator]` in tests.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// What `work` made, and how many octets this thread holds more than before it.
pub fn held<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    let made = work();
    (made, HELD.get() - before)
}

fn count(octets: usize, sign: isize) {
    // No allocation is longer than that.
    HELD.set(HELD.get() + sign * isize::try_from(octets).unwrap_or(isize::MAX));
}

// SAFETY: hands every call on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { System.dealloc(block, layout) }
    }
}
