//! Takes blocks that others sealed: header, seal and signing limit are checked against the parent in
//! the tree, before anything is executed.

use super::{Clique, tree::Placed};
use crate::{
    engine::{Action, ChainPosition, Evidence, Now, Step},
    message::Admitted,
};
use alloy_primitives::B256;
use entente_chain::{NodeId, RecoveredBlock, spec::EngineKind};

impl Clique {
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        admitted: &Admitted,
        now: Now,
        out: &mut Step,
    ) {
        let crate::Message::Clique(message) = admitted.message() else { return };
        let block = &message.block;
        // A block of the next engine counts for more than any weight: whoever has it in its chain is
        // asked for it, so that one that was only proposed counts for nothing.
        if self.spec.engine_at(block.header.number) != EngineKind::Clique {
            return;
        }
        match self.on_block(block, now, out) {
            Ok(Placed::New) => out.then(Action::Relay { from, frame: admitted.frame().clone() }),
            Ok(Placed::Orphan) => {
                let (number, hash) = (block.header.number, block.hash());
                self.branches.claimed(from, number, hash, now.elapsed);
            }
            Ok(Placed::Known | Placed::Refused) => {}
            // Whoever passes such a block on has not checked it.
            Err(reason) => {
                tracing::debug!(number = block.header.number, %reason, "block refused");
                out.then(Action::Penalize { node: from, reason: "sent a block with a bad header" });
            }
        }
    }

    /// Puts a block into the tree if its header follows from its parent.
    pub(super) fn on_block(
        &mut self,
        block: &RecoveredBlock,
        now: Now,
        out: &mut Step,
    ) -> Result<Placed, String> {
        let Some(tree) = &mut self.tree else { return Ok(Placed::Refused) };
        let placed = tree.may_place(block);
        if placed != Placed::New {
            return Ok(placed);
        }
        let Some(parent) = tree.get(block.header.parent_hash) else { return Ok(Placed::Orphan) };
        let header = &block.header;
        let parent = &parent.position;
        let unix = now.unix_seconds();
        let checked = self
            .rules
            .check_alone(header, unix)
            .and_then(|()| self.rules.check_with_parent(header, &parent.head, &parent.tally))
            .and_then(|()| self.rules.check_seals(header, parent.tally.validators()))
            .and_then(|()| self.rules.tally_after(header, parent.tally.clone()));
        let tally = match checked {
            Ok(tally) => tally,
            // Our clock may be behind: the block comes again with the branch.
            Err(crate::rules::HeaderError::TimestampInFuture { .. }) => return Ok(Placed::Refused),
            Err(error) => return Err(error.to_string()),
        };
        let position = ChainPosition {
            head: header.clone(),
            next: tally.validators().clone(),
            total_difficulty: parent.total_difficulty.saturating_add(header.difficulty),
            tally,
        };
        let signer = self.rules.author(header).unwrap_or_default();
        if let Some(rival) = tree.rival(block, signer) {
            let digests: (B256, B256) = (rival, block.hash());
            let (height, what) = (header.number, "sealed two blocks on one parent");
            out.then(Action::Report(Evidence {
                validator: signer,
                height,
                round: 0,
                what,
                digests,
            }));
        }
        tree.place(position, signer, block.clone());
        Ok(Placed::New)
    }
}
