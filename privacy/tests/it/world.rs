//! Nodes that send frames to each other over a network that a test or a seed spoils.

use crate::disk::{MemoryDisk, privacy, public};
use alloy_primitives::Bytes;
use entente_chain::{
    NodeId,
    private::{PayloadHash, PrivacyTerms, PrivatePayloads as _, Resolution},
};
use entente_privacy::{
    Action, DeliveryError, Millis, PayloadStatus, Privacy, PrivacyError, RequestId, SendReceipt,
    SendRequest,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use zeroize::Zeroizing;

pub(crate) struct Node {
    pub(crate) disk: Arc<MemoryDisk>,
    pub(crate) privacy: Privacy,
    keys: Vec<u8>,
    pub(crate) finished: BTreeMap<RequestId, Result<SendReceipt, DeliveryError>>,
    pub(crate) complaints: Vec<&'static str>,
    /// Every frame that came.
    pub(crate) seen: Vec<Bytes>,
}

/// Whether a frame from one node to another is lost.
pub(crate) type Loss = Box<dyn FnMut(u8, u8) -> bool>;

pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) nodes: BTreeMap<u8, Node>,
    down: BTreeSet<u8>,
    queue: VecDeque<(u8, u8, Bytes)>,
    pub(crate) loss: Loss,
}

pub(crate) fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

impl World {
    /// Connected nodes, each with the key of its number.
    pub(crate) fn new(numbers: &[u8]) -> Self {
        let keys: Vec<_> = numbers.iter().map(|number| vec![*number]).collect();
        Self::with_keys(&keys)
    }

    /// Connected nodes; the first key of each is its number.
    pub(crate) fn with_keys(all: &[Vec<u8>]) -> Self {
        let nodes = all.iter().map(|keys| (keys[0], Node::new(keys))).collect();
        let mut world = Self {
            now: 0,
            nodes,
            down: BTreeSet::new(),
            queue: VecDeque::new(),
            loss: Box::new(|_, _| false),
        };
        let numbers: Vec<_> = world.nodes.keys().copied().collect();
        for (place, one) in numbers.iter().enumerate() {
            for other in &numbers[place + 1..] {
                world.connect(*one, *other);
            }
        }
        world.settle();
        world
    }

    pub(crate) fn privacy(&self, number: u8) -> &Privacy {
        &self.nodes[&number].privacy
    }

    fn connect(&mut self, one: u8, other: u8) {
        for (from, to) in [(one, other), (other, one)] {
            let actions = self.privacy(from).connected(self.now, id(to));
            self.perform(from, actions);
        }
    }

    /// The node stops; its disk stays.
    pub(crate) fn stop(&mut self, number: u8) {
        self.down.insert(number);
        self.queue.retain(|(from, to, _)| *from != number && *to != number);
        for (other, node) in &self.nodes {
            if *other != number {
                node.privacy.disconnected(id(number));
            }
        }
    }

    /// The node comes back, perhaps with an empty disk.
    pub(crate) fn start(&mut self, number: u8, disk: Arc<MemoryDisk>) {
        self.down.remove(&number);
        let node = self.nodes.get_mut(&number).unwrap();
        let seed = self.now + 1000 + u64::from(number);
        node.privacy = privacy(&disk, &node.keys, seed);
        node.disk = disk;
        let others: Vec<_> = self.nodes.keys().copied().filter(|other| *other != number).collect();
        for other in others {
            if !self.down.contains(&other) {
                self.connect(number, other);
            }
        }
    }

    pub(crate) fn restart(&mut self, number: u8) {
        let disk = Arc::clone(&self.nodes[&number].disk);
        self.stop(number);
        self.start(number, disk);
    }

    pub(crate) fn perform(&mut self, from: u8, actions: Vec<Action>) {
        for action in actions {
            let node = self.nodes.get_mut(&from).unwrap();
            match action {
                Action::Send { to, frame } => self.queue.push_back((from, to.0[0], frame)),
                Action::Finished { request, result } => {
                    assert!(node.finished.insert(request, result).is_none(), "finished twice");
                }
                Action::ReceiptArrived { .. } => {}
                Action::Misbehaved { reason, .. } => node.complaints.push(reason),
            }
        }
    }

