//! The hub's concurrent parts through every interleaving of their threads (loom): their files, with loom's locks and counts.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "a test's own data; the files are the hub's")]

#[path = "../src/order.rs"]
mod order;
#[path = "../src/twins.rs"]
mod twins;

/// As the hub's own, with loom's.
mod sync {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }
}

use adapter_api::TraceId;
use impp_model::Address;
use loom::sync::Arc;
use loom::thread;
use order::{Order, Turn};
use store::Pair;
use sync::Mutex;
use twins::{Joined, Twins};

fn pair() -> Pair {
    let address = |text: &str| Address::parse_bare(text).unwrap();
    Pair::new(&address("a@x.example"), &address("b@y.example"))
}

/// The first of a message ends while a repeat comes: this hears of it.
#[test]
fn whoever_comes_while_the_first_ends_is_answered() {
    loom::model(|| {
        let (twins, end) = (Arc::new(Twins::<u8, u8>::default()), Arc::new(Mutex::new(false)));
        let repeat = {
            let (twins, end) = (twins.clone(), end.clone());
            thread::spawn(move || match twins.join(0, 1, 9, || end.lock().then_some(())) {
                Joined::Waits => 0,
                Joined::Answered(_, ()) => 1,
                Joined::Full(_) => panic!("there is room"),
            })
        };
        *end.lock() = true;
        let taken = twins.take(&0).len();
        assert_eq!(taken + repeat.join().unwrap(), 1, "it is forgotten");
    });
}

/// One of a pair fails for a while as the next comes: the second goes to the ledger behind it, or went before.
#[test]
fn what_comes_while_another_fails_keeps_its_place() {
    loom::model(|| {
        let (order, pair) = (Arc::new(Order::<u8>::default()), pair());
        // What is in the ledger, in its order, and whether anything is.
        let spooled = Arc::new(Mutex::new(Vec::new()));
        assert_eq!(order.enter(pair, TraceId(1), || false), Turn::Now);
        let failing = {
            let (order, spooled) = (order.clone(), spooled.clone());
            thread::spawn(move || order.park(pair, TraceId(1), 1, |it| spooled.lock().push(it)))
        };
        let is_spooled = || !spooled.lock().is_empty();
        if order.enter(pair, TraceId(2), is_spooled) == Turn::Behind {
            order.park(pair, TraceId(2), 2, |it| spooled.lock().push(it));
        } else {
            order.leave(pair, TraceId(2), |it| spooled.lock().push(it));
        }
        failing.join().unwrap();
        let there = spooled.lock().clone();
        assert!(there == [1] || there == [1, 2], "{there:?}");
        assert_eq!(order.parked(pair), 0);
    });
}

/// Three under way fail in whatever order: they reach the ledger in that of their coming.
#[test]
fn those_that_fail_together_reach_the_ledger_in_their_order() {
    loom::model(|| {
        let (order, pair) = (Arc::new(Order::<u64>::default()), pair());
        let spooled = Arc::new(Mutex::new(Vec::new()));
        for trace in 1..=3 {
            assert_eq!(order.enter(pair, TraceId(trace), || false), Turn::Now);
        }
        let fail = |trace: u64| {
            let (order, spooled) = (order.clone(), spooled.clone());
            thread::spawn(move || order.park(pair, TraceId(trace), trace, |it| spooled.lock().push(it)))
        };
        let (third, second) = (fail(3), fail(2));
        order.park(pair, TraceId(1), 1, |it| spooled.lock().push(it));
        third.join().unwrap();
        second.join().unwrap();
        assert_eq!(*spooled.lock(), [1, 2, 3]);
    });
}

#[test]
fn what_failed_later_but_came_earlier_goes_first() {
    loom::model(|| {
        let (order, pair, mut spooled) = (Order::default(), pair(), Vec::new());
        for trace in 1..=3 {
            assert_eq!(order.enter(pair, TraceId(trace), || false), Turn::Now);
        }
        order.park(pair, TraceId(2), "second", |it| spooled.push(it));
        assert_eq!(order.enter(pair, TraceId(4), || false), Turn::Behind, "the second waits");
        order.park(pair, TraceId(4), "fourth", |it| spooled.push(it));
        assert_eq!(order.enter(pair, TraceId(5), || false), Turn::Behind);
        order.park(pair, TraceId(5), "fifth", |it| spooled.push(it));
        assert!(spooled.is_empty());
        assert_eq!(order.parked(pair), 3);
        order.park(pair, TraceId(1), "first", |it| spooled.push(it));
        assert_eq!(spooled, ["first", "second"]);
        order.leave(pair, TraceId(3), |it| spooled.push(it));
        assert_eq!(spooled, ["first", "second", "fourth", "fifth"]);
        assert_eq!(order.enter(pair, TraceId(6), || true), Turn::Behind);
        assert_eq!(order.enter(pair, TraceId(6), || false), Turn::Now);
    });
}
