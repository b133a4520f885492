use super::*;
use crate::{
    enclave::{Enclave, Envelope, SealRandomness},
    party_key::PartyKey,
    random::Randomness,
};
use alloy_primitives::B256;
use entente_chain::{EnvironmentId, private::PrivacyTerms};
use zeroize::Zeroizing;

const TIMEOUT: Millis = 10_000;

fn key(number: u8) -> PartyKey {
    PartyKey::new(Zeroizing::new([number; 32]))
}

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// A payload of key 1 to the keys 2 and 3, each on the node of the same number.
fn delivery(request: u64, is_new: bool) -> Delivery {
    let enclave = Enclave::new(EnvironmentId(B256::ZERO), [key(1)]);
    let recipients = [key(2).public(), key(3).public()];
    let terms = &PrivacyTerms::default();
    let envelope = Envelope { recipients: &recipients, terms, creations: &[] };
    let randomness = SealRandomness::draw(&Randomness::from_seed(1));
    let sender = key(1).public();
    let payload = enclave.seal(b"payload", &sender, &envelope, &randomness).unwrap();
    let receipt = SendReceipt { hash: payload.hash(), sender, managed: vec![sender] };
    let nodes = [2, 3].map(|number| (node(number), vec![key(number).public()])).into();
    Delivery { request: RequestId(request), payload, receipt, nodes, is_new }
}

fn sent_to(outcomes: &[Outcome]) -> Vec<NodeId> {
    let sent = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Send(node, _) => Some(*node),
        Outcome::Delivered(..) | Outcome::Failed(..) => None,
    });
    sent.collect()
}

fn started(is_new: bool) -> (Distribution, PayloadHash) {
    let mut distribution = Distribution::new(TIMEOUT);
    let delivery = delivery(1, is_new);
    let hash = delivery.payload.hash();
    assert_eq!(sent_to(&distribution.start(0, delivery)), [node(2), node(3)]);
    (distribution, hash)
}

#[test]
fn a_request_is_done_when_every_node_has_acknowledged() {
    let (mut distribution, hash) = started(true);
    assert_eq!(distribution.acknowledged(node(2), hash), []);
    assert_eq!(distribution.acknowledged(node(2), hash), [], "once is enough");
    assert_eq!(distribution.acknowledged(node(4), hash), [], "strangers do not count");
    let done = distribution.acknowledged(node(3), hash);
    assert!(matches!(done[..], [Outcome::Delivered(RequestId(1), ..)]), "{done:?}");
    assert_eq!(distribution.next_deadline(), None);
}

#[test]
fn an_acknowledgement_of_another_payload_counts_for_nothing() {
    let (mut distribution, _) = started(true);
    let other = PayloadHash(alloy_primitives::B512::ZERO);
    for number in [2, 3] {
        assert_eq!(distribution.acknowledged(node(number), other), []);
    }
}

#[test]
fn a_node_gets_its_own_copy_only() {
    let mut distribution = Distribution::new(TIMEOUT);
    for outcome in distribution.start(0, delivery(1, true)) {
        let Outcome::Send(to, copy) = outcome else { panic!("{outcome:?}") };
        let number = to.0[0];
        let mut expected = vec![key(1).public(), key(number).public()];
        expected.sort_unstable();
        assert_eq!(copy.boxed(), expected);
        assert_eq!(copy.disclosed(), None);
    }
}

#[test]
fn whoever_is_silent_gets_it_again_in_growing_pauses() {
    let (mut distribution, hash) = started(true);
    distribution.acknowledged(node(3), hash);
    let mut times = Vec::new();
    while let Some(deadline) = distribution.next_deadline()
        && deadline < TIMEOUT
    {
        assert_eq!(distribution.tick(deadline.saturating_sub(1)), []);
        assert_eq!(sent_to(&distribution.tick(deadline)), [node(2)]);
        times.push(deadline);
    }
    assert_eq!(times, [500, 1500, 3500, 7500]);
}

#[test]
fn a_node_that_comes_back_gets_it_at_once() {
    let (mut distribution, hash) = started(true);
    distribution.tick(4000);
    assert_eq!(sent_to(&distribution.connected(4100, node(2))), [node(2)]);
    assert_eq!(distribution.next_deadline(), Some(4600));
    distribution.acknowledged(node(2), hash);
    assert_eq!(distribution.connected(4200, node(2)), []);
}

#[test]
fn when_the_time_is_up_the_silent_party_is_named_and_nothing_is_kept() {
    let (mut distribution, hash) = started(true);
    distribution.acknowledged(node(2), hash);
    let failed = distribution.tick(TIMEOUT);
    let (key, node) = (key(3).public(), node(3));
    let error = DeliveryError::TimedOut { key, node, waited: TIMEOUT };
    assert_eq!(failed, [Outcome::Failed(RequestId(1), error, Some(hash))]);
    assert_eq!(distribution.acknowledged(node, hash), [], "too late");
}

#[test]
fn a_refusal_ends_the_request_with_its_reason() {
    let (mut distribution, hash) = started(false);
    assert_eq!(distribution.refused(node(4), hash, Refusal::Terms), []);
    let failed = distribution.refused(node(2), hash, Refusal::Terms);
    let key = key(2).public();
    let error = DeliveryError::Refused { key, node: node(2), reason: Refusal::Terms };
    assert_eq!(failed, [Outcome::Failed(RequestId(1), error, None)], "it was stored before");
}

#[test]
fn of_two_requests_for_one_payload_the_last_to_fail_takes_it_back() {
    let (mut distribution, hash) = started(true);
    distribution.start(5000, delivery(2, false));
    let first = distribution.tick(TIMEOUT);
    let failed: Vec<_> = first.iter().filter(|one| matches!(one, Outcome::Failed(..))).collect();
    assert!(matches!(failed[..], [Outcome::Failed(RequestId(1), _, None)]), "{failed:?}");
    let second = distribution.tick(5000 + TIMEOUT);
    let taken_back = matches!(&second[..], [Outcome::Failed(RequestId(2), _, Some(own))]
        if *own == hash);
    assert!(taken_back, "{second:?}");
}

#[test]
fn payloads_on_their_way_are_bounded() {
    let mut distribution = Distribution::new(TIMEOUT);
    assert!(!distribution.has_room(DELIVERIES_BYTES_MAX + 1));
    for request in 0..DELIVERIES_MAX as u64 {
        assert!(distribution.has_room(7));
        distribution.start(0, delivery(request, true));
    }
    assert!(!distribution.has_room(7));
}