    /// Delivers one frame; false when there is none.
    pub(crate) fn deliver(&mut self) -> bool {
        let Some((from, to, frame)) = self.queue.pop_front() else { return false };
        let lost = (self.loss)(from, to);
        if lost || self.down.contains(&from) || self.down.contains(&to) {
            return true;
        }
        self.nodes.get_mut(&to).unwrap().seen.push(frame.clone());
        let actions = self.privacy(to).arrived(self.now, id(from), &frame);
        self.perform(to, actions);
        true
    }

    /// Until nothing is under way.
    pub(crate) fn settle(&mut self) {
        while self.deliver() {}
    }

    /// Lets time pass, to the next deadline at a time.
    pub(crate) fn run_until(&mut self, end: Millis) {
        loop {
            self.settle();
            let up = self.nodes.iter().filter(|(number, _)| !self.down.contains(number));
            let next = up.filter_map(|(_, node)| node.privacy.next_deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let numbers: Vec<_> = self.nodes.keys().copied().collect();
            for number in numbers {
                if !self.down.contains(&number) {
                    let actions = self.privacy(number).tick(self.now);
                    self.perform(number, actions);
                }
            }
            if next < self.now {
                self.now += 1;
            }
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn request(
        &mut self,
        from: u8,
        plain: &[u8],
        recipients: &[u8],
    ) -> Result<RequestId, PrivacyError> {
        self.request_under(from, plain, &PrivacyTerms::default(), recipients)
    }

    fn request_under(
        &mut self,
        from: u8,
        plain: &[u8],
        terms: &PrivacyTerms,
        recipients: &[u8],
    ) -> Result<RequestId, PrivacyError> {
        let request = SendRequest {
            plain: Zeroizing::new(plain.to_vec()),
            sender: Some(public(from)),
            recipients: recipients.iter().copied().map(public).collect(),
            terms: terms.clone(),
        };
        let (id, actions) = self.privacy(from).send(self.now, &request)?;
        self.perform(from, actions);
        Ok(id)
    }

    /// Sends and waits until it is finished.
    pub(crate) fn send(
        &mut self,
        from: u8,
        plain: &[u8],
        recipients: &[u8],
    ) -> Result<PayloadHash, DeliveryError> {
        let request = self.request(from, plain, recipients).unwrap();
        self.finish(from, request)
    }

    pub(crate) fn send_under(
        &mut self,
        from: u8,
        terms: &PrivacyTerms,
        recipients: &[u8],
    ) -> Result<PayloadHash, DeliveryError> {
        let request = self.request_under(from, b"payload", terms, recipients).unwrap();
        self.finish(from, request)
    }

    fn finish(&mut self, from: u8, request: RequestId) -> Result<PayloadHash, DeliveryError> {
        self.run_until(self.now + 20_000);
        self.nodes[&from].finished[&request].clone().map(|receipt| receipt.hash)
    }

    pub(crate) fn is_party(&self, number: u8, hash: PayloadHash) -> bool {
        matches!(self.privacy(number).resolve(hash), Resolution::Party(_))
    }

    pub(crate) fn is_no_party(&self, number: u8, hash: PayloadHash) -> bool {
        matches!(self.privacy(number).resolve(hash), Resolution::NotParty)
    }

    pub(crate) fn is_held(&self, number: u8, hash: PayloadHash) -> bool {
        self.privacy(number).status(hash) == Ok(PayloadStatus::Held)
    }
}

impl Node {
    fn new(keys: &[u8]) -> Self {
        let disk = Arc::new(MemoryDisk::default());
        Self {
            privacy: privacy(&disk, keys, u64::from(keys[0])),
            disk,
            keys: keys.to_vec(),
            finished: BTreeMap::new(),
            complaints: Vec::new(),
            seen: Vec::new(),
        }
    }
}
