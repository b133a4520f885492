//! One engine among members whose words the test writes itself.

use crate::{
    ibft_chain::ENVIRONMENT,
    ibft_world::{START_UNIX, id, recovered},
    raft_chain::{Setup, build, position_after, spec},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use entente_chain::{
    RecoveredBlock, SealedHeader,
    extra_data::{
        qbft::Seal,
        raft::{RaftExtra, RaftTerm},
    },
    signer::SealSigner,
    transaction::Signing,
    transition::Transition,
};
use entente_consensus::{
    Action, BuildAttributes, BuildId, ChainPosition, Engine, Input, Message, Now, Record, Step,
    Verdict,
    engine::MemberChange,
    message::{AdmissionError, Admitted, Gate, admit},
    raft::{self, Body, Commit, Position, Raft, RaftSettings},
    rules::{HeaderRules, raft_digest},
};
use std::{cell::RefCell, convert::Infallible, time::Duration};

/// What one step did.
pub(crate) struct Done {
    pub(crate) persisted: bool,
    /// Actions before the records.
    pub(crate) ahead: usize,
    pub(crate) actions: Vec<Action>,
}

/// Node 0 of `count` is the engine under test; the first `voters` nodes vote.
pub(crate) struct Bench {
    pub(crate) keys: Vec<SealSigner>,
    pub(crate) rules: HeaderRules,
    pub(crate) position: ChainPosition,
    pub(crate) engine: Raft,
    pub(crate) now: u64,
    pub(crate) log: Vec<Vec<u8>>,
}

impl Bench {
    /// A voter without records.
    pub(crate) fn blank(count: usize, voters: usize) -> Self {
        Self::on(count, voters, Vec::new())
    }

    pub(crate) fn on(count: usize, voters: usize, transitions: Vec<Transition>) -> Self {
        let Setup { rules, keys, genesis } =
            Setup::new(spec(2, transitions), count, voters, START_UNIX / 1000);
        let engine = Self::engine(&rules, &keys[0]);
        let mut bench = Self { keys, rules, position: genesis, engine, now: 0, log: Vec::new() };
        bench.restart();
        bench
    }

    /// A voter that every other voter has answered: in term 0, bound by nothing.
    pub(crate) fn new(count: usize, voters: usize) -> Self {
        let mut bench = Self::blank(count, voters);
        for voter in 1..voters {
            let nonce = bench.nonce();
            let position = Position { height: 1, term: 0 };
            bench.say(voter, 0, Body::Recovered { nonce, position, block: None });
        }
        assert_eq!(bench.role(), "voter");
        bench
    }

    /// A voter that leads in term 1, all others heard.
    pub(crate) fn leading(count: usize, voters: usize) -> Self {
        let mut bench = Self::new(count, voters);
        bench.sleep();
        for voter in 1..voters {
            bench.say(voter, 0, Body::Vote { proposed: 1, granted: true, trial: true });
        }
        for voter in 1..voters {
            bench.say(voter, 1, Body::Vote { proposed: 1, granted: true, trial: false });
        }
        assert_eq!((bench.role(), bench.term()), ("leader", 1));
        for member in 1..count {
            bench.say(member, 1, answer(0, B256::ZERO));
        }
        bench
    }

    fn engine(rules: &HeaderRules, key: &SealSigner) -> Raft {
        let settings = RaftSettings::new(ENVIRONMENT, B256::ZERO, 7);
        Raft::new(rules.spec().clone(), Some(key.clone()), settings)
    }

    /// Starts the engine with what was written, and connects everybody.
    pub(crate) fn restart(&mut self) -> Done {
        self.engine = Self::engine(&self.rules, &self.keys[0]);
        let decode = |bytes: &Vec<u8>| {
            Record::decode(bytes, ENVIRONMENT, Signing::Ethereum).expect("our own record")
        };
        let records = self.log.iter().map(decode).collect();
        let position = self.position.clone();
        let done = self.step(Input::Recovered { position, ancestors: Vec::new(), records });
        for peer in 1..self.keys.len() {
            let validator = Some(self.address(peer));
            self.step(Input::Peer { node: id(peer), validator, connected: true });
        }
        done
    }

    pub(crate) fn address(&self, node: usize) -> Address {
        self.keys[node].address()
    }

    pub(crate) fn step(&mut self, input: Input) -> Done {
        let now = Now { elapsed: self.now, unix: START_UNIX + self.now };
        let mut step = Step::default();
        self.engine.step(now, input, &mut step);
        let before = self.log.len();
        let (actions, mut ahead) = (RefCell::new(Vec::new()), 0);
        let log = &mut self.log;
        let written = step.perform(
            |records| {
                ahead = actions.borrow().len();
                log.extend(records.iter().map(Record::encode));
                Ok::<(), Infallible>(())
            },
            |action| actions.borrow_mut().push(action),
        );
        assert!(written.is_ok());
        Done { persisted: self.log.len() > before, ahead, actions: actions.into_inner() }
    }

    /// Transactions wait, for longer than a leader waits for more of them and blocks are apart.
    pub(crate) fn transactions_wait(&mut self) -> Done {
        self.step(Input::TransactionsWaiting(true));
        self.now += 2;
        self.step(Input::Wake)
    }

    /// Wakes the engine when it wants to be woken.
    pub(crate) fn sleep(&mut self) -> Done {
        self.now = self.engine.next_deadline().expect("a deadline").max(self.now);
        self.step(Input::Wake)
    }

    /// Wakes the engine at every deadline for a while.
    pub(crate) fn sleep_for(&mut self, duration: u64) -> Vec<Action> {
        let end = self.now + duration;
        let mut actions = Vec::new();
        while self.engine.next_deadline().is_some_and(|at| at <= end) {
            let before = self.now;
            actions.extend(self.sleep().actions);
            assert!(self.engine.next_deadline() > Some(before), "a deadline that is not met");
        }
        self.now = end;
        actions
    }

    pub(crate) fn frame(&self, author: usize, term: u64, body: Body) -> Bytes {
        let environment = ENVIRONMENT;
        let author = self.address(author);
        let message = raft::Message { environment, author, term, body };
        Message::Raft(Box::new(message)).encode()
    }

    pub(crate) fn admit(&self, frame: &Bytes) -> Result<Admitted, AdmissionError> {
        let (head, validators) = (self.position.head.number, &self.position.next);
        let gate = Gate { environment: ENVIRONMENT, head, validators };
        admit(frame, &gate, &|envelopes| Ok(recovered(envelopes)))
    }

    /// A member says something over its own connection.
    pub(crate) fn say(&mut self, author: usize, term: u64, body: Body) -> Done {
        self.say_over(author, author, term, body)
    }

    pub(crate) fn say_over(&mut self, node: usize, author: usize, term: u64, body: Body) -> Done {
        let message = self.admit(&self.frame(author, term, body)).expect("a well-formed message");
        self.step(Input::Message { from: id(node), message })
    }

    /// A leader's beat on the head.
    pub(crate) fn append(&self, block: Option<RecoveredBlock>) -> Body {
        let head = &self.position.head;
        Body::Append { commit: Commit { number: head.number, hash: head.hash() }, block }
    }

    /// A member's sealed block on the head.
    pub(crate) fn block(&self, author: usize, term: u64, content: u64) -> RecoveredBlock {
        self.block_with(author, term, content, None)
    }

    pub(crate) fn block_with(
        &self,
        author: usize,
        term: u64,
        content: u64,
        change: Option<(MemberChange, Address)>,
    ) -> RecoveredBlock {
        let beneficiary = self.address(author);
        let members = self.position.tally.members();
        let id = members.iter().find(|it| it.address == beneficiary).map_or(1, |it| it.id);
        let extra = RaftExtra {
            vanity: B256::ZERO,
            raft_id: id,
            signature: Seal::ZERO,
            term: Some(RaftTerm { term, change }),
        };
        let head = &self.position.head;
        let attributes = BuildAttributes {
            parent: head.hash(),
            number: head.number + 1,
            timestamp: head.timestamp,
            beneficiary,
            extra_data: extra.encode(),
            nonce: 0,
            difficulty: U256::ZERO,
            time_limit: Duration::ZERO,
        };
        let block = build(&self.rules, head, &attributes, content, true);
        sealed(&block, &self.keys[author])
    }

    /// Answers the engine's request for a block.
    pub(crate) fn built(&mut self, actions: &[Action], content: u64, full: bool) -> Done {
        let (request, attributes) = build_request(actions).expect("a block is asked for");
        let block = build(&self.rules, &self.position.head, &attributes, content, full);
        self.step(Input::Built { request, block: Ok(block) })
    }

    pub(crate) fn executed(&mut self, block: &RecoveredBlock) -> Done {
        self.step(Input::Executed { block: block.hash(), verdict: Verdict::Valid })
    }

    /// The chain has a new head.
    pub(crate) fn committed(&mut self, block: &RecoveredBlock) -> Done {
        self.position = position_after(&self.rules, &self.position, &block.header);
        self.step(Input::Committed(self.position.clone()))
    }

    pub(crate) fn role(&self) -> &'static str {
        self.status().role
    }

    pub(crate) fn term(&self) -> u64 {
        self.status().round
    }

    pub(crate) fn phase(&self) -> String {
        self.status().phase
    }

    fn status(&self) -> entente_consensus::EngineStatus {
        self.engine.status(Now { elapsed: self.now, unix: START_UNIX + self.now })
    }

    /// The nonce of the engine's questions.
    pub(crate) fn nonce(&mut self) -> u64 {
        let peer = (1..self.keys.len()).next().expect("a peer");
        let validator = Some(self.address(peer));
        let greeted = self.step(Input::Peer { node: id(peer), validator, connected: true });
        let asked = said(&greeted.actions).into_iter().chain(said(&self.sleep().actions));
        let nonce = |body: Body| match body {
            Body::Recover { nonce, .. } => Some(nonce),
            _ => None,
        };
        asked.map(|(_, body)| body).find_map(nonce).expect("a question")
    }
}

