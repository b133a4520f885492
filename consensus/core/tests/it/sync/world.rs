//! A node with block sync only, its peers and a clock.

use alloy_primitives::{B256, keccak256};
use entente_chain::{BlockBody, BlockNumber, Header, NodeId, RecoveredBlock, SealedHeader};
use entente_consensus::{
    Action, FetchId, ImportId, Millis, Now, Step, Verdict,
    sync::{Sync, SyncSettings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a peer does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Serves what it has, at most this many blocks an answer.
    Honest { most: usize },
    /// Never answers.
    Silent,
    /// Answers without a block.
    Empty,
    /// Serves a chain of its own.
    Forked,
    /// Serves blocks that execution refuses.
    Invalid,
    /// Serves numbers that nobody asked for.
    Shifted,
    /// Serves more than it was asked for.
    Excessive,
    /// Its streams fail.
    Failing,
}

pub(super) const HONEST: Behaviour = Behaviour::Honest { most: 256 };

pub(super) struct Peer {
    pub(super) behaviour: Behaviour,
    pub(super) has: BlockNumber,
    pub(super) delay: Millis,
}

pub(super) type Answer = Result<Vec<RecoveredBlock>, String>;

pub(super) enum Event {
    Answer(FetchId, Answer),
    Imported(ImportId, Vec<RecoveredBlock>),
}

/// One node with block sync only, its peers and a clock.
pub(super) struct World {
    pub(super) sync: Sync,
    pub(super) now: Millis,
    pub(super) head: SealedHeader,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    pub(super) events: BTreeMap<(Millis, u64), Event>,
    pub(super) sequence: u64,
    pub(super) fetches: Vec<(NodeId, BlockNumber, u64)>,
    pub(super) penalised: BTreeSet<NodeId>,
    pub(super) wakes: u64,
    pub(super) import_fails: bool,
}

pub(super) fn node(id: u8) -> NodeId {
    NodeId([id; 32])
}

pub(super) fn block(number: BlockNumber, fork: &str) -> RecoveredBlock {
    let hash = |number: BlockNumber| match number {
        0 => keccak256("genesis"),
        _ => keccak256(format!("{fork}{number}")),
    };
    let parent_hash = number.checked_sub(1).map_or(B256::ZERO, hash);
    let header = Header { number, parent_hash, ..Header::default() };
    RecoveredBlock {
        header: SealedHeader::new(header, hash(number)),
        body: Arc::new(BlockBody::default()),
    }
}

pub(super) fn chain(range: impl Iterator<Item = BlockNumber>) -> Vec<RecoveredBlock> {
    range.map(|number| block(number, "main")).collect()
}

impl World {
    pub(super) fn new() -> Self {
        let head = block(0, "main").header;
        let mut world = Self {
            sync: Sync::new(SyncSettings::default()),
            now: 0,
            head: head.clone(),
            peers: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            fetches: Vec::new(),
            penalised: BTreeSet::new(),
            wakes: 0,
            import_fails: false,
        };
        world.tell(|sync, now, out| sync.on_head(now, &head, out));
        world
    }

    pub(super) fn tell(&mut self, input: impl FnOnce(&mut Sync, Now, &mut Step)) {
        let mut out = Step::default();
        let now = Now { elapsed: self.now, unix: 0 };
        input(&mut self.sync, now, &mut out);
        let mut actions = Vec::new();
        out.perform(|_| Ok::<(), ()>(()), |action| actions.push(action)).expect("no records");
        for action in actions {
            self.act(action);
        }
        let deadline = self.sync.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "{deadline:?} is not after {}", self.now);
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Fetch { request, from, start, count } => {
                assert!((1..=256).contains(&count), "{count} blocks asked for");
                self.fetches.push((from, start, count));
                let peer = &self.peers[&from];
                assert!(start + count - 1 <= self.best_claim(), "asked beyond every claim");
                if let Some(answer) = answer(peer, start, count) {
                    let at = self.now + peer.delay;
                    self.schedule(at, Event::Answer(request, answer));
                }
            }
            Action::Import { request, blocks } => {
                let at = self.now + 5;
                self.schedule(at, Event::Imported(request, blocks));
            }
            Action::Penalize { node, .. } => {
                self.penalised.insert(node);
            }
            other => panic!("sync never does this: {other:?}"),
        }
    }

    pub(super) fn best_claim(&self) -> BlockNumber {
        self.peers.values().map(|peer| peer.has).max().unwrap_or(0)
    }

    pub(super) fn schedule(&mut self, at: Millis, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    pub(super) fn peer(&mut self, id: u8, behaviour: Behaviour, has: BlockNumber) {
        self.peer_with_delay(id, behaviour, has, 20);
    }

    pub(super) fn peer_with_delay(
        &mut self,
        id: u8,
        behaviour: Behaviour,
        has: u64,
        delay: Millis,
    ) {
        self.peers.insert(node(id), Peer { behaviour, has, delay });
        self.tell(|sync, now, out| sync.on_peer(now, node(id), true, out));
        self.announce(id, has);
    }

    pub(super) fn announce(&mut self, id: u8, number: BlockNumber) {
        let peer = self.peers.get_mut(&node(id)).expect("a peer of the test");
        peer.has = peer.has.max(number);
        self.tell(|sync, now, out| sync.on_peer_head(now, node(id), number, out));
    }

    pub(super) fn commit(&mut self, header: &SealedHeader) {
        self.head = header.clone();
        self.tell(|sync, now, out| sync.on_head(now, header, out));
    }

    /// Lets time pass until the head is at `number`; how long that took, or `None` at `until`.
    pub(super) fn run_to_head(&mut self, number: BlockNumber, until: Millis) -> Option<Millis> {
        let began = self.now;
        while self.head.number < number {
            if !self.next_event(until) {
                return None;
            }
        }
        Some(self.now - began)
    }

    pub(super) fn run_for(&mut self, time: Millis) {
        let until = self.now + time;
        while self.next_event(until) {}
        self.now = until;
    }

    pub(super) fn next_event(&mut self, until: Millis) -> bool {
        let event_at = self.events.keys().next().map(|(at, _)| *at);
        let wake_at = self.sync.next_deadline();
        let Some(at) = [event_at, wake_at].into_iter().flatten().min() else { return false };
        if at > until {
            return false;
        }
        self.now = self.now.max(at);
        if event_at == Some(at) {
            let (_, event) = self.events.pop_first().expect("there is one");
            self.happen(event);
        } else {
            self.wakes += 1;
            self.tell(|sync, now, out| sync.on_wake(now, out));
        }
        true
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Answer(id, answer) => {
                self.tell(|sync, now, out| sync.on_fetched(now, id, answer, out));
            }
            Event::Imported(id, blocks) => {
                let result = self.import(blocks);
                self.tell(|sync, now, out| sync.on_imported(now, id, &result, out));
            }
        }
    }

    pub(super) fn import(
        &mut self,
        blocks: Vec<RecoveredBlock>,
    ) -> Result<(), (BlockNumber, Verdict)> {
        if self.import_fails {
            return Err((0, Verdict::Unavailable("disk full".into())));
        }
        for block in blocks {
            let number = block.header.number;
            if number <= self.head.number {
                continue;
            }
            assert_eq!(number, self.head.number + 1, "imports have no holes");
            if block.hash() != self::block(number, "main").hash() {
                return Err((number, Verdict::Invalid("bad seal".into())));
            }
            self.commit(&block.header);
        }
        Ok(())
    }
}

