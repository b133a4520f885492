//! Clique, proof of authority (EIP-225), as a pure state machine. Signers take turns; whoever is not
//! in turn may seal too, a little later and for less weight, so that blocks come whoever is missing.
//! Chains fork and heal: there is no finality, only depth ([`confirmed_depth`]).
//!
//! The engine keeps a bounded tree of recent blocks (`tree`), chooses the heaviest branch
//! (`fork_choice`), asks peers for branches it does not know (`branches`), and seals when its time
//! has come (`sealing`). It never seals two blocks of one weight: each own seal is durable before it is
//! said, and weighs more than the one before (`record`).

mod branches;
mod fork_choice;
mod receiving;
mod record;
mod sealing;
mod status;
mod tree;
mod wire;

pub(crate) use record::PREFIX;
pub use record::{Record, RecordError};
pub use wire::Message;

use crate::{
    engine::{
        Action, ChainPosition, Engine, EngineStatus, ImportId, Input, Millis, Now, Step, Verdict,
    },
    operator_votes::OperatorVotes,
    random::Random,
    rules::{self, HeaderRules},
};
use alloy_primitives::{Address, B256};
use branches::Branches;
use entente_chain::{
    BlockNumber, ChainSpec, EnvironmentId, RecoveredBlock, ValidatorSet, signer::SealSigner,
    spec::EngineKind,
};
use fork_choice::FinalHeights;
use sealing::Turn;
use std::sync::Arc;
use tree::Tree;

/// Pause before the chain is asked for the same change again, when it could not carry it out.
const RETRY_MS: Millis = 1_000;

/// Blocks on top of one after which more than half of the signers have built on it: what Entente
/// calls `finalized` under Clique.
#[must_use]
pub const fn confirmed_depth(signers: &ValidatorSet) -> u64 {
    signers.len() as u64 / 2 + 1
}

/// What the engine must know beside the chain's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliqueSettings {
    /// Hash of the genesis block; in every message.
    pub environment: EnvironmentId,
    /// First 32 bytes of extraData in our blocks.
    pub vanity: B256,
    /// Where the delays of blocks out of turn are drawn from; another one at each start.
    pub seed: u64,
}

/// The Clique engine.
pub struct Clique {
    spec: Arc<ChainSpec>,
    rules: HeaderRules,
    signer: Option<SealSigner>,
    settings: CliqueSettings,
    random: Random,
    /// `None` before `Recovered`, and while another engine seals.
    tree: Option<Tree>,
    branches: Branches,
    /// What the chain was asked for and has not answered.
    changing: Option<Change>,
    retry_at: Option<Millis>,
    turn: Option<Turn>,
    /// Our newest seal: another one must weigh more.
    sealed: Option<Record>,
    /// Our seal of before the start, until it is known that others may have heard of it.
    unheard: Option<RecoveredBlock>,
    operator_votes: OperatorVotes,
    waiting_since: Option<Millis>,
    /// When the head was committed here.
    head_since: Millis,
    next_number: BlockNumber,
    requests: u64,
    best_peer_head: BlockNumber,
    /// The block that the next engine is bound to build on.
    preferred: Option<B256>,
}

/// A change of the canonical chain that is being carried out.
struct Change {
    request: ImportId,
    /// Hashes of the blocks that were handed over, ascending.
    blocks: Vec<(BlockNumber, B256)>,
}

