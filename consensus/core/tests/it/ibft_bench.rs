//! One engine among validators whose messages the test writes itself.

use crate::{
    ibft_chain::{ENVIRONMENT, Timing, build, genesis, position_at, set_of, signers, spec, step},
    ibft_world::{START_UNIX, id, recovered},
};
use alloy_primitives::{B256, Bytes, U256};
use entente_chain::{
    EnvironmentId, RecoveredBlock, SealedHeader, ValidatorSet, extra_data::qbft::QbftExtra,
    header_hash::qbft_commit_digest, signer::SealSigner, spec::EngineKind,
};
use entente_consensus::{
    Action, BuildAttributes, Input, Message, Now, Record, Verdict,
    ibft::{
        self, CommitPayload, Ibft, IbftSettings, Payload, PreparePayload, Proposal,
        ProposalPayload, RoundChange, RoundChangePayload, Signed, View,
    },
    message::{AdmissionError, Admitted, Gate, admit},
};
use std::time::Duration;

/// A prepared round, its block and the prepares for it.
pub(crate) type Lock = (u64, RecoveredBlock, Vec<Signed<PreparePayload>>);

/// Four validators at height 1; in round r validator r (modulo 4) proposes. The engine under test
/// is validator 3.
pub(crate) struct Bench {
    pub(crate) keys: Vec<SealSigner>,
    pub(crate) set: ValidatorSet,
    pub(crate) head: SealedHeader,
    pub(crate) engine: Ibft,
    pub(crate) now: u64,
    pub(crate) log: Vec<Record>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let keys = signers(4);
        let set = set_of(&keys);
        let head = genesis(EngineKind::Qbft, &set, START_UNIX / 1000);
        let engine = Self::engine(&keys[3]);
        let mut bench = Self { keys, set, head, engine, now: 0, log: Vec::new() };
        bench.restart();
        bench
    }

    fn engine(key: &SealSigner) -> Ibft {
        let settings = IbftSettings { environment: ENVIRONMENT, vanity: B256::ZERO };
        Ibft::new(spec(Timing::default()), Some(key.clone()), settings)
    }

    pub(crate) fn restart(&mut self) -> Vec<Action> {
        self.engine = Self::engine(&self.keys[3]);
        let position = position_at(self.head.clone(), &self.set);
        let records = self.log.clone();
        self.step(Input::Recovered { position, ancestors: Vec::new(), records })
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Action> {
        let now = Now { elapsed: self.now, unix: START_UNIX + self.now };
        step(&mut self.engine, now, input, &mut self.log)
    }

    pub(crate) fn admit(&self, frame: &Bytes) -> Result<Admitted, AdmissionError> {
        let gate = Gate { environment: ENVIRONMENT, head: 0, validators: &self.set };
        admit(frame, &gate, &|envelopes| Ok(recovered(envelopes)))
    }

    pub(crate) fn deliver(&mut self, message: ibft::Message) -> Vec<Action> {
        let message = self.admit(&Message::Ibft(message).encode()).expect("a well-formed message");
        self.step(Input::Message { from: id(0), message })
    }

    /// As [`deliver`](Self::deliver), over a session with the author's own node.
    pub(crate) fn deliver_directly(&mut self, message: ibft::Message) -> Vec<Action> {
        let author = message.author();
        let node = self.set.index_of(author).map_or_else(|| id(9), |index| id(10 + index));
        let _greeting = self.step(Input::Peer { node, validator: Some(author), connected: true });
        let message = self.admit(&Message::Ibft(message).encode()).expect("a well-formed message");
        self.step(Input::Message { from: node, message })
    }

    /// Validators `authors` ask for a round in which nothing was prepared.
    pub(crate) fn changes(&self, round: u64, authors: &[usize]) -> Vec<Signed<RoundChangePayload>> {
        let payload = RoundChangePayload { view: view(round), prepared: None };
        authors.iter().map(|author| self.sign(*author, payload)).collect()
    }

    pub(crate) fn sign<P: Payload>(&self, author: usize, payload: P) -> Signed<P> {
        Signed::sign(payload, ENVIRONMENT, &self.keys[author])
    }

    pub(crate) fn prepares(
        &self,
        round: u64,
        digest: B256,
        authors: &[usize],
    ) -> Vec<Signed<PreparePayload>> {
        let payload = PreparePayload { view: view(round), digest };
        authors.iter().map(|author| self.sign(*author, payload)).collect()
    }

    /// A block of a validator in a round.
    pub(crate) fn block(&self, author: usize, round: u64, content: u64) -> RecoveredBlock {
        let validators = self.set.addresses().to_vec();
        let extra = QbftExtra { validators, round, ..QbftExtra::default() };
        let attributes = BuildAttributes {
            parent: self.head.hash(),
            number: 1,
            timestamp: self.head.timestamp + 1,
            beneficiary: self.keys[author].address(),
            extra_data: extra.encode(),
            nonce: 0,
            difficulty: U256::ONE,
            time_limit: Duration::ZERO,
        };
        build(EngineKind::Qbft, &attributes, content, false)
    }

    /// The proposal of a round by its proposer.
    pub(crate) fn proposal(
        &self,
        round: u64,
        block: RecoveredBlock,
        round_changes: Vec<Signed<RoundChangePayload>>,
        prepares: Vec<Signed<PreparePayload>>,
    ) -> ibft::Message {
        let author = usize::try_from(round % 4).expect("small");
        let payload = ProposalPayload { view: view(round), digest: block.hash() };
        let signed = self.sign(author, payload);
        ibft::Message::Proposal(Box::new(Proposal { signed, block, round_changes, prepares }))
    }

    pub(crate) fn round_change(
        &self,
        author: usize,
        round: u64,
        prepared: Option<Lock>,
    ) -> ibft::Message {
        let named = prepared.as_ref().map(|(round, block, _)| (*round, block.hash()));
        let signed = self.sign(author, RoundChangePayload { view: view(round), prepared: named });
        let (block, prepares) = prepared.map_or((None, Vec::new()), |p| (Some(p.1), p.2));
        ibft::Message::RoundChange(Box::new(RoundChange { signed, block, prepares }))
    }

    pub(crate) fn commit(
        &self,
        author: usize,
        round: u64,
        block: &RecoveredBlock,
    ) -> ibft::Message {
        let mut extra = QbftExtra::decode(&block.header.extra_data).expect("extraData");
        extra.round = round;
        let seal_digest = qbft_commit_digest(&block.header, &extra);
        let seal = self.keys[author].sign(seal_digest);
        let digest = block.hash();
        let payload = CommitPayload { view: view(round), digest, seal_digest, seal };
        ibft::Message::Commit(Box::new(self.sign(author, payload)))
    }

    /// Says that a block is valid; returns what the engine does then.
    pub(crate) fn executed(&mut self, block: &RecoveredBlock) -> Vec<Action> {
        self.step(Input::Executed { block: block.hash(), verdict: Verdict::Valid })
    }
}

pub(crate) const fn view(round: u64) -> View {
    View { height: 1, round }
}

/// A signature for another environment.
pub(crate) fn foreign<P: Payload>(key: &SealSigner, payload: P) -> Signed<P> {
    Signed::sign(payload, EnvironmentId(B256::repeat_byte(9)), key)
}

/// The IBFT messages that an engine sent.
pub(crate) fn sent(actions: &[Action]) -> Vec<&ibft::Message> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { message: Message::Ibft(message), .. } => Some(message),
            _ => None,
        })
        .collect()
}

pub(crate) fn executes(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Execute(_)))
}

pub(crate) fn penalties(actions: &[Action]) -> Vec<&'static str> {
    let reason = |action: &Action| match action {
        Action::Penalize { reason, .. } => Some(*reason),
        _ => None,
    };
    actions.iter().filter_map(reason).collect()
}

pub(crate) fn reports(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Report(_))).count()
}