pub(super) fn answer(peer: &Peer, start: BlockNumber, count: u64) -> Option<Answer> {
    let end = start.saturating_add(count).min(peer.has.saturating_add(1));
    let forked = |fork: &str| (start..end).map(|number| block(number, fork)).collect::<Vec<_>>();
    Some(Ok(match peer.behaviour {
        Behaviour::Honest { most } => chain((start..end).take(most)),
        Behaviour::Silent => return None,
        Behaviour::Failing => return Some(Err("stream closed".into())),
        Behaviour::Empty => Vec::new(),
        Behaviour::Forked => forked("fork"),
        Behaviour::Invalid => {
            let mut blocks = chain(start..end);
            let last = blocks.len() - 1;
            let header = blocks[last].header.header().clone();
            blocks[last].header = SealedHeader::new(header, B256::repeat_byte(1));
            blocks
        }
        Behaviour::Shifted => chain(start + 1..end + 1),
        Behaviour::Excessive => chain(start..start.saturating_add(count + 1)),
    }))
}

pub(super) const LIARS: [Behaviour; 7] = [
    Behaviour::Silent,
    Behaviour::Empty,
    Behaviour::Forked,
    Behaviour::Invalid,
    Behaviour::Shifted,
    Behaviour::Excessive,
    Behaviour::Failing,
];
