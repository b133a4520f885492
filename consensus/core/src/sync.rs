//! Catching up with peers: asks for ranges of blocks, checks that answers are what was asked for,
//! and hands them on for import in order. A pure machine: time and input go in, actions come out.
//!
//! What a peer claims is never believed for longer than it serves (CometBFT CVE-2025-24371: a head
//! claimed high, then low, kept nodes syncing for ever): the target is worked out anew from the
//! claims that count right now, and a peer that fails loses its claim for a growing time
//! (`peers`). Ranges are cut and filled in `pipeline`. Seals and execution are checked by import.

mod peers;
mod pipeline;

use crate::{
    engine::{Action, FetchId, ImportId, Millis, Now, Step, Verdict},
    sabotage::{Bug, is_on},
};
use entente_chain::{
    BlockNumber, ChainSpec, NodeId, RecoveredBlock, SealedHeader, limits::BLOCK_RANGE_MAX,
    spec::EngineKind,
};
use peers::Peers;
use pipeline::{Batch, Pipeline};
use std::collections::BTreeMap;

/// What is held against a peer that says nothing.
const SILENT: &str = "did not answer a block request";
/// Requests in flight over all peers; each peer has one at a time.
const REQUESTS_MAX: usize = 2;

/// How patient block sync is. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// How long a single missing block may still arrive by votes before it is fetched.
    pub grace: Millis,
    /// After which a request is also put to another peer, if there is one.
    pub slow_after: Millis,
    /// After which a silent peer has failed.
    pub request_timeout: Millis,
    /// How long a peer's claim does not count after its first failure; doubles with each further
    /// one.
    pub first_mute: Millis,
    /// Longest such time.
    pub longest_mute: Millis,
    /// How long to wait after this node itself could not import.
    pub pause: Millis,
    /// Whether the chain may fork (Clique): then blocks that do not follow our head are nobody's
    /// fault, and the engine brings the branches together.
    pub forks: bool,
}

impl SyncSettings {
    /// The usual patience, for a chain with these rules.
    #[must_use]
    pub fn of_chain(spec: &ChainSpec) -> Self {
        let changes = spec.transitions.iter().filter_map(|change| change.engine);
        let mut engines = std::iter::once(spec.genesis_rules.engine).chain(changes);
        let forks = engines.any(|engine| engine == EngineKind::Clique);
        Self { forks, ..Self::default() }
    }
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            grace: 300,
            slow_after: 2_000,
            request_timeout: 15_000,
            first_mute: 5_000,
            longest_mute: 600_000,
            pause: 1_000,
            forks: false,
        }
    }
}

#[derive(Debug)]
struct Request {
    peer: NodeId,
    start: BlockNumber,
    count: u64,
    slow_at: Millis,
    deadline: Millis,
    /// Another peer was asked too, or the range is no longer needed.
    abandoned: bool,
}

/// A single missing block, and how long it may come by votes.
#[derive(Clone, Copy, Debug)]
struct Grace {
    head: BlockNumber,
    until: Millis,
    over: bool,
}

/// The sync machine. Bounded by the number of peers and by `pipeline`.
#[derive(Debug)]
pub struct Sync {
    settings: SyncSettings,
    head: Option<SealedHeader>,
    peers: Peers,
    requests: BTreeMap<FetchId, Request>,
    pipeline: Pipeline,
    grace: Option<Grace>,
    paused_until: Option<Millis>,
    next_fetch: u64,
    next_import: u64,
}

impl Sync {
    /// A machine that knows no head and no peers yet.
    #[must_use]
    pub fn new(settings: SyncSettings) -> Self {
        Self {
            settings,
            head: None,
            peers: Peers::new(settings.first_mute, settings.longest_mute),
            requests: BTreeMap::new(),
            pipeline: Pipeline::default(),
            grace: None,
            paused_until: None,
            next_fetch: 0,
            next_import: 0,
        }
    }

    /// The chain stands here now.
    pub fn on_head(&mut self, now: Now, head: &SealedHeader, out: &mut Step) {
        self.head = Some(head.clone());
        self.advance(now, out);
    }

    /// A peer came or went.
    pub fn on_peer(&mut self, now: Now, node: NodeId, connected: bool, out: &mut Step) {
        if connected {
            self.peers.connect(node);
        } else {
            self.peers.disconnect(node);
            let lost: Vec<FetchId> = self.requests_of(node).collect();
            for id in lost {
                self.requests.remove(&id);
                self.pipeline.want_again(id);
            }
        }
        self.advance(now, out);
    }

