//! B3: once a block may have been decided in a round, no honest validator says in a later round that
//! another one may be.

use super::{Finding, finding};
use alloy_primitives::{Address, B256};
use entente_chain::BlockNumber;
use entente_consensus::ibft;
use std::collections::{BTreeMap, BTreeSet};

type ByBlock = BTreeMap<(u64, B256), BTreeSet<Address>>;

/// What honest validators said at one height.
#[derive(Debug, Default)]
struct Said {
    commits: ByBlock,
    prepares: ByBlock,
}

/// What was said by height.
#[derive(Debug, Default)]
pub(super) struct Locks {
    heights: BTreeMap<BlockNumber, Said>,
}

/// Who votes at a height, and on whom nobody can rely: liars, and those that lost their memory of it.
pub(super) struct Voters<'a> {
    pub(super) all: &'a BTreeSet<Address>,
    pub(super) unreliable: &'a BTreeSet<Address>,
    pub(super) quorum: usize,
}

impl Locks {
    /// A reliable validator said something.
    pub(super) fn said(
        &mut self,
        message: &ibft::Message,
        voters: &Voters<'_>,
    ) -> Result<(), Finding> {
        let (author, view) = (message.author(), message.view());
        if voters.unreliable.contains(&author) || !voters.all.contains(&author) {
            return Ok(());
        }
        let height = self.heights.entry(view.height).or_default();
        let (round, said) = (view.round, author);
        match message {
            ibft::Message::Prepare(prepare) => {
                let digest = prepare.payload().digest;
                height.prepares.entry((round, digest)).or_default().insert(said);
            }
            ibft::Message::Commit(commit) => {
                let digest = commit.payload().digest;
                height.commits.entry((round, digest)).or_default().insert(said);
            }
            ibft::Message::Proposal(_) | ibft::Message::RoundChange(_) => return Ok(()),
        }
        let found = height.broken(voters);
        if let Some((locked, other)) = found {
            let number = view.height;
            let what = format!("height {number}: {locked:?} may be decided, {other:?} is prepared");
            return finding("B3", what);
        }
        self.heights = self.heights.split_off(&view.height.saturating_sub(8));
        Ok(())
    }
}

impl Said {
    /// A block that a quorum may have committed to, and another one that was prepared later.
    fn broken(&self, voters: &Voters<'_>) -> Option<((u64, B256), (u64, B256))> {
        let doubtful = voters.all.intersection(voters.unreliable).count();
        let mut locked = self
            .commits
            .iter()
            // Who lost its memory since is counted once, as doubtful.
            .filter(|(_, who)| {
                let sure = who.difference(voters.unreliable).count();
                sure.saturating_add(doubtful) >= voters.quorum
            })
            .map(|(block, _)| *block);
        locked.find_map(|(round, digest)| {
            let later =
                self.prepares.keys().find(|(other, block)| *other > round && *block != digest);
            later.map(|later| ((round, digest), *later))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_prepared_after_another_may_be_decided_is_found() {
        let all: BTreeSet<_> = (1..=4).map(Address::repeat_byte).collect();
        let unreliable = BTreeSet::from([Address::repeat_byte(4)]);
        let voters = Voters { all: &all, unreliable: &unreliable, quorum: 3 };
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let mut said = Said::default();
        said.commits.entry((1, one)).or_default().insert(Address::repeat_byte(1));
        said.prepares.entry((2, other)).or_default().insert(Address::repeat_byte(3));
        assert_eq!(said.broken(&voters), None, "one commit and a liar are two");
        said.commits.entry((1, one)).or_default().insert(Address::repeat_byte(2));
        assert_eq!(said.broken(&voters), Some(((1, one), (2, other))));
    }
}
