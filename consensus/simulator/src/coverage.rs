//! What occurred during runs, so that a run that saw nothing cannot count as one that found nothing.

use std::collections::BTreeMap;

/// Counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Something occurred.
    pub fn saw(&mut self, what: &'static str) {
        self.counts.entry(what).and_modify(|count| *count += 1).or_insert(1);
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            self.counts.entry(what).and_modify(|sum| *sum += count).or_insert(*count);
        }
    }

    /// How often something occurred.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// All counters.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }

    /// What must have occurred over enough seeds of an engine.
    #[must_use]
    pub const fn required(engine: crate::Engine) -> &'static [&'static str] {
        match engine {
            crate::Engine::Ibft => &[
                "crash between persist and send",
                "crash before persist",
                "wiped disk",
                "round above 2",
                "prepared block proposed again",
                "validator voted in or out",
                "dishonest message",
                "partition",
                "disk full",
                "disk stalled",
                "twenty blocks after healing",
            ],
            crate::Engine::Raft => &[
                "crash between persist and send",
                "crash between a leader's word and its record",
                "head came back out of the log",
                "wiped disk",
                "voter recovered its memory",
                "leader changed",
                "old block proposed again",
                "member changed",
                "partition",
                "disk stalled",
                "twenty blocks after healing",
            ],
            crate::Engine::Clique => &[
                "crash between persist and send",
                "wiped disk",
                "reorganisation",
                "reorganisation of 2 or more blocks",
                "block out of turn",
                "partition",
                "disk stalled",
                "twenty blocks after healing",
            ],
            crate::Engine::Switch => {
                &["engine switched", "disk stalled", "twenty blocks after healing"]
            }
            crate::Engine::Private => crate::private_world::REQUIRED,
        }
    }
}
