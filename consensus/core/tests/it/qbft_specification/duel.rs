//! One case: an engine and the specification's node get the same, and are compared after each event.

use super::{
    cast::{Cast, ELSEWHERE, HERE},
    demands::nothing_left,
    draw::{Draw, passes_the_door},
    predicates::{Omission, QbftMessage, Specification},
    state::{Cause, Difference, NodeState},
};
use crate::{
    ibft_chain::{Timing, position_at, spec},
    ibft_world::{Random, START_UNIX, id, recovered},
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{RecoveredBlock, spec::EngineKind};
use entente_consensus::{
    Action, Engine, Input, Message, Now, Step, Verdict,
    ibft::{self, Ibft, IbftSettings},
    message::{Admitted, Gate, admit},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
};

/// Events of a case, at most: it ends when a block is decided.
const EVENTS: u64 = 60;

/// What occurred how often.
#[derive(Debug, Default)]
pub(super) struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    fn saw(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

struct Duel<'a> {
    cast: Cast,
    engine: Ibft,
    state: NodeState,
    random: Random,
    malice: u64,
    now: u64,
    /// What the engine has said, to know repetitions.
    said: BTreeSet<Bytes>,
    /// First digest that each round's proposer named.
    named: BTreeMap<u64, B256>,
    executed: BTreeSet<B256>,
    answers: VecDeque<Input>,
    builds: u64,
    coverage: &'a mut Coverage,
}

/// Runs a case.
pub(super) fn duel(
    seed: u64,
    omission: Option<Omission>,
    coverage: &mut Coverage,
) -> Result<(), Difference> {
    let mut random = Random(seed);
    let counts = [4, 4, 4, 5, 6, 7, 2, 3];
    let validators = counts[usize::try_from(random.below(8)).expect("small")];
    let own = usize::try_from(random.below(validators as u64)).expect("small");
    let malice = [0, 30, 100, 200][usize::try_from(random.below(4)).expect("small")];
    let cast = Cast::new(validators, own);
    let settings = IbftSettings { environment: HERE, vanity: B256::ZERO };
    let timing = Timing { format: EngineKind::Qbft, ..Timing::default() };
    let engine = Ibft::new(spec(timing), Some(cast.key(own).clone()), settings);
    let state = NodeState::new(Specification { validators, height: 1, omission }, own);
    let position = position_at(cast.head.clone(), &cast.set);
    let mut duel = Duel {
        cast,
        engine,
        state,
        random,
        malice,
        now: 0,
        said: BTreeSet::new(),
        named: BTreeMap::new(),
        executed: BTreeSet::new(),
        answers: VecDeque::new(),
        builds: 0,
        coverage,
    };
    duel.step(
        Input::Recovered { position, ancestors: Vec::new(), records: Vec::new() },
        Cause::Input,
    )?;
    for _ in 0..EVENTS {
        if duel.state.decided {
            duel.coverage.saw("decided");
            break;
        }
        duel.event()?;
    }
    Ok(())
}

impl Duel<'_> {
    fn event(&mut self) -> Result<(), Difference> {
        match self.random.below(20) {
            0 | 1 => {
                self.now = self.engine.next_deadline().unwrap_or(self.now).max(self.now);
                self.step(Input::Wake, Cause::Timer)
            }
            2 => {
                let node = id(20);
                let connected = self.random.percent(50);
                self.step(Input::Peer { node, validator: None, connected }, Cause::Input)
            }
            _ => {
                let (state, cast) = (&self.state, &self.cast);
                let random = &mut self.random;
                let message = Draw { random, state, cast, malice: self.malice }.message();
                self.deliver(&message)
            }
        }
    }

    fn deliver(&mut self, message: &QbftMessage) -> Result<(), Difference> {
        let foreign = self.random.percent(self.malice / 100);
        let signed = self.cast.sign(message, if foreign { ELSEWHERE } else { HERE });
        let admitted = self.admit(&Message::Ibft(signed).encode());
        let expected = !foreign && passes_the_door(message, self.cast.validators);
        let admitted = match (admitted, expected) {
            (Ok(admitted), true) => admitted,
            (Err(_), false) => {
                self.coverage.saw("refused at the door");
                return Ok(());
            }
            (admitted, _) => return Err(format!("{admitted:?} for {message:?}")),
        };
        self.receive(message)?;
        self.step(Input::Message { from: id(0), message: admitted }, Cause::Input)
    }

    fn admit(&self, frame: &Bytes) -> Result<Admitted, String> {
        let gate = Gate { environment: HERE, head: 0, validators: &self.cast.set };
        admit(frame, &gate, &|envelopes| Ok(recovered(envelopes))).map_err(|e| e.to_string())
    }

    /// The specification's side of a message.
    fn receive(&mut self, message: &QbftMessage) -> Result<(), Difference> {
        self.state.received.insert(message.clone());
        let QbftMessage::Proposal { payload, round_changes, .. } = message else { return Ok(()) };
        let in_turn = payload.author == self.state.spec.proposer(payload.round);
        if payload.height != 1 || !in_turn {
            return Ok(());
        }
        let first = *self.named.entry(payload.round).or_insert(payload.digest) == payload.digest;
        if !first || !self.state.is_valid_proposal(message) {
            self.coverage.saw("did not accept a proposal");
            return Ok(());
        }
        let prepared = round_changes.iter().any(|change| change.prepared.is_some());
        self.coverage.saw(match (payload.round, prepared) {
            (0, _) => "accepted a new block in round 0",
            (_, false) => "accepted a new block in a later round",
            (_, true) => "accepted a prepared block",
        });
        if payload.round > self.state.round {
            self.coverage.saw("accepted a proposal of a round ahead");
        }
        self.state.accept(message)
    }

    /// One input and all that follows from it, on both sides.
    fn step(&mut self, input: Input, cause: Cause) -> Result<(), Difference> {
        self.answers.push_back(input);
        while let Some(input) = self.answers.pop_front() {
            if self.state.decided {
                continue;
            }
            for action in self.run(input) {
                self.follow(action, cause)?;
            }
        }
        if self.state.decided {
            return Ok(());
        }
        let unknown = |digest: &B256| !self.executed.contains(digest);
        if let Some(digest) = self.state.accepted.map(|block| block.digest).filter(unknown) {
            return Err(format!("did not accept {digest}"));
        }
        let round = self.engine.status(self.time()).round;
        if round != self.state.round {
            return Err(format!("is in round {round}, not in {}", self.state.round));
        }
        nothing_left(&self.state, false)
    }

    const fn time(&self) -> Now {
        Now { elapsed: self.now, unix: START_UNIX + self.now }
    }

    fn run(&mut self, input: Input) -> Vec<Action> {
        let mut step = Step::default();
        self.engine.step(self.time(), input, &mut step);
        let mut actions = Vec::new();
        let performed = step.perform(|_| Ok::<(), Infallible>(()), |action| actions.push(action));
        assert!(performed.is_ok());
        actions
    }

    /// Whether the specification allows an action, and what becomes of its node then.
    fn follow(&mut self, action: Action, cause: Cause) -> Result<(), Difference> {
        match action {
            Action::Send { message, .. } => {
                let frame = message.encode();
                let Message::Ibft(message) = message else { return Err("another engine's".into()) };
                match self.said.insert(frame) {
                    true => self.hear(&message, cause),
                    false => Ok(()),
                }
            }
            Action::Execute(block) => self.execute(&block),
            Action::Build { request, attributes } => {
                let ours = self.state.spec.proposer(self.state.round) == self.cast.own;
                if !ours || self.state.accepted.is_some() {
                    return Err(format!("builds in round {}", self.state.round));
                }
                self.builds += 1;
                let content = 100 + self.builds;
                let block = crate::ibft_chain::build(EngineKind::Qbft, &attributes, content, false);
                self.cast.add(block.clone(), self.cast.own, true);
                self.state.built.insert(block.hash());
                self.executed.insert(block.hash());
                self.answers.push_back(Input::Built { request, block: Ok(block) });
                Ok(())
            }
            Action::Adopt(block) => {
                self.state.decide(&self.cast.read_block(&block), &self.cast.seals(&block))
            }
            Action::Relay { .. } | Action::Report(_) | Action::Penalize { .. } => Ok(()),
            Action::AdoptLogged(_)
            | Action::Fetch { .. }
            | Action::Import { .. }
            | Action::Reorganize { .. } => Err(format!("{action:?}")),
        }
    }

    fn execute(&mut self, block: &RecoveredBlock) -> Result<(), Difference> {
        let digest = block.hash();
        if self.state.accepted.is_none_or(|accepted| accepted.digest != digest) {
            return Err(format!("executes {digest} with {:?} accepted", self.state.accepted));
        }
        self.executed.insert(digest);
        let verdict = match self.cast.is_valid(digest) {
            true => Verdict::Valid,
            false => Verdict::Invalid("a bad root".into()),
        };
        self.answers.push_back(Input::Executed { block: digest, verdict });
        Ok(())
    }

    /// Something that the engine says for the first time.
    fn hear(&mut self, message: &ibft::Message, cause: Cause) -> Result<(), Difference> {
        let said = self.cast.read(message);
        match &said {
            QbftMessage::Prepare(prepare) => {
                self.coverage.saw("prepared");
                self.state.prepare(*prepare)
            }
            QbftMessage::Commit(commit) => {
                self.coverage.saw("committed");
                self.state.commit(*commit)
            }
            QbftMessage::RoundChange { payload, .. } => {
                if payload.prepared.is_some() {
                    self.coverage.saw("sent a certificate");
                }
                if self.state.accepted.is_some_and(|block| !block.is_valid) {
                    self.coverage.saw("left an invalid block");
                }
                let followed = self.state.change_round(&said, cause)?;
                let what = if followed { "followed round changes" } else { "gave up a round" };
                self.coverage.saw(what);
                Ok(())
            }
            QbftMessage::Proposal { payload, prepares, .. } => {
                self.coverage.saw(match (payload.round, prepares.is_empty()) {
                    (0, _) => "proposed a new block in round 0",
                    (_, true) => "proposed a new block in a later round",
                    (_, false) => "proposed a prepared block",
                });
                self.named.insert(payload.round, payload.digest);
                self.state.propose(&said)
            }
        }
    }
}