pub(crate) fn sealed(block: &RecoveredBlock, key: &SealSigner) -> RecoveredBlock {
    let mut header = block.header.header().clone();
    let mut extra = RaftExtra::decode(&header.extra_data).expect("extraData of Raft");
    extra.signature = key.sign(raft_digest(&header, &extra));
    header.extra_data = extra.encode();
    let hash = header.hash_slow();
    block.with_header(SealedHeader::new(header, hash))
}

/// A member's answer that refuses nothing.
pub(crate) const fn answer(head: u64, accepted: B256) -> Body {
    Body::Appended { head, accepted, refused: B256::ZERO }
}

/// What the engine said, and in which term.
pub(crate) fn said(actions: &[Action]) -> Vec<(u64, Body)> {
    let of_raft = |action: &Action| match action {
        Action::Send { message: Message::Raft(message), .. } => {
            Some((message.term, message.body.clone()))
        }
        _ => None,
    };
    actions.iter().filter_map(of_raft).collect()
}

pub(crate) fn build_request(actions: &[Action]) -> Option<(BuildId, BuildAttributes)> {
    actions.iter().find_map(|action| match action {
        Action::Build { request, attributes } => Some((*request, attributes.clone())),
        _ => None,
    })
}

/// Hashes of blocks that the engine wants executed.
pub(crate) fn executes(actions: &[Action]) -> Vec<B256> {
    let block = |action: &Action| match action {
        Action::Execute(block) => Some(block.hash()),
        _ => None,
    };
    actions.iter().filter_map(block).collect()
}

/// Hashes of blocks that the engine makes the head.
pub(crate) fn adopts(actions: &[Action]) -> Vec<B256> {
    let block = |action: &Action| match action {
        Action::Adopt(block) | Action::AdoptLogged(block) => Some(block.hash()),
        _ => None,
    };
    actions.iter().filter_map(block).collect()
}

pub(crate) fn reports(actions: &[Action]) -> Vec<&'static str> {
    let what = |action: &Action| match action {
        Action::Report(evidence) => Some(evidence.what),
        _ => None,
    };
    actions.iter().filter_map(what).collect()
}
