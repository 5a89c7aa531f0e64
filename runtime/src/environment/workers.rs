//! Workers: one thread for each core, for what computes and does not wait.
//!
//! Tokio's threads wait for sockets, timers and channels. Kernels and codecs would hold them up, so they run
//! here, a batch at a time. Work of different flows takes turns, whatever is queued of each: a flow with
//! expensive steps slows itself down, not its neighbours.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The workers of an agent. Clones share them; they end when the last clone is dropped.
#[derive(Clone, Default)]
pub struct Workers {
    /// Without, work is done by who asks for it.
    pool: Option<Arc<Pool>>,
}

/// What belongs together and takes turns with others: a source's steps, a sink's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(usize);

/// Work that did not come to its end. The panic's message is on standard error.
#[derive(Debug, Error)]
#[error("a worker has panicked, which is a defect")]
pub struct WorkerPanicked;

struct Pool {
    shared: Arc<Shared>,
    next_lane: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lanes: BTreeMap<Lane, VecDeque<Job>>,
    /// The lanes that have work, in the order of their turns.
    turns: VecDeque<Lane>,
    ended: bool,
}

impl Workers {
    /// A thread for each core that this process may use.
    ///
    /// # Errors
    /// When the system makes no more threads.
    pub fn one_each_core() -> std::io::Result<Workers> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Workers::new(cores)
    }

    /// So many threads.
    ///
    /// # Errors
    /// When the system makes no more of them.
    pub fn new(threads: usize) -> std::io::Result<Workers> {
        let shared = Arc::new(Shared::default());
        let pool = Pool { shared: shared.clone(), next_lane: AtomicUsize::new(0) };
        for number in 0..threads {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("weir-worker-{number}"));
            thread.spawn(move || shared.work())?;
        }
        Ok(Workers { pool: Some(Arc::new(pool)) })
    }

    /// No threads: everything is done by who asks for it, as simulations need it.
    pub fn none() -> Workers {
        Workers::default()
    }

    /// A lane of its own.
    pub fn lane(&self) -> Lane {
        Lane(self.pool.as_ref().map_or(0, |pool| pool.next_lane.fetch_add(1, Ordering::Relaxed)))
    }

    /// Has this done and waits for it. Dropping the future leaves the work to its end, unseen.
    ///
    /// # Errors
    /// When it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkerPanicked> {
        let Some(pool) = &self.pool else { return Ok(work()) };
        let (sender, receiver) = oneshot::channel();
        // Who does not wait any more does not want to know.
        pool.shared.push(lane, Box::new(move || drop(sender.send(work()))));
        receiver.await.map_err(|_gone| WorkerPanicked)
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, lane: Lane, job: Job) {
        let mut queue = self.queue();
        let jobs = queue.lanes.entry(lane).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            queue.turns.push_back(lane);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Works until the pool ends.
    fn work(&self) {
        while let Some(job) = self.next() {
            // It drops its sender, so that who waits for it is told.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            if queue.ended {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    /// The first job of the lane whose turn it is, which then goes last.
    fn pop(&mut self) -> Option<Job> {
        let lane = self.turns.pop_front()?;
        let jobs = self.lanes.get_mut(&lane)?;
        let job = jobs.pop_front();
        match jobs.is_empty() {
            true => drop(self.lanes.remove(&lane)),
            false => self.turns.push_back(lane),
        }
        job
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
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
            let lane = workers.lane();
            assert_eq!(workers.run(lane, || 6 * 7).await.unwrap(), 42);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_worker_goes_on() {
        let workers = Workers::new(1).unwrap();
        let lane = workers.lane();
        let panicked = workers.run(lane, || panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err().to_string(), "a worker has panicked, which is a defect");
        assert_eq!(workers.run(lane, || 1).await.unwrap(), 1);
    }

    #[test]
    fn lanes_take_turns_however_much_is_queued_in_one() {
        let workers = Workers::new(1).unwrap();
        let shared = &workers.pool.as_ref().unwrap().shared;
        let (many, few) = (workers.lane(), workers.lane());
        let (hold, held) = mpsc::channel::<()>();
        shared.push(many, Box::new(move || held.recv().unwrap()));
        let (told, order) = mpsc::channel();
        for (lane, name) in [(many, "many"), (many, "many"), (many, "many"), (few, "few")] {
            let told = told.clone();
            shared.push(lane, Box::new(move || told.send(name).unwrap()));
        }
        hold.send(()).unwrap();
        let order: Vec<&str> = order.iter().take(4).collect();
        let turn = order.iter().position(|name| *name == "few");
        assert!(turn <= Some(1), "{order:?}: it waits for one of the others at most");
    }
}
