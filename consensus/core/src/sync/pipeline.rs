//! Ranges of blocks between the head and what was asked for last, in order and without holes.

use crate::engine::{FetchId, ImportId};
use entente_chain::{BlockNumber, NodeId, RecoveredBlock, limits::BLOCK_RANGE_MAX};
use std::collections::VecDeque;

/// Ranges beyond which no new one is begun.
const SLOTS_MAX: usize = 3;
/// Ranges that wait for import before more than the next one is asked for; each may hold as much
/// as one frame.
const READY_MAX: usize = 2;

/// Blocks of one answer, and who served them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) peer: NodeId,
    pub(super) blocks: Vec<RecoveredBlock>,
}

#[derive(Debug)]
enum SlotState {
    Wanted,
    Asked(FetchId),
    Ready(Batch),
    Importing { request: ImportId, peer: NodeId },
}

/// At least one block: `first..=last`.
#[derive(Debug)]
struct Slot {
    first: BlockNumber,
    last: BlockNumber,
    state: SlotState,
}

impl Slot {
    const fn is_importing(&self) -> bool {
        matches!(self.state, SlotState::Importing { .. })
    }

    const fn is_ready(&self) -> bool {
        matches!(self.state, SlotState::Ready(_))
    }
}

/// The ranges.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    slots: VecDeque<Slot>,
}

impl Pipeline {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Blocks that were served and are not handed on yet.
    pub(super) fn blocks(&self) -> usize {
        let ready = self.slots.iter().map(|slot| match &slot.state {
            SlotState::Ready(batch) => batch.blocks.len(),
            SlotState::Wanted | SlotState::Asked(_) | SlotState::Importing { .. } => 0,
        });
        ready.sum()
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Forgets what lies at or below the head, and everything if that leaves a hole.
    pub(super) fn trim(&mut self, head: BlockNumber) {
        self.slots.retain(|slot| slot.is_importing() || slot.last > head);
        let next = head.saturating_add(1);
        match self.slots.front_mut() {
            Some(slot) if slot.is_importing() => {}
            Some(slot) if slot.first > next => self.slots.clear(),
            Some(slot) if matches!(slot.state, SlotState::Wanted) => {
                slot.first = slot.first.max(next);
            }
            Some(_) | None => {}
        }
        // What is wanted at the end is worked out anew: its claim may be gone by now.
        while self.slots.back().is_some_and(|slot| matches!(slot.state, SlotState::Wanted)) {
            self.slots.pop_back();
        }
    }

    /// The front range if it is there and nothing is being imported, without what is committed.
    pub(super) fn take_ready(&mut self, head: BlockNumber) -> Option<Batch> {
        let slot = self.slots.front_mut().filter(|slot| slot.is_ready())?;
        let SlotState::Ready(mut batch) = std::mem::replace(&mut slot.state, SlotState::Wanted)
        else {
            return None;
        };
        batch.blocks.retain(|block| block.header.number > head);
        Some(batch)
    }

    /// The front range, just taken, is being imported.
    pub(super) fn importing(&mut self, request: ImportId, peer: NodeId) {
        if let Some(slot) = self.slots.front_mut() {
            slot.state = SlotState::Importing { request, peer };
        }
    }

    /// Ends an import; who had served it.
    pub(super) fn imported(&mut self, ended: ImportId) -> Option<NodeId> {
        let SlotState::Importing { request, peer } = self.slots.front()?.state else {
            return None;
        };
        if request != ended {
            return None;
        }
        self.slots.pop_front();
        Some(peer)
    }

    /// The next range to ask for: one that failed, else a new one at the end (its length is the
    /// most that may be asked).
    pub(super) fn next_wanted(&self, head: BlockNumber) -> Option<(BlockNumber, u64)> {
        let ready = self.slots.iter().filter(|slot| slot.is_ready()).count();
        let missing =
            self.slots.iter().enumerate().find(|(_, slot)| matches!(slot.state, SlotState::Wanted));
        if let Some((index, slot)) = missing {
            // The front range is always asked for, or nothing would ever move.
            let may_ask = index == 0 || ready < READY_MAX;
            let count = slot.last.saturating_sub(slot.first).saturating_add(1);
            return may_ask.then_some((slot.first, count));
        }
        if self.slots.len() >= SLOTS_MAX || ready >= READY_MAX {
            return None;
        }
        let last = self.slots.back().map_or(head, |slot| slot.last.max(head));
        Some((last.checked_add(1)?, BLOCK_RANGE_MAX))
    }

    /// `count` blocks from `first` were asked for; a range that was wanted may be cut by that.
    pub(super) fn asked(&mut self, first: BlockNumber, count: u64, request: FetchId) {
        let last = first.saturating_add(count.saturating_sub(1));
        let position = self.slots.iter().position(|slot| slot.first == first);
        let Some(index) = position else {
            self.slots.push_back(Slot { first, last, state: SlotState::Asked(request) });
            return;
        };
        if let Some(slot) = self.slots.get_mut(index) {
            slot.state = SlotState::Asked(request);
        }
        self.cut(index, last);
    }

    /// Whether some range waits for this request.
    pub(super) fn awaits(&self, request: FetchId) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, SlotState::Asked(id) if id == request))
    }

    /// The request that the head waits for: that of the first range which is not here yet.
    pub(super) fn front_request(&self) -> Option<FetchId> {
        self.slots.iter().find(|slot| !slot.is_ready() && !slot.is_importing()).and_then(|slot| {
            match slot.state {
                SlotState::Asked(id) => Some(id),
                SlotState::Wanted | SlotState::Ready(_) | SlotState::Importing { .. } => None,
            }
        })
    }

    /// The range of this request, if it still waits for it, is to be asked for again.
    pub(super) fn want_again(&mut self, request: FetchId) {
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::Asked(id) if id == request) {
                slot.state = SlotState::Wanted;
            }
        }
    }

    /// Takes checked blocks from `first` on, whoever of those asked was quicker. What is missing
    /// at the end is wanted again.
    pub(super) fn fill(&mut self, first: BlockNumber, mut batch: Batch) {
        let waits = |slot: &Slot| {
            slot.first == first && matches!(slot.state, SlotState::Wanted | SlotState::Asked(_))
        };
        let Some(index) = self.slots.iter().position(waits) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let last = slot.last;
        batch.blocks.retain(|block| block.header.number <= last);
        let Some(reached) = batch.blocks.last().map(|block| block.header.number) else { return };
        slot.state = SlotState::Ready(batch);
        self.cut(index, reached);
    }

    /// Ends a range at `last`; what it held beyond becomes a range of its own.
    fn cut(&mut self, index: usize, last: BlockNumber) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if last >= slot.last {
            return;
        }
        let rest =
            Slot { first: last.saturating_add(1), last: slot.last, state: SlotState::Wanted };
        slot.last = last;
        self.slots.insert(index.saturating_add(1), rest);
    }
}
