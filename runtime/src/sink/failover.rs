//! Failover over the sinks behind a channel: one sink takes the events, and another one takes over when it fails.
//!
//! The sinks read the channel with one cursor. A batch that a sink has leased stays with it until its outcome is known: it
//! comes back to the channel when the sink has failed, and the sink that is active then takes it first.
//!
//! A sink that failed runs again after its back-off. If a sink behind it in the text is active, it takes one batch on trial,
//! and becomes active again when this batch has arrived. It is told to commit this batch early, since a file may stay open for
//! hours.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::batch::Partition;
use crate::channel::{Fill, Incarnation, Lease, Reader, Taken};
use crate::failure::GrowingWaits;
use crate::observability::failover::{Branch, Cause};
use crate::observability::meter::{Meter, Reading};
use crate::routing::{Acknowledgement, Settle};

/// The shortest and the longest wait before a sink is told again to commit its batch on trial.
const TRIAL_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// The shortest and the longest time between two messages that no sink works.
const MESSAGE_WAITS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

/// The sinks of one `failover`.
pub(crate) struct FailoverGroup {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// In the order of the text.
    members: Vec<Member>,
    /// The member that takes the events; none while all members have failed.
    active: Option<usize>,
    /// The member that was active last.
    last: usize,
    /// Whether the channel has no more events, apart from leased ones.
    at_end: bool,
    /// The time since all members had failed; none while one works.
    outage: Option<Outage>,
}

/// A time in which no member works.
struct Outage {
    begun: Instant,
    next_message: Instant,
    waits: GrowingWaits,
    /// Why the member failed that was active last.
    failure: String,
}

struct Member {
    branch: Branch,
    standing: Standing,
    /// The number of batches that the member has leased.
    leases: usize,
    /// Whether the member was told to commit at the end of the channel, and has settled no lease since. A sink with several
    /// channels may hold events of another one, for which others wait in their turn.
    told: bool,
    /// When the member is told next to commit its batch on trial; none if it has none.
    trial: Option<(Instant, GrowingWaits)>,
}

/// How well a member works.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It has not failed since it last delivered events.
    Good,
    /// It has failed, and waits until it runs again.
    Failed(String),
    /// It runs again, and has not delivered events since.
    OnTrial,
    /// It takes no more events.
    Gone,
}

/// The answer to a member that asks for the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// It takes the next batch.
    Take,
    /// It waits, and may have to commit leased batches early: at this time, or when the channel says so.
    Wait(Option<Instant>),
    /// It commits leased batches early.
    Commit,
    /// No more events come.
    End,
}

/// The place of one sink in a `failover`.
#[derive(Clone)]
pub(crate) struct Membership {
    group: Arc<FailoverGroup>,
    index: usize,
}

