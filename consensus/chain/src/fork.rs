//! Which Ethereum rules hold at a block. Forks before the merge come by block number, later ones
//! by timestamp in seconds; a genesis may also place late forks by block number (Besu's and
//! GoQuorum's private networks do up to London).

use crate::BlockNumber;
use std::fmt;

/// An Ethereum hard fork that changes execution or the header, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// The launch rules.
    Frontier,
    /// EIP-606.
    Homestead,
    /// EIP-608 (gas costs, "EIP-150").
    TangerineWhistle,
    /// EIP-607 ("EIP-155, EIP-158").
    SpuriousDragon,
    /// EIP-609.
    Byzantium,
    /// EIP-1013, without EIP-1283 once Petersburg holds.
    Constantinople,
    /// EIP-1716.
    Petersburg,
    /// EIP-1679.
    Istanbul,
    /// EIP-2387: difficulty only.
    MuirGlacier,
    /// EIP-2070.
    Berlin,
    /// EIP-1559 and friends.
    London,
    /// EIP-4345: difficulty only.
    ArrowGlacier,
    /// EIP-5133: difficulty only.
    GrayGlacier,
    /// The merge. Networks of our engines take PREVRANDAO from Shanghai on, as Besu's do.
    Paris,
    /// EIP-4895 withdrawals, PUSH0.
    Shanghai,
    /// EIP-4844, EIP-4788, EIP-1153.
    Cancun,
    /// EIP-7702, EIP-7685, EIP-2935.
    Prague,
    /// EIP-7825, EIP-7883, EIP-7939, EIP-7951.
    Osaka,
}

impl Fork {
    /// All forks in order.
    pub const ALL: [Self; 18] = [
        Self::Frontier,
        Self::Homestead,
        Self::TangerineWhistle,
        Self::SpuriousDragon,
        Self::Byzantium,
        Self::Constantinople,
        Self::Petersburg,
        Self::Istanbul,
        Self::MuirGlacier,
        Self::Berlin,
        Self::London,
        Self::ArrowGlacier,
        Self::GrayGlacier,
        Self::Paris,
        Self::Shanghai,
        Self::Cancun,
        Self::Prague,
        Self::Osaka,
    ];
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// When a fork begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// From this block on.
    Block(BlockNumber),
    /// From the first block with at least this timestamp, in seconds.
    Time(u64),
}

/// The fork schedule of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkSchedule {
    entries: Vec<(Fork, Activation)>,
}

impl ForkSchedule {
    /// A schedule from (fork, activation) pairs in any order; forks left out never begin on their
    /// own, but hold once a later one does.
    #[must_use]
    pub fn new(mut entries: Vec<(Fork, Activation)>) -> Self {
        entries.sort_by_key(|(fork, _)| *fork);
        Self { entries }
    }

    /// Everything up to `fork` from genesis on.
    #[must_use]
    pub fn all_until(fork: Fork) -> Self {
        let at_genesis = |candidate: &Fork| {
            let by_time = *candidate >= Fork::Shanghai;
            (*candidate, if by_time { Activation::Time(0) } else { Activation::Block(0) })
        };
        Self::new(
            Fork::ALL.iter().filter(|candidate| **candidate <= fork).map(at_genesis).collect(),
        )
    }

    /// The newest fork that holds at a block. `timestamp` is in seconds.
    #[must_use]
    pub fn at(&self, number: BlockNumber, timestamp: u64) -> Fork {
        let holds = |activation: Activation| match activation {
            Activation::Block(from) => number >= from,
            Activation::Time(from) => timestamp >= from,
        };
        self.entries
            .iter()
            .rev()
            .find(|(_, activation)| holds(*activation))
            .map_or(Fork::Frontier, |(fork, _)| *fork)
    }

    /// When a fork begins, if it was given.
    #[must_use]
    pub fn activation(&self, fork: Fork) -> Option<Activation> {
        self.entries.iter().find(|(candidate, _)| *candidate == fork).map(|(_, at)| *at)
    }

    /// The (fork, activation) pairs in fork order.
    #[must_use]
    pub fn entries(&self) -> &[(Fork, Activation)] {
        &self.entries
    }

    /// The newest fork of the schedule, whenever it begins.
    #[must_use]
    pub fn newest(&self) -> Fork {
        self.entries.last().map_or(Fork::Frontier, |(fork, _)| *fork)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_fork_that_began_holds() {
        let schedule = ForkSchedule::new(vec![
            (Fork::Shanghai, Activation::Time(1000)),
            (Fork::Berlin, Activation::Block(5)),
            (Fork::Istanbul, Activation::Block(0)),
        ]);
        assert_eq!(schedule.at(0, 0), Fork::Istanbul);
        assert_eq!(schedule.at(5, 0), Fork::Berlin);
        assert_eq!(schedule.at(6, 1000), Fork::Shanghai);
    }
}
