//! A relay of presence documents allocates nothing.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use pidf::RelayView;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every call on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DOCUMENT: &[u8] =
    b"<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@example.com'/>";

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

// checks: PD-24, PR-15
#[test]
fn a_relay_view_allocates_nothing() {
    let relayed = allocations(|| {
        let view = RelayView::new(black_box(DOCUMENT), Some(pidf::MEDIA_TYPE));
        assert_eq!(black_box(view.octets()).as_ptr(), DOCUMENT.as_ptr(), "the very octets");
    });
    assert_eq!(relayed, 0);
    let read = allocations(|| assert!(black_box(RelayView::new(DOCUMENT, None).read()).is_ok()));
    assert!(read > 0, "the count counts");
}
