//! How old the oldest event of a channel is, from marks that are set now and then.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// Marks are at least so far apart, which is how exact an age is at first.
const APART_MIN: Duration = Duration::from_millis(100);
/// With more marks, every second one goes: what stands for long is known less exactly.
const MARKS_MAX: usize = 1024;

/// Remembers how much had been put when.
///
/// Events are taken to leave in the order in which they came, so that the oldest one is as many puts
/// back as the channel holds. Where sinks commit out of order, it may be older by what was overtaken.
#[derive(Debug, Default)]
pub(crate) struct Age {
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    put: u64,
    /// As many events had been put before this time, oldest first.
    marks: VecDeque<(u64, Instant)>,
    thinned: u32,
}

impl Age {
    /// So many events are put now.
    pub(crate) fn put(&self, events: usize, now: Instant) {
        let mut marks = lock(&self.marks);
        let apart = APART_MIN * 2u32.saturating_pow(marks.thinned);
        if marks.marks.back().is_none_or(|(_, last)| now.saturating_duration_since(*last) >= apart) {
            let put = marks.put;
            marks.marks.push_back((put, now));
            if marks.marks.len() > MARKS_MAX {
                marks.thin();
            }
        }
        marks.put += events as u64;
    }

    /// How old the oldest event is, when the channel holds so many; `None` if it holds none.
    pub(crate) fn oldest(&self, held: u64, now: Instant) -> Option<Duration> {
        let mut marks = lock(&self.marks);
        let gone = marks.put.saturating_sub(held);
        // The last mark at or before the oldest event says when it came, or a little earlier.
        let before = marks.marks.partition_point(|(put, _)| *put <= gone);
        let forgotten = before.saturating_sub(1);
        marks.marks.drain(..forgotten);
        if marks.marks.len() < MARKS_MAX / 2 {
            marks.thinned = 0;
        }
        let (_, since) = marks.marks.front().filter(|_| held > 0)?;
        Some(now.saturating_duration_since(*since))
    }
}

impl Marks {
    fn thin(&mut self) {
        let mut place = 0;
        // The first one stays, so that no age becomes too small.
        self.marks.retain(|_| {
            place += 1;
            place % 2 == 1
        });
        self.thinned = (self.thinned + 1).min(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_event_is_as_far_back_as_the_channel_is_full() {
        let (age, begin) = (Age::default(), Instant::now());
        assert_eq!(age.oldest(0, begin), None);
        for second in 0..10 {
            age.put(100, begin + Duration::from_secs(second));
        }
        let now = begin + Duration::from_secs(20);
        assert_eq!(age.oldest(1_000, now), Some(Duration::from_secs(20)));
        assert_eq!(age.oldest(150, now), Some(Duration::from_secs(12)));
        assert_eq!(age.oldest(1, now), Some(Duration::from_secs(11)));
        assert_eq!(age.oldest(0, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn however_long_nothing_leaves_the_marks_are_bounded() {
        let (age, begin) = (Age::default(), Instant::now());
        for second in 0..100_000 {
            age.put(1, begin + Duration::from_secs(second));
        }
        let now = begin + Duration::from_secs(100_000);
        assert!(lock(&age.marks).marks.len() <= MARKS_MAX);
        assert_eq!(age.oldest(100_000, now), Some(Duration::from_secs(100_000)));
        let half = age.oldest(50_000, now).unwrap().as_secs();
        assert!((50_000..50_000 + 200).contains(&half), "{half}");
    }
}