    /// A peer announced its head. Only the newest announcement counts, also a lower one.
    pub fn on_peer_head(&mut self, now: Now, node: NodeId, number: BlockNumber, out: &mut Step) {
        self.peers.claim(node, number);
        self.advance(now, out);
    }

    /// A peer answered a request, or the host knows that it will not.
    pub fn on_fetched(
        &mut self,
        now: Now,
        id: FetchId,
        blocks: Result<Vec<RecoveredBlock>, String>,
        out: &mut Step,
    ) {
        let Some(request) = self.requests.remove(&id) else { return };
        match blocks {
            Err(_) => {
                // One failed stream is no reason to score: peers restart.
                let again = self.peers.failures(request.peer) > 0;
                let reason = again.then_some("failed to answer block requests");
                self.fail(now, request.peer, reason, out);
            }
            Ok(blocks) => match check_answer(&request, &blocks) {
                Err(reason) => self.fail(now, request.peer, Some(reason), out),
                Ok(()) => {
                    let batch = Batch { peer: request.peer, blocks };
                    self.pipeline.fill(request.start, batch);
                }
            },
        }
        self.pipeline.want_again(id);
        self.advance(now, out);
    }

    /// An import ended; `on_head` was called for every block that was committed.
    pub fn on_imported(
        &mut self,
        now: Now,
        id: ImportId,
        result: &Result<(), (BlockNumber, Verdict)>,
        out: &mut Step,
    ) {
        let Some(peer) = self.pipeline.imported(id) else { return };
        match result {
            Ok(()) | Err((_, Verdict::Valid)) => self.peers.served(peer),
            Err((_, Verdict::Invalid(_))) => {
                self.fail(now, peer, Some("served a block that breaks the rules"), out);
                self.restart();
            }
            Err((_, Verdict::Unavailable(_))) => {
                // Our own trouble: nobody is to blame, and asking at once would not help.
                self.paused_until = Some(now.elapsed.saturating_add(self.settings.pause));
                self.restart();
            }
        }
        self.advance(now, out);
    }

    /// A deadline passed, maybe.
    pub fn on_wake(&mut self, now: Now, out: &mut Step) {
        self.advance(now, out);
    }

