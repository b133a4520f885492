//! Virtual time's two books, the same for every world: what is to come, and what has happened.

use crate::Failure;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Display,
};

/// Events that a failure shows.
const EVENTS_SHOWN: usize = 40;

/// Events to come, in the order of their times, those of one time as they were asked for.
pub(crate) struct Agenda<E> {
    sequence: u64,
    queue: BTreeMap<(u64, u64), E>,
}

impl<E> Agenda<E> {
    pub(crate) const fn new() -> Self {
        Self { sequence: 0, queue: BTreeMap::new() }
    }

    pub(crate) fn at(&mut self, time: u64, event: E) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), event);
    }

    /// The next event, and time with it; where it is later than `until`, only time, up to there.
    pub(crate) fn next(&mut self, time: &mut u64, until: u64) -> Option<E> {
        let entry = self.queue.first_entry()?;
        let (due, _) = *entry.key();
        *time = due.min(until);
        (due <= until).then(|| entry.remove())
    }

    /// Takes events out; whether there were any.
    #[cfg(test)]
    pub(crate) fn strike(&mut self, which: impl Fn(&E) -> bool) -> bool {
        let before = self.queue.len();
        self.queue.retain(|_, event| !which(event));
        before > self.queue.len()
    }
}

/// What has happened: all of it as a hash, the last of it in words.
pub(crate) struct Chronicle {
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    recent: VecDeque<String>,
}

impl Chronicle {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { steps: 0, hash: seed, recent: VecDeque::new() }
    }

    pub(crate) fn tell(&mut self, time: u64, what: &str) {
        let line = format!("{time:>8} ms  {what}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.recent.push_back(line);
        if self.recent.len() > EVENTS_SHOWN {
            self.recent.pop_front();
        }
    }

    pub(crate) fn failure(
        &self,
        checker: &'static str,
        what: String,
        scenario: &impl Display,
    ) -> Failure {
        Failure {
            checker,
            what,
            step: self.steps,
            events: self.recent.iter().cloned().collect(),
            scenario: scenario.to_string(),
        }
    }
}