impl Clique {
    /// An engine that waits for [`Input::Recovered`]. Without `signer` it follows.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, signer: Option<SealSigner>, settings: CliqueSettings) -> Self {
        Self {
            rules: rules::rules_for(Arc::clone(&spec)),
            preferred: None,
            spec,
            signer,
            random: Random(settings.seed),
            settings,
            tree: None,
            branches: Branches::default(),
            changing: None,
            retry_at: None,
            turn: None,
            sealed: None,
            unheard: None,
            operator_votes: OperatorVotes::default(),
            waiting_since: None,
            head_since: 0,
            next_number: 0,
            requests: 0,
            best_peer_head: 0,
        }
    }

    fn own_address(&self) -> Option<Address> {
        self.signer.as_ref().map(SealSigner::address)
    }

    fn next_request(&mut self) -> u64 {
        self.requests = self.requests.wrapping_add(1);
        self.requests
    }

    fn recover(
        &mut self,
        position: ChainPosition,
        ancestors: Vec<ChainPosition>,
        records: Vec<crate::Record>,
        now: Now,
    ) {
        self.sealed = records.into_iter().rev().find_map(|record| match record {
            crate::Record::Clique(record) => Some(*record),
            _ => None,
        });
        self.unheard = self.sealed.as_ref().map(|sealed| sealed.block.clone());
        self.next_number = position.head.number.saturating_add(1);
        self.head_since = now.elapsed;
        let ours = self.has_a_say(position.head.number);
        self.tree = ours.then(|| {
            Tree::new(position, ancestors, FinalHeights::of(&self.spec)).with_signers(&self.rules)
        });
        self.turn = None;
    }

    fn on_committed(&mut self, position: ChainPosition, now: Now) {
        self.next_number = position.head.number.saturating_add(1);
        self.head_since = now.elapsed;
        self.turn = None;
        if !self.has_a_say(position.head.number) {
            self.tree = None;
            return;
        }
        match &mut self.tree {
            Some(tree) => tree.commit(position, &self.rules),
            None => {
                let finals = FinalHeights::of(&self.spec);
                self.tree = Some(Tree::new(position, Vec::new(), finals));
            }
        }
    }

    /// Whether this engine makes the block after `head`, or made the head: the last blocks before
    /// another engine takes over may still lie on different branches.
    fn has_a_say(&self, head: BlockNumber) -> bool {
        let ours = |number| self.spec.engine_at(number) == EngineKind::Clique;
        ours(head.saturating_add(1)) || ours(head) && head > 0
    }

    fn on_imported(
        &mut self,
        request: ImportId,
        result: Result<(), (BlockNumber, Verdict)>,
        now: Now,
        out: &mut Step,
    ) {
        let Some(change) = self.changing.take_if(|change| change.request == request) else {
            return;
        };
        match result {
            Ok(()) => {}
            Err((number, Verdict::Invalid(reason))) => {
                let block = change.blocks.into_iter().find(|(at, _)| *at == number);
                if let (Some((_, hash)), Some(tree)) = (block, &mut self.tree) {
                    let author = tree.remove_bad(hash);
                    tracing::warn!(number, %hash, %reason, "a branch holds an invalid block");
                    out.then(Action::Report(crate::engine::Evidence {
                        validator: author.unwrap_or_default(),
                        height: number,
                        round: 0,
                        what: "sealed an invalid block",
                        digests: (hash, B256::ZERO),
                    }));
                }
            }
            Err(_) => self.retry_at = Some(now.elapsed.saturating_add(RETRY_MS)),
        }
    }

    fn advance(&mut self, now: Now, out: &mut Step) {
        if self.retry_at.is_some_and(|at| at <= now.elapsed) {
            self.retry_at = None;
        }
        self.repeat_seal(now, out);
        self.choose(out);
        self.ask_for_branches(now, out);
        self.seal_if_due(now, out);
    }

    /// The branch to change to: one with blocks that are decided for good; else the one that the
    /// next engine is bound to; else the heaviest.
    fn next_branch(
        &self,
        tree: &Tree,
        eip3436: bool,
    ) -> Option<(BlockNumber, Vec<RecoveredBlock>)> {
        let head = &tree.head().position.head;
        let better = tree.better_branch(eip3436);
        let Some(preferred) = self.preferred.filter(|hash| tree.get(*hash).is_some()) else {
            return better;
        };
        let last_final = tree.newest_final(head.number);
        let end = |blocks: &[RecoveredBlock]| blocks.last().map_or(0, |last| last.header.number);
        let settled = |blocks: &[RecoveredBlock]| tree.newest_final(end(blocks)) > last_final;
        if better.as_ref().is_some_and(|(_, blocks)| settled(blocks)) {
            return better;
        }
        if preferred == head.hash() {
            return None;
        }
        let way = tree.way_to(preferred);
        way.filter(|(_, blocks)| tree.newest_final(end(blocks)) >= last_final)
    }

    /// Has the best branch made canonical, if it is not.
    fn choose(&mut self, out: &mut Step) {
        if self.changing.is_some() || self.retry_at.is_some() {
            return;
        }
        let eip3436 = self.spec.rules_at(self.next_number).eip3436;
        let Some(tree) = &self.tree else { return };
        let head = tree.head().position.head.number;
        let Some((ancestor, blocks)) = self.next_branch(tree, eip3436) else { return };
        let request = ImportId::of_engine(self.next_request());
        let handed = blocks.iter().map(|block| (block.header.number, block.hash())).collect();
        self.changing = Some(Change { request, blocks: handed });
        out.then(match ancestor == head {
            true => Action::Import { request, blocks },
            false => Action::Reorganize { request, ancestor, blocks },
        });
    }
}

impl Engine for Clique {
    fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        match input {
            Input::Recovered { position, ancestors, records } => {
                self.recover(position, ancestors, records, now);
            }
            Input::Committed(position) => self.on_committed(position, now),
            Input::Message { from, message } => self.on_message(from, &message, now, out),
            Input::Built { request, block } => self.on_built(request, block, now, out),
            Input::Imported { request, result } => self.on_imported(request, result, now, out),
            Input::Fetched { request, blocks } => self.on_fetched(request, blocks, now, out),
            Input::TransactionsWaiting(waiting) => {
                let since = self.waiting_since.unwrap_or(now.elapsed);
                self.waiting_since = waiting.then_some(since);
            }
            Input::Peer { node, connected: false, .. } => self.branches.lost(node),
            Input::PeerHead { node, number, hash } => {
                self.best_peer_head = self.best_peer_head.max(number);
                self.branches.claimed(node, number, hash, now.elapsed);
            }
            Input::Operator(operation) => self.operator_votes.apply(&operation),
            Input::Wake | Input::Peer { .. } | Input::Executed { .. } => {}
        }
        self.advance(now, out);
    }

    fn prefer(&mut self, block: Option<B256>, now: Now, out: &mut Step) {
        if self.preferred != block {
            self.preferred = block;
            self.advance(now, out);
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        let tree = self.tree.as_ref()?;
        let turn = self.turn.as_ref().and_then(Turn::due);
        [self.retry_at, turn, self.branches.next_question(tree)].into_iter().flatten().min()
    }

    fn status(&self, now: Now) -> EngineStatus {
        self.describe(now)
    }
}
