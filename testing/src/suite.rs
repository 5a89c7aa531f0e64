//! Runs many tests at once, one in each thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does each job in one of `threads` threads, and returns the results in the order of the jobs. A job that panics has the result
/// that `panicked` gives.
pub fn in_threads<Job: Sync, Done: Send>(
    jobs: &[Job],
    threads: usize,
    work: impl Fn(&Job) -> Done + Sync,
    panicked: impl Fn(&Job) -> Done + Sync,
) -> Vec<Done> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Done>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let result = catch_unwind(AssertUnwindSafe(|| work(job))).unwrap_or_else(|_panic| panicked(job));
            done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(run);
        }
        run();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().flatten().collect()
}
