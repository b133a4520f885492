//! Branches that peers announce and this node does not know: fetched by number, further and further
//! back, until they meet our tree. Plain catching up is block sync's; this is for forks.

use super::{
    Clique,
    tree::{Placed, Tree},
};
use crate::engine::{Action, FetchId, Millis, Now, Step};
use alloy_primitives::B256;
use entente_chain::{
    BlockNumber, NodeId, RecoveredBlock,
    limits::{BLOCK_RANGE_MAX, PEERS_MAX, REORGANISATION_BLOCKS_MAX},
};
use std::collections::BTreeMap;

/// How long an announced head may still come as a block before its branch is asked for.
const GRACE_MS: Millis = 700;
/// After which a silent peer has failed.
const FETCH_TIMEOUT_MS: Millis = 5_000;
/// Blocks below our head that are asked for first; four times as many with each further step.
const FIRST_STEP: u64 = 8;

/// What a peer says its head is.
#[derive(Clone, Copy, Debug)]
struct Claim {
    number: BlockNumber,
    hash: B256,
    ask_at: Millis,
    /// How far below our head the next question begins.
    depth: u64,
}

/// Heads that peers announced, and the one question that is open.
#[derive(Debug, Default)]
pub(super) struct Branches {
    claims: BTreeMap<NodeId, Claim>,
    asked: Option<(FetchId, NodeId, Millis)>,
}

impl Branches {
    pub(super) fn claimed(&mut self, node: NodeId, number: BlockNumber, hash: B256, now: Millis) {
        let known = self.claims.get(&node);
        if known.is_some_and(|claim| claim.hash == hash) {
            return;
        }
        if self.claims.len() >= PEERS_MAX && known.is_none() {
            return;
        }
        // A peer whose chain grows on must not put our question off for ever.
        let waited = known.map(|claim| (claim.ask_at, claim.depth));
        let after_grace = now.saturating_add(GRACE_MS);
        let (ask_at, depth) = waited.unwrap_or((after_grace, FIRST_STEP));
        let ask_at = ask_at.min(after_grace);
        self.claims.insert(node, Claim { number, hash, ask_at, depth });
    }

    pub(super) fn lost(&mut self, node: NodeId) {
        self.claims.remove(&node);
        self.asked.take_if(|(_, asked, _)| *asked == node);
    }

    /// When to act next.
    pub(super) fn next_question(&self, tree: &Tree) -> Option<Millis> {
        if let Some((.., until)) = self.asked {
            return Some(until);
        }
        let open = self.claims.values().filter(|claim| is_open(claim, tree));
        open.map(|claim| claim.ask_at).min()
    }
}

fn is_open(claim: &Claim, tree: &Tree) -> bool {
    !tree.contains(claim.hash) || tree.get(claim.hash).is_some() && !tree.is_whole(claim.hash)
}

/// What an answer is worth.
enum Answer {
    /// Blocks that we lacked, all the way from our chain.
    New,
    /// Nothing that we lacked.
    Known,
    /// Between these blocks and our chain some are missing.
    Apart,
}

impl Clique {
    pub(super) fn ask_for_branches(&mut self, now: Now, out: &mut Step) {
        let Some(tree) = &self.tree else { return };
        let branches = &mut self.branches;
        if let Some((_, node, until)) = branches.asked {
            if now.elapsed < until {
                return;
            }
            branches.asked = None;
            if let Some(claim) = branches.claims.get_mut(&node) {
                claim.ask_at = now.elapsed.saturating_add(FETCH_TIMEOUT_MS);
            }
        }
        branches.claims.retain(|_, claim| is_open(claim, tree));
        let due = branches.claims.iter().filter(|(_, claim)| claim.ask_at <= now.elapsed);
        let Some((node, claim)) = due.min_by_key(|(_, claim)| claim.ask_at) else { return };
        let (node, claim) = (*node, *claim);
        let top = tree.head().position.head.number.min(claim.number);
        let start = top.saturating_sub(claim.depth).max(tree.floor()).saturating_add(1);
        let request = FetchId::of_engine(self.next_request());
        let until = now.elapsed.saturating_add(FETCH_TIMEOUT_MS);
        self.branches.asked = Some((request, node, until));
        let count = claim.depth.saturating_mul(2).min(BLOCK_RANGE_MAX);
        out.then(Action::Fetch { request, from: node, start, count });
    }

    pub(super) fn on_fetched(
        &mut self,
        request: FetchId,
        blocks: Result<Vec<RecoveredBlock>, String>,
        now: Now,
        out: &mut Step,
    ) {
        let asked = self.branches.asked.take_if(|(asked, ..)| *asked == request);
        let Some((_, node, _)) = asked else { return };
        let blocks = blocks.unwrap_or_default();
        let answer = self.takes_branch(&blocks, now, out);
        let deepest = REORGANISATION_BLOCKS_MAX;
        let Some(claim) = self.branches.claims.get_mut(&node) else { return };
        claim.ask_at = now.elapsed.saturating_add(GRACE_MS);
        let deeper = claim.depth.saturating_mul(4).min(deepest);
        match answer {
            Answer::New => claim.depth = FIRST_STEP,
            // As far above our head as below it: what makes the branch better may lie higher up.
            Answer::Known => {
                claim.depth = if claim.depth < deepest { deeper } else { FIRST_STEP };
            }
            Answer::Apart if claim.depth < deepest => {
                claim.ask_at = now.elapsed;
                claim.depth = deeper;
            }
            Answer::Apart => {
                tracing::warn!(
                    peer = %node,
                    number = claim.number,
                    hash = %claim.hash,
                    "a peer's chain left ours more than {deepest} blocks ago and cannot be taken over"
                );
                claim.depth = FIRST_STEP;
                claim.ask_at = now.elapsed.saturating_add(60 * 1_000);
            }
        }
    }

    /// Puts fetched blocks into the tree.
    fn takes_branch(&mut self, blocks: &[RecoveredBlock], now: Now, out: &mut Step) -> Answer {
        let (mut last, mut news) = (None, false);
        for block in blocks {
            // A wrong body under a good header must not make the header bad.
            if !crate::message::body_matches(block) {
                break;
            }
            match self.on_block(block, now, out) {
                Ok(placed @ (Placed::New | Placed::Known)) => {
                    last = Some(block.hash());
                    news |= placed == Placed::New;
                }
                Ok(Placed::Orphan) => {}
                Ok(Placed::Refused) | Err(_) => break,
            }
        }
        // A branch that was ours lies in the tree without its bodies.
        let whole = |tree: &Tree| last.is_some_and(|last| tree.is_whole(last));
        match self.tree.as_ref().is_some_and(whole) {
            true if news => Answer::New,
            true => Answer::Known,
            false => Answer::Apart,
        }
    }
}
