//! What the ledger locks with: parking_lot; within a model of a test, loom, which runs through all interleavings.

#[cfg(test)]
pub(crate) use modelled::{Mutex, model, spawn};
#[cfg(not(test))]
pub(crate) use parking_lot::Mutex;

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::Arc;

    thread_local! {
        /// Whether this thread is one in which loom runs a model; it runs all threads of a model in one.
        static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    }

    /// Three switches between threads at the most that none of them asked for: errors that take more are rare, runs are not.
    const PREEMPTIONS: usize = 3;

    /// Of one thread; loom's own measure is too small for what encodes records.
    const STACK: usize = 1 << 16;

    /// Runs `check` through the interleavings of its threads.
    pub(crate) fn model(check: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.max_branches = 10_000;
        let check = Arc::new(check);
        IN_MODEL.set(true);
        builder.check(move || {
            let check = check.clone();
            spawn(move || check()).join().unwrap();
        });
        IN_MODEL.set(false);
    }

    /// A thread of a model.
    pub(crate) fn spawn(act: impl FnOnce() + Send + 'static) -> loom::thread::JoinHandle<()> {
        loom::thread::Builder::new().stack_size(STACK).spawn(act).unwrap()
    }

    pub(crate) enum Mutex<T> {
        Plain(parking_lot::Mutex<T>),
        Loom(loom::sync::Mutex<T>),
    }

    pub(crate) enum Guard<'a, T> {
        Plain(parking_lot::MutexGuard<'a, T>),
        Loom(loom::sync::MutexGuard<'a, T>),
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            if IN_MODEL.get() {
                Self::Loom(loom::sync::Mutex::new(value))
            } else {
                Self::Plain(parking_lot::Mutex::new(value))
            }
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            match self {
                Self::Plain(mutex) => Guard::Plain(mutex.lock()),
                Self::Loom(mutex) => Guard::Loom(mutex.lock().unwrap()),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            match self {
                Self::Plain(guard) => guard,
                Self::Loom(guard) => guard,
            }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            match self {
                Self::Plain(guard) => guard,
                Self::Loom(guard) => guard,
            }
        }
    }
}
