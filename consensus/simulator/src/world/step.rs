//! What a node's consensus thread does: feeds the engine, makes its records durable, and carries its
//! actions out; and where in all this power is lost.

use super::{Event, World, Writing};
use entente_consensus::{Action, Input, Record};
use std::cell::Cell;

/// Records that the log keeps after a commit, as the node does.
const RECORDS_KEPT: u64 = 16;

/// Where in a step power is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crash {
    Never,
    BeforePersist,
    /// What may be said ahead of the records is said, and they are not written.
    AmidPersist,
    AfterPersist,
    AfterActions(usize),
}

/// Why records are not on the disk.
#[derive(Clone, Copy)]
enum Unwritten {
    PowerLost,
    DiskFull,
}

/// What comes of a step.
#[derive(Default)]
struct Said {
    actions: Vec<Action>,
    /// How many of them may go ahead of the records.
    ahead: usize,
    /// Something became durable.
    persisted: bool,
}

impl World {
    fn draw_crash(&mut self) -> Crash {
        if self.healed || self.random.below(4_000) > 0 {
            return Crash::Never;
        }
        match self.random.below(4) {
            0 => Crash::BeforePersist,
            1 => Crash::AmidPersist,
            2 => Crash::AfterPersist,
            _ => Crash::AfterActions(self.random.index(4)),
        }
    }

    /// Feeds one input and carries out what comes of it.
    pub(super) fn input(&mut self, node: usize, input: Input) {
        if let Some(writing) = &self.nodes[node].writing {
            // The thread hears nothing until its write is done.
            let (delay, life) = (writing.until - self.time, self.nodes[node].life);
            return self.at(delay, Event::Input { node, life, input: Box::new(input) });
        }
        let now = self.clock(node);
        let crash = self.draw_crash();
        let committed = matches!(input, Input::Committed(_));
        self.notice_way_back(node, &input);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.replica.step(now, input, &mut process.step);
        if crash == Crash::BeforePersist && !process.step.is_empty() {
            self.coverage.saw("crash before persist");
            return self.die(node);
        }
        let said = match self.write(node, crash) {
            Ok(said) => said,
            Err((unwritten, ahead)) => return self.die_unwritten(node, unwritten, ahead),
        };
        let Said { mut actions, ahead, persisted } = said;
        let Some(process) = &mut self.nodes[node].process else { return };
        if committed && process.log.forget(RECORDS_KEPT).is_err() {
            return self.die(node);
        }
        if self.nodes[node].behaviour.is_none() {
            // Written down it binds its author, whether anybody hears of it or not.
            let messages = actions.iter().filter_map(|action| match action {
                Action::Send { message, .. } => Some(message),
                _ => None,
            });
            messages.for_each(|message| self.checker.heard(message));
        }
        let Some(process) = &self.nodes[node].process else { return };
        let status = process.status(now);
        let next = process.replica.next_deadline();
        // Where it hurts most: what binds us is on the disk, and nobody has heard of it.
        let unheard = persisted && !self.healed && self.random.below(250) == 0;
        if unheard || crash == Crash::AfterPersist && persisted {
            self.coverage.saw("crash between persist and send");
            return self.die(node);
        }
        let honest = self.nodes[node].behaviour.is_none();
        if honest {
            let finding = self.checker.status(&status, &mut self.coverage);
            self.judge(finding);
        }
        if persisted && self.nodes[node].slow_until > self.time {
            self.coverage.saw("disk stalled");
            let delay = 100 + self.random.below(4_900);
            let (life, until) = (self.nodes[node].life, self.time + delay);
            // What may go ahead of the records does.
            let rest = actions.split_off(ahead);
            self.nodes[node].writing = Some(Writing { until, actions: rest });
            self.at(delay, Event::Written { node, life });
            return self.carry_out(node, actions, Crash::Never);
        }
        self.carry_out(node, actions, crash);
        self.schedule_wake(node, next);
    }

