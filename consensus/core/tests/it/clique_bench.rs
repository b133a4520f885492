//! One engine of a Clique chain, among signers whose blocks the test seals itself.

use crate::{
    ibft_chain::{ENVIRONMENT, berlin_chain, signers, step},
    ibft_world::{START_UNIX, id, recovered},
    raft_chain::position_after,
};
use alloy_consensus::constants::EMPTY_ROOT_HASH;
use alloy_primitives::{Address, B256, U256};
use entente_chain::{
    BlockBody, ChainSpec, Header, RecoveredBlock, SealedHeader,
    extra_data::{clique::CliqueExtra, qbft::QbftExtra},
    signer::SealSigner,
    spec::{BlockRules, EngineKind},
    transition::Transition,
};
use entente_consensus::{
    Action, BuildAttributes, BuildId, ChainPosition, Engine, ImportId, Input, Message, Now, Record,
    clique,
    ibft::{self, Proposal, ProposalPayload, Signed, View},
    message::{Gate, admit},
    rules::{HeaderRules, clique_digest, clique_in_turn, next_header, rules_for},
    schedule::{EngineSettings, Schedule},
};
use std::{sync::Arc, time::Duration};

/// Seconds between blocks.
const PERIOD: u64 = 1;

/// A chain of signers with these rules; its engine is that of the last signer.
pub(crate) struct Bench {
    pub(crate) keys: Vec<SealSigner>,
    pub(crate) genesis: ChainPosition,
    pub(crate) now: u64,
    pub(crate) log: Vec<Record>,
    pub(crate) rules: HeaderRules,
    engine: Box<dyn Engine>,
    /// What a block that the engine asked for lies on.
    pub(crate) head: ChainPosition,
    /// What the engine waits for.
    importing: Option<ImportId>,
}

impl Bench {
    pub(crate) fn new(count: usize, eip3436: bool, transitions: Vec<Transition>) -> Self {
        let genesis_rules = BlockRules {
            block_period_ms: 1000 * PERIOD,
            eip3436,
            ..BlockRules::new(EngineKind::Clique)
        };
        let spec = berlin_chain(genesis_rules, transitions);
        let rules = rules_for(Arc::clone(&spec));
        let keys = signers(count);
        let addresses: Vec<Address> = keys.iter().map(SealSigner::address).collect();
        let extra = CliqueExtra { signers: addresses.clone(), ..CliqueExtra::default() };
        let header = Header {
            timestamp: START_UNIX / 1000,
            gas_limit: 30_000_000,
            difficulty: U256::ONE,
            extra_data: extra.encode(),
            ..Header::default()
        };
        let tally = rules.initial_tally(&addresses).expect("signers");
        let hash = header.hash_slow();
        let genesis = ChainPosition {
            head: SealedHeader::new(header, hash),
            next: tally.validators().clone(),
            tally,
            total_difficulty: U256::ONE,
        };
        let engine = engine(&spec, &keys[count - 1]);
        let head = genesis.clone();
        Self { keys, genesis, now: 0, log: Vec::new(), rules, engine, head, importing: None }
    }

