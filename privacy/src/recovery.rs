//! A node that lost its store, or never had one, cannot take an unknown hash for somebody else's:
//! it asks all nodes that may have sent it something, and says "not a party" only when each has
//! answered that it holds nothing for our keys. Pure.

use crate::privacy::Millis;
use alloy_primitives::B256;
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use entente_chain::{BlockNumber, NodeId, private::PayloadHash};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most hashes that are asked for at once.
const WANTED_MAX: usize = 1024;
/// Most hashes that are remembered as nobody's.
const SETTLED_MAX: usize = 64 * 1024;
/// A question is asked again after this, in milliseconds.
const ASK_AGAIN: Millis = 2000;
/// A hash that nobody asked about for so long is given up, in milliseconds; execution asks again.
const WANTED_TIME: Millis = 10 * 60 * 1000;

/// How recovery is stored.
#[derive(RlpEncodable, RlpDecodable)]
struct Encoded {
    until: u64,
    nodes: Vec<B256>,
}

/// What is known of a hash that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody sent it to us.
    NotParty,
    /// These nodes have not answered yet; or, when there are none, there is no room to ask.
    Waiting(Vec<NodeId>),
}

#[derive(Debug, Default)]
struct Wanted {
    /// Nodes that answered that they hold nothing for us.
    denied: BTreeSet<NodeId>,
    /// When to ask again; none: never asked.
    next: Option<Millis>,
    since: Option<Millis>,
}

/// Whether and what a node recovers.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Head when recovery began; none: there is nothing to recover.
    until: Option<BlockNumber>,
    /// Nodes that must answer beside those of the directory.
    nodes: BTreeSet<NodeId>,
    wanted: BTreeMap<PayloadHash, Wanted>,
    settled: BTreeSet<PayloadHash>,
    settled_oldest_first: VecDeque<PayloadHash>,
}

impl Recovery {
    /// Goes on with a recovery that was stored.
    pub(crate) fn restore(mut stored: &[u8]) -> Option<Self> {
        let Encoded { until, nodes } = Encoded::decode(&mut stored).ok()?;
        let nodes = nodes.into_iter().map(|node| NodeId(node.0)).collect();
        Some(Self { until: Some(until), nodes, ..Self::default() })
    }