    /// Counts a chain that goes back below a change of engines.
    fn notice_way_back(&mut self, node: usize, input: &Input) {
        let now = self.clock(node);
        let Some(process) = &self.nodes[node].process else { return };
        if let Input::Committed(position) = input {
            let (before, next) = (process.status(now).height, position.head.number + 1);
            let engine = |number| self.genesis.spec.engine_at(number);
            if next < before && engine(next) != engine(before) {
                self.coverage.saw("back over a switch");
            }
        }
    }

    /// Makes the records of a step durable; answers what is to be done, or what was done ahead of
    /// records that could not be written.
    fn write(&mut self, node: usize, crash: Crash) -> Result<Said, (Unwritten, Vec<Action>)> {
        let (healed, who) = (self.healed, self.nodes[node].key.address());
        let Some(process) = &mut self.nodes[node].process else { return Ok(Said::default()) };
        let mut actions = Vec::new();
        let mut persisted = false;
        let (log, random, checker) = (&mut process.log, &mut self.random, &mut self.checker);
        let (said, ahead) = (Cell::new(0), Cell::new(0));
        let written = process.step.perform(
            |records| {
                ahead.set(said.get());
                // Now and then when a leader's word is out and its disk does not know of it.
                let heard = ahead.get() > 0 && !healed && random.below(100) == 0;
                if heard || crash == Crash::AmidPersist {
                    return Err(Unwritten::PowerLost);
                }
                persisted = true;
                let bytes = records.iter().map(Record::encode);
                log.append(bytes).map_err(|_| Unwritten::DiskFull)?;
                checker.persisted(who, records);
                Ok(())
            },
            |action| {
                said.set(said.get() + 1);
                actions.push(action);
            },
        );
        match written {
            Ok(()) => Ok(Said { actions, ahead: ahead.get(), persisted }),
            Err(unwritten) => Err((unwritten, actions)),
        }
    }

    /// What could not be written is not said, but for what was said ahead: the node stops.
    fn die_unwritten(&mut self, node: usize, unwritten: Unwritten, ahead: Vec<Action>) {
        self.coverage.saw(match (unwritten, ahead.is_empty()) {
            (Unwritten::DiskFull, _) => "disk full",
            (Unwritten::PowerLost, true) => "crash amid persist",
            (Unwritten::PowerLost, false) => "crash between a leader's word and its record",
        });
        let life = self.nodes[node].life;
        for action in ahead {
            self.act(node, action);
        }
        if self.lives(node, life) {
            self.die(node);
        }
    }

    fn carry_out(&mut self, node: usize, actions: Vec<Action>, crash: Crash) {
        let life = self.nodes[node].life;
        for (index, action) in actions.into_iter().enumerate() {
            if crash == Crash::AfterActions(index) {
                self.coverage.saw("crash between sends");
                return self.die(node);
            }
            self.act(node, action);
            if !self.lives(node, life) {
                return;
            }
        }
    }

    /// What waited for a slow write is done, and the thread looks at its deadlines again.
    pub(super) fn written(&mut self, node: usize) {
        let Some(writing) = self.nodes[node].writing.take() else { return };
        self.carry_out(node, writing.actions, Crash::Never);
        if let Some(process) = &self.nodes[node].process {
            let next = process.replica.next_deadline();
            self.schedule_wake(node, next);
        }
    }

    fn schedule_wake(&mut self, node: usize, next: Option<u64>) {
        let state = &self.nodes[node];
        // A deadline that has passed already comes again a little later, as a thread would.
        let Some(at) = next.map(|next| (state.booted + next).max(self.time + 1)) else { return };
        if state.wake.is_some_and(|wake| wake <= at) {
            return;
        }
        let (life, delay) = (state.life, at - self.time);
        self.nodes[node].wake = Some(at);
        self.at(delay, Event::Wake { node, life });
    }

    /// Power is lost, and comes back later.
    pub(super) fn die(&mut self, node: usize) {
        self.crash(node);
        let delay = 200 + self.random.below(12_000);
        self.at(delay, Event::Start { node });
    }
}