    /// The process starts on a head, with its own records.
    pub(crate) fn start(&mut self, head: &ChainPosition) -> Vec<Action> {
        let own = self.keys.last().expect("a signer");
        self.engine = engine(self.rules.spec(), own);
        (self.head, self.importing) = (head.clone(), None);
        let ancestors = if head.head.number > 0 { vec![self.genesis.clone()] } else { Vec::new() };
        let (position, records) = (head.clone(), self.log.clone());
        self.step(Input::Recovered { position, ancestors, records })
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Action> {
        let now = Now { elapsed: self.now, unix: START_UNIX + self.now };
        let actions = step(&mut *self.engine, now, input, &mut self.log);
        self.importing = actions.iter().find_map(importing).or(self.importing);
        actions
    }

    /// The host made a block of the tree canonical.
    pub(crate) fn commit(&mut self, head: &ChainPosition) -> Vec<Action> {
        self.head = head.clone();
        let mut actions = self.step(Input::Committed(head.clone()));
        if let Some(request) = self.importing.take() {
            actions.extend(self.step(Input::Imported { request, result: Ok(()) }));
        }
        actions
    }

    /// Wakes the engine every 50 ms, needed or not, until it asks for a block; builds that block
    /// for it and returns what it does then.
    pub(crate) fn wait_for_seal(&mut self, until: u64) -> Option<Vec<Action>> {
        let (request, attributes) = self.wait_for_question(until)?;
        let block = Ok(self.unsealed(&self.head, &attributes));
        Some(self.step(Input::Built { request, block }))
    }

    pub(crate) fn wait_for_question(&mut self, until: u64) -> Option<(BuildId, BuildAttributes)> {
        while self.now < until {
            self.now += 50;
            let asked = self.step(Input::Wake).into_iter().find_map(|action| match action {
                Action::Build { request, attributes } => Some((request, attributes)),
                _ => None,
            });
            if asked.is_some() {
                return asked;
            }
        }
        None
    }

    pub(crate) fn unsealed(
        &self,
        parent: &ChainPosition,
        attributes: &BuildAttributes,
    ) -> RecoveredBlock {
        let mut header = next_header(self.rules.spec(), &parent.head, attributes);
        header.transactions_root = EMPTY_ROOT_HASH;
        let hash = header.hash_slow();
        let body = Arc::new(BlockBody::default());
        RecoveredBlock { header: SealedHeader::new(header, hash), body }
    }

    /// A block of a signer.
    pub(crate) fn block(&self, parent: &ChainPosition, signer: usize) -> RecoveredBlock {
        let number = parent.head.number + 1;
        let own = self.keys[signer].address();
        let in_turn = clique_in_turn(parent.tally.validators(), number) == own;
        let attributes = BuildAttributes {
            parent: parent.head.hash(),
            number,
            timestamp: parent.head.timestamp + PERIOD,
            beneficiary: Address::ZERO,
            extra_data: CliqueExtra::default().encode(),
            nonce: 0,
            difficulty: U256::from(1 + u8::from(in_turn)),
            time_limit: Duration::ZERO,
        };
        let unsealed = self.unsealed(parent, &attributes);
        let mut header = unsealed.header.header().clone();
        let mut extra = CliqueExtra::decode(&header.extra_data).expect("extraData");
        extra.seal = self.keys[signer].sign(clique_digest(&header, &extra));
        header.extra_data = extra.encode();
        let hash = header.hash_slow();
        unsealed.with_header(SealedHeader::new(header, hash))
    }

    pub(crate) fn after(&self, parent: &ChainPosition, block: &RecoveredBlock) -> ChainPosition {
        position_after(&self.rules, parent, &block.header)
    }

    /// A block of the next engine in its first round, and its proposal.
    pub(crate) fn proposal(&self, signer: usize) -> (RecoveredBlock, Message) {
        let number = self.head.head.number + 1;
        let validators = self.head.next.addresses().to_vec();
        let attributes = BuildAttributes {
            parent: self.head.head.hash(),
            number,
            timestamp: self.head.head.timestamp + PERIOD,
            beneficiary: self.keys[signer].address(),
            extra_data: QbftExtra { validators, ..QbftExtra::default() }.encode(),
            nonce: 0,
            difficulty: U256::ONE,
            time_limit: Duration::ZERO,
        };
        let block = self.unsealed(&self.head, &attributes);
        let payload =
            ProposalPayload { view: View { height: number, round: 0 }, digest: block.hash() };
        let signed = Signed::sign(payload, ENVIRONMENT, &self.keys[signer]);
        let (round_changes, prepares) = (Vec::new(), Vec::new());
        let proposal = Proposal { signed, block: block.clone(), round_changes, prepares };
        (block, Message::Ibft(ibft::Message::Proposal(Box::new(proposal))))
    }

    /// A block comes from a peer.
    pub(crate) fn deliver(&mut self, block: &RecoveredBlock) -> Vec<Action> {
        let message = clique::Message { environment: ENVIRONMENT, block: block.clone() };
        self.hear(&Message::Clique(Box::new(message)))
    }

    /// A message comes from a peer.
    pub(crate) fn hear(&mut self, message: &Message) -> Vec<Action> {
        let frame = message.encode();
        let (head, validators) = (self.head.head.number, &self.head.next);
        let gate = Gate { environment: ENVIRONMENT, head, validators };
        let message = admit(&frame, &gate, &|envelopes| Ok(recovered(envelopes)));
        let message = message.expect("a well-formed message");
        self.step(Input::Message { from: id(1), message })
    }
}

fn engine(spec: &Arc<ChainSpec>, key: &SealSigner) -> Box<dyn Engine> {
    let settings = EngineSettings { environment: ENVIRONMENT, vanity: B256::ZERO, seed: 5 };
    Box::new(Schedule::new(Arc::clone(spec), Some(key.clone()), settings))
}

fn importing(action: &Action) -> Option<ImportId> {
    match action {
        Action::Import { request, .. } | Action::Reorganize { request, .. } => Some(*request),
        _ => None,
    }
}

/// Blocks that an engine told others of.
pub(crate) fn said(actions: &[Action]) -> Vec<RecoveredBlock> {
    let block = |action: &Action| match action {
        Action::Send { message: Message::Clique(message), .. } => Some(message.block.clone()),
        _ => None,
    };
    actions.iter().filter_map(block).collect()
}

/// The branches that the chain shall change to: where they leave, and their last block.
pub(crate) fn changes(actions: &[Action]) -> Vec<(u64, B256)> {
    let branch = |action: &Action| match action {
        Action::Reorganize { ancestor, blocks, .. } => {
            Some((*ancestor, blocks.last().expect("a block").hash()))
        }
        _ => None,
    };
    actions.iter().filter_map(branch).collect()
}
