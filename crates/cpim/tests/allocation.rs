//! A relay allocates nothing: not to find a header, the content, or the class of an object.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use cpim::RelayView;

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

const OBJECT: &[u8] =
    b"From: Juliet <im:juliet@example.com>\r\nTo: <im:romeo@example.net>\r\nSubject:;lang=en hi\r\n\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nWherefore art thou?";

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

// checks: MF-05, IM-18
#[test]
fn a_relay_view_allocates_nothing() {
    let relayed = allocations(|| {
        let view = RelayView::new(black_box(OBJECT));
        assert_eq!(black_box(view.octets()).as_ptr(), OBJECT.as_ptr(), "the very octets");
        assert!(black_box(view.first("To")).is_some() && black_box(view.first("cc")).is_none());
        assert!(black_box(view.content()).is_some());
        assert_eq!(black_box(view.lines().count()), 3);
    });
    assert_eq!(relayed, 0);
    assert!(allocations(|| drop(black_box(Vec::<u8>::with_capacity(1)))) > 0, "the count counts");
}