    pub(crate) fn begun(until: BlockNumber, nodes: BTreeSet<NodeId>) -> Self {
        Self { until: Some(until), nodes, ..Self::default() }
    }

    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let nodes = self.nodes.iter().map(|node| B256::from(node.0)).collect();
        Some(alloy_rlp::encode(Encoded { until: self.until?, nodes }))
    }

    pub(crate) const fn until(&self) -> Option<BlockNumber> {
        self.until
    }

    /// Answers learnt so far hold no longer: we have more keys now.
    pub(crate) fn start_over(&mut self) {
        self.settled.clear();
        self.settled_oldest_first.clear();
        self.wanted.values_mut().for_each(|wanted| *wanted = Wanted::default());
    }

    /// What an unknown hash is, and begins to ask when that cannot be told.
    pub(crate) fn judge(
        &mut self,
        hash: PayloadHash,
        directory: impl Iterator<Item = NodeId>,
    ) -> Verdict {
        if self.until.is_none() || self.settled.contains(&hash) {
            return Verdict::NotParty;
        }
        if !self.wanted.contains_key(&hash) && self.wanted.len() >= WANTED_MAX {
            return Verdict::Waiting(Vec::new());
        }
        let must_answer: BTreeSet<_> = self.nodes.iter().copied().chain(directory).collect();
        let wanted = self.wanted.entry(hash).or_default();
        let missing: Vec<_> = must_answer.difference(&wanted.denied).copied().collect();
        // Nobody to ask is no answer.
        if !missing.is_empty() || must_answer.is_empty() {
            return Verdict::Waiting(missing);
        }
        self.settle(hash);
        Verdict::NotParty
    }

    /// Whether a hash was asked for.
    pub(crate) fn wants(&self, hash: PayloadHash) -> bool {
        self.wanted.contains_key(&hash)
    }

    /// The payload came, or its hash does not matter any more.
    pub(crate) fn found(&mut self, hash: PayloadHash) {
        self.wanted.remove(&hash);
    }

    /// A node holds nothing for us under a hash.
    pub(crate) fn denied(&mut self, from: NodeId, hash: PayloadHash) {
        if let Some(wanted) = self.wanted.get_mut(&hash) {
            wanted.denied.insert(from);
        }
    }

    /// The operator decides that this node is no party.
    pub(crate) fn give_up(&mut self, hash: PayloadHash) {
        self.settle(hash);
    }

    /// Hashes to ask for now, each with the nodes to ask.
    pub(crate) fn tick(
        &mut self,
        now: Millis,
        connected: &BTreeSet<NodeId>,
    ) -> Vec<(NodeId, PayloadHash)> {
        self.wanted.retain(|_, wanted| {
            let since = *wanted.since.get_or_insert(now);
            now.saturating_sub(since) < WANTED_TIME
        });
        let mut questions = Vec::new();
        for (hash, wanted) in &mut self.wanted {
            if wanted.next.is_none_or(|next| next <= now) {
                wanted.next = Some(now.saturating_add(ASK_AGAIN));
                let open = connected.difference(&wanted.denied);
                questions.extend(open.map(|node| (*node, *hash)));
            }
        }
        questions
    }

    /// When [`tick`](Self::tick) has something to do; 0: now.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.wanted.values().map(|wanted| wanted.next.unwrap_or(0)).min()
    }

    fn settle(&mut self, hash: PayloadHash) {
        self.wanted.remove(&hash);
        if self.settled.insert(hash) {
            self.settled_oldest_first.push_back(hash);
        }
        if self.settled.len() > SETTLED_MAX
            && let Some(oldest) = self.settled_oldest_first.pop_front()
        {
            self.settled.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn hash(number: u8) -> PayloadHash {
        PayloadHash(B512::repeat_byte(number))
    }

    fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
        numbers.iter().copied().map(node).collect()
    }

    fn judge(recovery: &mut Recovery, number: u8) -> Verdict {
        recovery.judge(hash(number), [node(2)].into_iter())
    }

    #[test]
    fn without_a_loss_an_unknown_hash_is_nobodys() {
        assert_eq!(judge(&mut Recovery::default(), 1), Verdict::NotParty);
    }

    #[test]
    fn a_hash_is_nobodys_when_every_node_has_said_so() {
        let mut recovery = Recovery::begun(7, nodes(&[1]));
        assert_eq!(judge(&mut recovery, 1), Verdict::Waiting(vec![node(1), node(2)]));
        let asked = recovery.tick(100, &nodes(&[1, 2]));
        assert_eq!(asked, [(node(1), hash(1)), (node(2), hash(1))]);
        recovery.denied(node(1), hash(1));
        assert_eq!(judge(&mut recovery, 1), Verdict::Waiting(vec![node(2)]));
        assert_eq!(recovery.tick(101, &nodes(&[1, 2])), [], "it is not asked again at once");
        let again = recovery.tick(100 + ASK_AGAIN, &nodes(&[1, 2]));
        assert_eq!(again, [(node(2), hash(1))], "whoever answered is not asked again");
        recovery.denied(node(2), hash(1));
        assert_eq!(judge(&mut recovery, 1), Verdict::NotParty);
        assert_eq!(recovery.next_deadline(), None);
    }

    #[test]
    fn nobody_to_ask_is_no_answer() {
        let mut recovery = Recovery::begun(7, BTreeSet::new());
        assert_eq!(recovery.judge(hash(1), std::iter::empty()), Verdict::Waiting(vec![]));
    }

    #[test]
    fn a_new_key_makes_old_answers_worthless() {
        let mut recovery = Recovery::begun(7, BTreeSet::new());
        judge(&mut recovery, 1);
        recovery.denied(node(2), hash(1));
        assert_eq!(judge(&mut recovery, 1), Verdict::NotParty);
        recovery.start_over();
        assert_eq!(judge(&mut recovery, 1), Verdict::Waiting(vec![node(2)]));
    }

    #[test]
    fn an_operator_may_decide() {
        let mut recovery = Recovery::begun(7, nodes(&[1]));
        judge(&mut recovery, 1);
        assert!(recovery.wants(hash(1)));
        recovery.give_up(hash(1));
        assert_eq!(judge(&mut recovery, 1), Verdict::NotParty);
    }

    #[test]
    fn recovery_survives_a_restart() {
        let stored = Recovery::begun(7, nodes(&[1, 2])).encode().unwrap();
        let mut restored = Recovery::restore(&stored).unwrap();
        assert_eq!(restored.until(), Some(7));
        assert_eq!(judge(&mut restored, 1), Verdict::Waiting(vec![node(1), node(2)]));
        assert_eq!(Recovery::default().encode(), None);
        assert!(Recovery::restore(&[1, 2, 3]).is_none());
    }

    #[test]
    fn questions_are_bounded_and_end() {
        let mut recovery = Recovery::begun(7, nodes(&[1]));
        for number in 0..WANTED_MAX {
            let mut data = [0; 64];
            data[..8].copy_from_slice(&(number as u64).to_be_bytes());
            recovery.judge(PayloadHash(B512::from(data)), std::iter::empty());
        }
        assert_eq!(judge(&mut recovery, 9), Verdict::Waiting(vec![]));
        recovery.tick(0, &nodes(&[1]));
        recovery.tick(WANTED_TIME, &nodes(&[1]));
        assert_eq!(judge(&mut recovery, 9), Verdict::Waiting(vec![node(1), node(2)]));
    }
}
