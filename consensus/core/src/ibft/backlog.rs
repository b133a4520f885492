//! Messages for heights that have not begun here, and which messages were passed on.

use super::payload::{Kind, View};
use crate::{engine::Millis, message::Admitted};
use alloy_primitives::Address;
use entente_chain::{BlockNumber, NodeId, limits::BACKLOG_PER_VALIDATOR};
use std::collections::BTreeMap;

/// Messages that carry blocks, over all validators: they may be large.
const BLOCKS_MAX: usize = 16;
/// After this a message that comes again is passed on again (its author sends it again when it is
/// stuck). Far longer than a frame takes around any network, so none circles.
const RELAY_AGAIN_MS: Millis = 20_000;

type Held = Vec<(NodeId, Admitted)>;
type Times = BTreeMap<View, Millis>;

/// Messages for later heights, per author.
#[derive(Default)]
pub(super) struct Backlog {
    kept: BTreeMap<Address, Held>,
}

impl Backlog {
    /// Keeps a message, if there is room and it is new.
    pub(super) fn insert(&mut self, from: NodeId, admitted: Admitted) {
        let Some(message) = admitted.ibft() else { return };
        let (kind, view, author) = (message.kind(), message.view(), message.author());
        let carries_block = |kind| matches!(kind, Kind::Proposal | Kind::RoundChange);
        if carries_block(kind) && self.blocks() >= BLOCKS_MAX {
            return;
        }
        let kept = self.kept.entry(author).or_default();
        let same = |other: &(NodeId, Admitted)| {
            let Some(other) = other.1.ibft() else { return false };
            let slot = other.kind() == kind && other.view().height == view.height;
            slot && (carries_block(kind) || other.view().round == view.round)
        };
        match kept.iter().position(same) {
            // The newest round is where its author is.
            Some(index) if kind == Kind::RoundChange => {
                if let Some(slot) = kept.get_mut(index)
                    && round_of(&slot.1) < view.round
                {
                    *slot = (from, admitted);
                }
            }
            Some(_) => {}
            None if kept.len() < BACKLOG_PER_VALIDATOR => kept.push((from, admitted)),
            None => {}
        }
    }

    /// Takes out the messages of a height, in the order they came, and drops older ones.
    pub(super) fn take(&mut self, height: BlockNumber) -> Held {
        let mut taken = Vec::new();
        for kept in self.kept.values_mut() {
            let (due, later): (Vec<_>, Vec<_>) =
                kept.drain(..).partition(|(_, admitted)| height_of(admitted) <= height);
            *kept = later;
            taken.extend(due.into_iter().filter(|(_, admitted)| height_of(admitted) == height));
        }
        self.kept.retain(|_, kept| !kept.is_empty());
        taken
    }

    /// Messages that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.values().map(Vec::len).sum()
    }

    /// Those of them that carry blocks.
    pub(super) fn blocks(&self) -> usize {
        let kept = self.kept.values().flatten();
        let kinds = kept.filter_map(|(_, admitted)| Some(admitted.ibft()?.kind()));
        kinds.filter(|kind| matches!(kind, Kind::Proposal | Kind::RoundChange)).count()
    }
}

fn round_of(admitted: &Admitted) -> u64 {
    admitted.ibft().map_or(0, |message| message.view().round)
}

fn height_of(admitted: &Admitted) -> BlockNumber {
    admitted.ibft().map_or(0, |message| message.view().height)
}

/// Messages that were passed on, by author and type.
#[derive(Default)]
pub(super) struct Relayed {
    at: BTreeMap<(Address, Kind), Times>,
}

impl Relayed {
    /// Whether to pass a message on now; notes that it was.
    pub(super) fn claim(&mut self, author: Address, kind: Kind, view: View, now: Millis) -> bool {
        let views = self.at.entry((author, kind)).or_default();
        if views.get(&view).is_some_and(|at| now.saturating_sub(*at) < RELAY_AGAIN_MS) {
            return false;
        }
        if views.len() >= BACKLOG_PER_VALIDATOR && !views.contains_key(&view) {
            // What falls out may come again; only newer views may push older ones out.
            if views.first_key_value().is_some_and(|(oldest, _)| *oldest > view) {
                return false;
            }
            views.pop_first();
        }
        views.insert(view, now);
        true
    }

    /// Messages that are remembered.
    pub(super) fn len(&self) -> usize {
        self.at.values().map(BTreeMap::len).sum()
    }

    /// Forgets heights below `height`.
    pub(super) fn forget_below(&mut self, height: BlockNumber) {
        for views in self.at.values_mut() {
            *views = views.split_off(&View { height, round: 0 });
        }
        self.at.retain(|_, views| !views.is_empty());
    }
}