    /// When `on_wake` is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let requests = self.requests.iter().flat_map(|(id, request)| {
            let slow = self.may_ask_another(*id, request).then_some(request.slow_at);
            [slow, Some(request.deadline)]
        });
        let grace = self.grace.filter(|grace| !grace.over).map(|grace| grace.until);
        requests.chain([grace, self.paused_until, self.peers.next_unmute()]).flatten().min()
    }

    /// The highest head among the claims that count.
    #[must_use]
    pub fn best_peer_head(&self) -> BlockNumber {
        self.peers.best_claim()
    }

    /// Blocks that wait for import.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.pipeline.blocks()
    }

    fn advance(&mut self, now: Now, out: &mut Step) {
        self.expire(now, out);
        let Some(head) = self.head.clone() else { return };
        self.pipeline.trim(head.number);
        self.import_next(now, &head, out);
        // Asked in any case: it keeps the grace deadline out of the past.
        let waits = self.waits_for_votes(now, head.number);
        if waits || self.paused_until.is_some() {
            return;
        }
        self.give_up_on_slow_peers(now);
        self.ask(now, head.number, out);
    }

    /// Clears everything that lies in the past, so that no deadline is left behind `now`.
    fn expire(&mut self, now: Now, out: &mut Step) {
        self.peers.unmute(now.elapsed);
        if self.paused_until.is_some_and(|until| until <= now.elapsed) {
            self.paused_until = None;
        }
        let due = |(_, request): &(&FetchId, &Request)| request.deadline <= now.elapsed;
        let silent: Vec<FetchId> = self.requests.iter().filter(due).map(|(id, _)| *id).collect();
        for id in silent {
            if let Some(request) = self.requests.remove(&id) {
                self.pipeline.want_again(id);
                self.fail(now, request.peer, Some(SILENT), out);
            }
        }
    }

    /// Hands the next batch on, one at a time. Blocks that were committed meanwhile are left out.
    fn import_next(&mut self, now: Now, head: &SealedHeader, out: &mut Step) {
        while let Some(Batch { peer, blocks }) = self.pipeline.take_ready(head.number) {
            let Some(first) = blocks.first() else { continue };
            if first.header.parent_hash != head.hash() {
                self.fail(now, peer, Some("served blocks that do not follow our head"), out);
                self.restart();
                return;
            }
            let request = ImportId(self.next_import);
            self.next_import = self.next_import.saturating_add(1);
            self.pipeline.importing(request, peer);
            out.then(Action::Import { request, blocks });
            return;
        }
    }

    /// A gap of one block is what every height looks like while it is being decided.
    fn waits_for_votes(&mut self, now: Now, head: BlockNumber) -> bool {
        let one_behind = self.peers.best_claim() == head.saturating_add(1);
        if !one_behind || !self.pipeline.is_empty() {
            self.grace = self.grace.filter(|grace| grace.over && grace.head == head);
            return false;
        }
        let until = now.elapsed.saturating_add(self.settings.grace);
        let grace = self.grace.get_or_insert(Grace { head, until, over: false });
        if grace.head != head {
            *grace = Grace { head, until, over: false };
        }
        grace.over |= grace.until <= now.elapsed;
        !grace.over
    }

    /// The front range holds everything else up: another peer gets it too. A late answer of the
    /// first one is still taken.
    fn give_up_on_slow_peers(&mut self, now: Now) {
        let slow = self.requests.iter().find(|(id, request)| {
            request.slow_at <= now.elapsed && self.may_ask_another(**id, request)
        });
        let Some(id) = slow.map(|(id, _)| *id) else { return };
        if let Some(request) = self.requests.get_mut(&id) {
            request.abandoned = true;
        }
        self.pipeline.want_again(id);
    }

    fn may_ask_another(&self, id: FetchId, request: &Request) -> bool {
        !request.abandoned
            && self.pipeline.front_request() == Some(id)
            && self.peers.choose(request.start, |peer| self.is_busy(peer)).is_some()
    }

    fn ask(&mut self, now: Now, head: BlockNumber, out: &mut Step) {
        self.abandon_unneeded();
        if is_on(Bug::NoSync) {
            return;
        }
        loop {
            let live = self.requests.values().filter(|request| !request.abandoned).count();
            if live >= REQUESTS_MAX {
                return;
            }
            let Some((start, count)) = self.pipeline.next_wanted(head) else { return };
            let Some(peer) = self.peers.choose(start, |peer| self.is_busy(peer)) else { return };
            let claimed = self.peers.claim_of(peer).saturating_sub(start).saturating_add(1);
            let count = count.min(claimed).min(BLOCK_RANGE_MAX);
            let id = FetchId(self.next_fetch);
            self.next_fetch = self.next_fetch.saturating_add(1);
            self.pipeline.asked(start, count, id);
            self.peers.asked(peer, id);
            let slow_at = now.elapsed.saturating_add(self.settings.slow_after);
            let deadline = now.elapsed.saturating_add(self.settings.request_timeout);
            let request = Request { peer, start, count, slow_at, deadline, abandoned: false };
            self.requests.insert(id, request);
            out.then(Action::Fetch { request: id, from: peer, start, count });
        }
    }

    /// A request whose range came by votes still uses its peer's credit, but none of ours.
    fn abandon_unneeded(&mut self) {
        for (id, request) in &mut self.requests {
            request.abandoned |= !self.pipeline.awaits(*id);
        }
    }

    /// Ranges beyond a bad one may build on it: all are asked for again.
    fn restart(&mut self) {
        self.pipeline.clear();
        self.abandon_unneeded();
    }

    fn fail(&mut self, now: Now, node: NodeId, reason: Option<&'static str>, out: &mut Step) {
        self.peers.mute(node, now.elapsed);
        // Where chains fork, a peer may have left its branch between two words.
        let may_blame = !self.settings.forks || reason == Some(SILENT);
        if let Some(reason) = reason.filter(|_| may_blame) {
            out.then(Action::Penalize { node, reason });
        }
    }

    fn is_busy(&self, node: NodeId) -> bool {
        self.requests_of(node).next().is_some()
    }

    fn requests_of(&self, node: NodeId) -> impl Iterator<Item = FetchId> {
        self.requests.iter().filter(move |(_, request)| request.peer == node).map(|(id, _)| *id)
    }
}

/// What can be told of an answer without looking at seals.
fn check_answer(request: &Request, blocks: &[RecoveredBlock]) -> Result<(), &'static str> {
    if blocks.is_empty() {
        return Err("has none of the blocks that it claims");
    }
    if u64::try_from(blocks.len()).map_or(true, |got| got > request.count) {
        return Err("served more blocks than asked for");
    }
    let numbers = request.start..;
    if blocks.iter().zip(numbers).any(|(block, number)| block.header.number != number) {
        return Err("served other blocks than asked for");
    }
    let parents = blocks.iter().map(RecoveredBlock::hash);
    let linked = blocks
        .iter()
        .skip(1)
        .zip(parents)
        .all(|(block, parent)| block.header.parent_hash == parent);
    if linked { Ok(()) } else { Err("served blocks that do not follow each other") }
}
