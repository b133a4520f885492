//! What a seed of private transactions draws.

use crate::{random::Random, scenario::Weather};
use std::fmt;

/// A bug that is switched on, all of them in what surrounds the real code here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "bugs are for tests"))]
pub(crate) enum Sabotage {
    /// A payload that may be ours and is missing is taken for somebody else's (quorum#1574).
    NonParty,
    /// A payload is acknowledged before it is durable.
    EarlyAcknowledgement,
    /// Arriving payloads are stored although their terms are not kept.
    NoArrivalCheck,
    /// A node with an empty database does not ask for what it may have had.
    NoRecovery,
    /// A copy of every payload goes to everybody.
    Broadcast,
    /// Private columns are not sealed.
    PlainDisk,
    /// One node reads another word than the one that was sent.
    OtherBytes,
}

/// The keys of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// None: it has no private side at all.
    None,
    /// One.
    One,
    /// Two, of one private state.
    Two,
    /// Two, each with a private state of its own.
    Residents,
}

/// Everything that a seed decided before the first event.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Keys>,
    pub(crate) weather: Weather,
    /// Requests of clients.
    pub(crate) requests: u64,
    /// Milliseconds between blocks.
    pub(crate) period: u64,
    /// Whether nodes lose their disks. Not in seeds that are run twice: whom a node asks first for
    /// which payload follows from hashes.
    pub(crate) wipes: bool,
    /// The stream that private words are drawn from; all that a twin of this seed has different.
    pub(crate) words: u64,
    pub(crate) sabotage: Option<Sabotage>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, 11);
        let parties = 4 + random.index(2);
        let some = [Keys::One, Keys::One, Keys::Two, Keys::Residents];
        let mut nodes: Vec<_> = (0..parties).map(|_| random.pick(&some, Keys::One)).collect();
        nodes.push(Keys::None);
        Self {
            seed,
            nodes,
            weather: Weather::draw(&mut random),
            requests: 24 + random.below(16),
            period: random.pick(&[1000, 1000, 2000], 1000),
            wipes: random.percent(75),
            words: 0,
            sabotage: None,
        }
    }

    /// The same, but for what is private.
    pub(crate) fn twin(&self) -> Self {
        Self { words: self.words + 1, ..self.clone() }
    }
}
