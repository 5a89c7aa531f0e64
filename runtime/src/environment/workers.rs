//! A pool of threads, one for each core, for computation that never waits.
//!
//! Tokio's threads serve sockets, timers and channels, and kernels and codecs would block them. So kernels and
//! codecs run on this pool, one batch at a time. The pool serves its queues in turn (round robin), however long
//! each queue is: a flow with expensive steps slows down itself and no other flow.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The pool of an agent. Clones share the threads, which end when the last clone is dropped.
#[derive(Clone, Default)]
pub struct Workers {
    /// `None`: the caller's own task does the work.
    pool: Option<Arc<Pool>>,
}

/// A queue of the pool. The steps of one source share a queue, and so does the work of one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueId(usize);

/// The work has panicked. The panic's message is on standard error.
#[derive(Debug, Error)]
#[error("a worker has panicked, which is a defect")]
pub struct WorkerPanicked;

struct Pool {
    shared: Arc<Shared>,
    next_queue: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    changed: Condvar,
}

#[derive(Default)]
struct Queues {
    jobs: BTreeMap<QueueId, VecDeque<Job>>,
    /// The queues that have jobs, in the order in which they are served.
    ready: VecDeque<QueueId>,
    ended: bool,
}

impl Workers {
    /// Starts a thread for each core that this process may use.
    ///
    /// # Errors
    /// When the system can't start a thread.
    pub fn one_each_core() -> std::io::Result<Workers> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Workers::new(cores)
    }

    /// Starts this number of threads.
    ///
    /// # Errors
    /// When the system can't start a thread.
    pub fn new(threads: usize) -> std::io::Result<Workers> {
        let shared = Arc::new(Shared::default());
        let pool = Pool { shared: shared.clone(), next_queue: AtomicUsize::new(0) };
        for number in 0..threads {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("weir-worker-{number}"));
            thread.spawn(move || shared.work())?;
        }
        Ok(Workers { pool: Some(Arc::new(pool)) })
    }

    /// A pool without threads, for simulations: the caller's own task does the work.
    pub fn none() -> Workers {
        Workers::default()
    }

    /// Adds a queue.
    pub fn add_queue(&self) -> QueueId {
        QueueId(self.pool.as_ref().map_or(0, |pool| pool.next_queue.fetch_add(1, Ordering::Relaxed)))
    }

    /// Queues `work` and waits for its result. The work is done even if the returned future is dropped.
    ///
    /// # Errors
    /// When `work` panics.
    pub async fn run<T: Send + 'static>(
        &self,
        queue: QueueId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkerPanicked> {
        let Some(pool) = &self.pool else { return Ok(work()) };
        let (sender, receiver) = oneshot::channel();
        // Sending fails only when the caller has stopped waiting.
        pool.shared.push(queue, Box::new(move || drop(sender.send(work()))));
        receiver.await.map_err(|_gone| WorkerPanicked)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, queue: QueueId, job: Job) {
        let mut queues = self.lock();
        let jobs = queues.jobs.entry(queue).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            queues.ready.push_back(queue);
        }
        drop(queues);
        self.changed.notify_one();
    }

    /// Runs jobs until the pool is dropped.
    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic drops the job's sender, so the waiting caller gets an error.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if let Some(job) = queues.pop() {
                return Some(job);
            }
            if queues.ended {
                return None;
            }
            queues = self.changed.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queues {
    /// Takes the next job of the queue at the front, and moves this queue to the end.
    fn pop(&mut self) -> Option<Job> {
        let queue = self.ready.pop_front()?;
        let jobs = self.jobs.get_mut(&queue)?;
        let job = jobs.pop_front();
        match jobs.is_empty() {
            true => drop(self.jobs.remove(&queue)),
            false => self.ready.push_back(queue),
        }
        job
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_is_done_and_its_result_comes_back() {
        for workers in [Workers::none(), Workers::new(2).unwrap()] {
            let queue = workers.add_queue();
            assert_eq!(workers.run(queue, || 6 * 7).await.unwrap(), 42);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_worker_goes_on() {
        let workers = Workers::new(1).unwrap();
        let queue = workers.add_queue();
        let panicked = workers.run(queue, || panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err().to_string(), "a worker has panicked, which is a defect");
        assert_eq!(workers.run(queue, || 1).await.unwrap(), 1);
    }

    #[test]
    fn queues_are_served_in_turn_however_long_one_of_them_is() {
        let workers = Workers::new(1).unwrap();
        let shared = &workers.pool.as_ref().unwrap().shared;
        let (many, few) = (workers.add_queue(), workers.add_queue());
        let (hold, held) = mpsc::channel::<()>();
        shared.push(many, Box::new(move || held.recv().unwrap()));
        let (told, order) = mpsc::channel();
        for (queue, name) in [(many, "many"), (many, "many"), (many, "many"), (few, "few")] {
            let told = told.clone();
            shared.push(queue, Box::new(move || told.send(name).unwrap()));
        }
        hold.send(()).unwrap();
        let order: Vec<&str> = order.iter().take(4).collect();
        let turn = order.iter().position(|name| *name == "few");
        assert!(turn <= Some(1), "{order:?}: it waits for one job of the other queue at most");
    }
}
