//! What the polling thread of a reader and the reader share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::statistics::Statistics;
use weir_runtime::{Cause, Meter, Reminder};

use super::error::ChannelError;
use super::lag::Lags;
use super::offsets::Offsets;
use super::writer::Unwritten;
use crate::components::kafka::connection::Connection;

/// What the thread and the reader share.
pub(super) struct Taking {
    pub(super) component: Arc<str>,
    pub(super) group: String,
    /// The connection of this reader's client.
    pub(super) connection: Connection,
    pub(super) meter: Arc<Meter>,
    /// The puts of this channel, which are taken before the end.
    pub(super) unwritten: Arc<Unwritten>,
    /// The lags of all readers of the channel.
    lags: Arc<Lags>,
    offsets: Mutex<Offsets>,
    /// Nothing more is put into the channel by this agent.
    pub(super) closing: AtomicBool,
    /// The thread has to end.
    ending: AtomicBool,
    /// Whether the group has assigned partitions, or there are none to be assigned.
    pub(super) has_joined: AtomicBool,
    /// Whether a trouble is reported.
    is_troubled: AtomicBool,
    /// The error of a callback.
    failed: Mutex<Option<ChannelError>>,
}

impl Taking {
    pub(super) fn new(
        component: Arc<str>,
        group: String,
        connection: Connection,
        meter: Arc<Meter>,
        unwritten: Arc<Unwritten>,
        lags: Arc<Lags>,
    ) -> Taking {
        Taking {
            component,
            group,
            connection,
            meter,
            unwritten,
            lags,
            offsets: Mutex::default(),
            closing: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            has_joined: AtomicBool::new(false),
            is_troubled: AtomicBool::new(false),
            failed: Mutex::default(),
        }
    }

    pub(super) fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread pass on what the topic has now, and then no more.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Lets the thread end.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Reports that the thread has failed. Returns what a warning adds, if one is due.
    pub(super) fn report_trouble(&self, cause: Cause, text: String) -> Option<Reminder> {
        self.is_troubled.store(true, Ordering::Release);
        self.meter.report_trouble(&self.subject(), cause, text)
    }

    /// Notes that the brokers answer the thread.
    pub(super) fn resolve_trouble(&self) {
        if self.is_troubled.load(Ordering::Acquire) && self.is_troubled.swap(false, Ordering::AcqRel) {
            self.meter.resolve_trouble(&self.subject());
        }
    }

    fn subject(&self) -> String {
        format!("group {}", self.group)
    }

    /// Sets the metric of the lag, by what the client knows of the topic.
    pub(super) fn set_lag(&self, statistics: &Statistics, topic: &str) {
        let known = statistics.topics.get(topic);
        let offsets = self.offsets();
        let lag = offsets.delivered().filter_map(|(partition, delivered)| {
            // Records behind the last stable offset belong to open transactions, and can't be read yet.
            let end = known?.partitions.get(&partition)?.ls_offset;
            Some((partition, u64::try_from(end).ok()?.saturating_sub(delivered)))
        });
        self.lags.set(&self.meter, &self.group, lag);
    }

    pub(super) fn fail(&self, error: ChannelError) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn take_failure(&self) -> Option<ChannelError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