impl FailoverGroup {
    /// Makes the group of these sinks, in the order of the text. The first is active.
    pub(crate) fn new(sinks: &[Arc<str>]) -> Arc<FailoverGroup> {
        let member = |name: &Arc<str>| Member {
            branch: Branch { component: name.clone(), meter: Arc::default() },
            standing: Standing::Good,
            leases: 0,
            told: false,
            trial: None,
        };
        let members = sinks.iter().map(member).collect();
        let state = State { members, active: Some(0), last: 0, at_end: false, outage: None };
        Arc::new(FailoverGroup { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Returns the place of one sink.
    pub(crate) fn membership(self: &Arc<Self>, index: usize) -> Membership {
        Membership { group: self.clone(), index }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.show();
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Counts a lease. A lease on trial is to be committed soon.
    fn leased(&mut self, is_active: bool) {
        self.leases += 1;
        if self.standing == Standing::OnTrial && !is_active {
            self.trial = Some((Instant::now(), GrowingWaits::new(TRIAL_WAITS[0], TRIAL_WAITS[1])));
        }
    }

    fn trial_admission(&mut self) -> Admission {
        match &mut self.trial {
            Some((due, waits)) if *due <= Instant::now() => {
                *due = Instant::now() + waits.next_wait();
                Admission::Commit
            }
            trial => Admission::Wait(trial.as_ref().map(|(due, _)| *due)),
        }
    }
}

impl State {
    /// Shows in the metrics which member is active.
    fn show(&self) {
        for (index, Member { branch, .. }) in self.members.iter().enumerate() {
            branch.show(self.active == Some(index));
            if let Some(active) = self.active {
                branch.meter.set_replaced(active != index);
            } else if !self.at_end {
                branch.meter.set_replaced(false);
            }
        }
    }

    fn leases(&self) -> usize {
        self.members.iter().map(|member| member.leases).sum()
    }

    fn is_finished(&self) -> bool {
        self.at_end && self.leases() == 0
    }

    fn admission(&mut self, index: usize) -> Admission {
        let others = self.leases() - self.members[index].leases;
        let member = &mut self.members[index];
        let is_behind = |active| index > active;
        match (&member.standing, member.leases) {
            (Standing::Gone, _) => Admission::End,
            _ if self.at_end && !member.told => {
                member.told = true;
                Admission::Commit
            }
            // Only when no other sink has leased batches, none can come back that this sink would have to take.
            _ if self.at_end && others == 0 => Admission::End,
            _ if self.at_end => Admission::Wait(None),
            _ if self.active == Some(index) => Admission::Take,
            (Standing::OnTrial, 0) if !self.active.is_some_and(is_behind) => Admission::Take,
            _ => member.trial_admission(),
        }
    }

    /// The member that takes over: the first that has not failed, or else the first that runs again.
    fn candidate(&self) -> Option<usize> {
        let first = |standing: &Standing| self.members.iter().position(|member| member.standing == *standing);
        first(&Standing::Good).or_else(|| first(&Standing::OnTrial))
    }

    /// Lets another member take the events after the active one has failed or is gone.
    fn replace_active(&mut self, failure: &str) {
        self.active = self.candidate();
        match self.active {
            Some(active) if self.outage.is_none() => self.switch(active, Cause::Failed(failure)),
            Some(_) => {}
            None if self.members.iter().all(|member| member.standing == Standing::Gone) => {}
            None => self.no_member_works(failure),
        }
    }

    /// Logs that no member works, at growing distances.
    fn no_member_works(&mut self, failure: &str) {
        let now = Instant::now();
        let component = &self.members[self.last].branch.component;
        match &mut self.outage {
            None => {
                warn!(%component, "no sink of the `failover` works: the events wait in their channel");
                let mut waits = GrowingWaits::new(MESSAGE_WAITS[0], MESSAGE_WAITS[1]);
                let next_message = now + waits.next_wait();
                self.outage = Some(Outage { begun: now, next_message, waits, failure: failure.to_owned() });
            }
            Some(outage) if outage.next_message <= now => {
                outage.next_message = now + outage.waits.next_wait();
                let since = now - outage.begun;
                warn!(%component, "no sink of the `failover` has worked for {since:.0?}: {failure}");
            }
            Some(_) => {}
        }
    }

    fn switch(&mut self, to: usize, cause: Cause<'_>) {
        self.active = Some(to);
        if to != self.last {
            self.members[to].branch.take_over(&self.members[self.last].branch, cause);
            self.last = to;
        }
    }

    fn fail(&mut self, index: usize, failure: &str) {
        self.members[index].standing = Standing::Failed(failure.to_owned());
        if self.active == Some(index) {
            self.replace_active(failure);
        }
    }

    fn run_again(&mut self, index: usize) {
        if !matches!(self.members[index].standing, Standing::Failed(_)) {
            return;
        }
        self.members[index].standing = Standing::OnTrial;
        if self.active.is_none() {
            // It has taken over only when it has delivered something.
            self.active = Some(index);
        }
    }

    /// Lets another member take the events for good. Without a failure, the member has ended in order.
    fn leave(&mut self, index: usize, failure: Option<&str>) {
        self.members[index].standing = Standing::Gone;
        if self.active == Some(index) {
            match failure.filter(|_| !self.at_end) {
                Some(failure) => self.replace_active(failure),
                None => self.active = self.candidate(),
            }
        }
    }

    fn settled(&mut self, index: usize, done: bool) {
        let member = &mut self.members[index];
        member.leases -= 1;
        member.told = false;
        if member.leases == 0 {
            member.trial = None;
        }
        if !done {
            // The events are in the channel again.
            self.at_end = false;
            self.members.iter_mut().for_each(|member| member.told = false);
            return;
        }
        if member.standing != Standing::OnTrial {
            return;
        }
        member.standing = Standing::Good;
        if let Some(Outage { begun, failure, .. }) = self.outage.take() {
            let component = &self.members[index].branch.component;
            info!(%component, "a sink of the `failover` works again after {:.0?}", begun.elapsed());
            self.switch(index, Cause::Failed(&failure));
        } else if self.active.is_none_or(|active| index < active) {
            self.switch(index, Cause::WorksAgain);
        }
    }
}

impl Membership {
    /// Shows the state of the sink in its metrics.
    pub(crate) fn measure(&self, meter: &Arc<Meter>) {
        self.group.change(|state| state.members[self.index].branch.meter = meter.clone());
    }

    /// Returns a reader that takes the batches which this sink has to deliver.
    pub(crate) fn reader(&self, channel: Box<dyn Reader>) -> Box<dyn Reader> {
        Box::new(FailoverReader { channel, membership: self.clone() })
    }

    /// Records that the sink has failed, and runs again after a wait.
    pub(super) fn fail(&self, failure: &str) {
        self.group.change(|state| state.fail(self.index, failure));
    }

    /// Records that the sink runs, perhaps after a failure.
    pub(super) fn run(&self) {
        self.group.change(|state| state.run_again(self.index));
    }

    /// Records that the sink runs never again.
    pub(super) fn leave(&self, failure: &str) {
        self.group.change(|state| state.leave(self.index, Some(failure)));
    }

    /// Whether another sink is left.
    pub(super) fn has_others(&self) -> bool {
        let state = self.group.lock();
        let mut others = state.members.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.any(|(_, member)| member.standing != Standing::Gone)
    }

    /// Waits until the channel has no more events, and all have arrived.
    pub(super) async fn finished(&self) {
        loop {
            let changed = self.group.changed.notified();
            if self.group.lock().is_finished() {
                return;
            }
            changed.await;
        }
    }
}

/// Takes the batches of a channel when its sink has to deliver them.
struct FailoverReader {
    channel: Box<dyn Reader>,
    membership: Membership,
}

impl FailoverReader {
    /// Takes the next batch. The lease counts as the sink's in the same moment, so that no other sink takes the channel for
    /// drained.
    async fn take_counted(&mut self) -> Taken<Lease> {
        let Membership { group, index } = &self.membership;
        let mut take = self.channel.take();
        let taken = poll_fn(|context| {
            let mut state = group.lock();
            let taken = take.as_mut().poll(context);
            match &taken {
                Poll::Ready(Taken::Events(_)) => {
                    let is_active = state.active == Some(*index);
                    state.members[*index].leased(is_active);
                }
                Poll::Ready(Taken::End) => {
                    if !std::mem::replace(&mut state.at_end, true) {
                        group.changed.notify_waiters();
                    }
                }
                Poll::Ready(Taken::Pressure) | Poll::Pending => {}
            }
            taken
        });
        match taken.await {
            Taken::Events(lease) => {
                let membership = self.membership.clone();
                let settle = LeaseSettle { lease: lease.acknowledgement, membership };
                Taken::Events(Lease { acknowledgement: Acknowledgement::new(1, Box::new(settle)), ..lease })
            }
            other => other,
        }
    }
}

#[async_trait]
impl Reader for FailoverReader {
    async fn take(&mut self) -> Taken<Lease> {
        loop {
            let Membership { group, index } = self.membership.clone();
            let changed = group.changed.notified();
            let admission = group.lock().admission(index);
            match admission {
                Admission::End => return Taken::End,
                Admission::Commit => return Taken::Pressure,
                Admission::Wait(due) => tokio::select! {
                    () = self.channel.pressure() => return Taken::Pressure,
                    () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                    () = changed => {}
                },
                Admission::Take => tokio::select! {
                    biased;
                    taken = self.take_counted() => match taken {
                        // The group decides whether leased batches of other sinks may come back.
                        Taken::End => {}
                        taken => return taken,
                    },
                    () = changed => {}
                },
            }
        }
    }

    async fn pressure(&mut self) {
        self.channel.pressure().await;
    }

    fn held(&self) -> Fill {
        self.channel.held()
    }

    fn settled(&self) -> BTreeMap<Partition, u64> {
        self.channel.settled()
    }

    fn incarnation(&self) -> Option<(Partition, Incarnation)> {
        self.channel.incarnation()
    }

    fn keep_mark(&mut self, mark: u64) {
        self.channel.keep_mark(mark);
    }

    fn take_skipped(&mut self) -> usize {
        self.channel.take_skipped()
    }

    fn is_drained(&self) -> bool {
        self.membership.group.lock().at_end
    }
}

/// A sink whose task has ended takes no more events. Unless the sink has panicked, the agent is ending.
impl Drop for FailoverReader {
    fn drop(&mut self) {
        let Membership { group, index } = &self.membership;
        let failure = std::thread::panicking().then_some("it has panicked");
        group.change(|state| state.leave(*index, failure));
    }
}

/// Passes the outcome of a lease on to the channel, and then to the group.
struct LeaseSettle {
    lease: Acknowledgement,
    membership: Membership,
}

impl Settle for LeaseSettle {
    fn settle(self: Box<Self>, done: bool) {
        self.settle_with(done, Reading::default());
    }

    fn settle_with(self: Box<Self>, done: bool, rejected: Reading) {
        let LeaseSettle { lease, membership: Membership { group, index } } = *self;
        lease.add_rejected(rejected);
        let counts_as_moved = put_back!("failover_lease_moved") && group.lock().active != Some(index);
        match done || counts_as_moved {
            true => lease.done(),
            // The cursor stays behind the events.
            false if put_back!("failover_cursor_not_reset") => std::mem::forget(lease),
            false => drop(lease),
        }
        group.change(|state| state.settled(index, done));
    }
}
