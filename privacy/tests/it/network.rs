//! Private transactions between nodes: who gets what, what is lost, what comes back.

use crate::{
    disk::{MemoryDisk, environment, key, public},
    world::{World, id},
};
use alloy_primitives::{B512, Bytes};
use entente_chain::private::{PayloadHash, PrivacyTerms, PrivatePayloads as _, Resolution};
use entente_privacy::{
    DeliveryError, Enclave, EncryptedPayload, Envelope, PrivacyError, Randomness, SealRandomness,
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The frame of a payload, as a hostile node would make it.
pub(crate) fn payload_frame(payload: &EncryptedPayload) -> Bytes {
    [&[1, 2], payload.encode().as_slice()].concat().into()
}

pub(crate) fn unknown() -> PayloadHash {
    PayloadHash(B512::repeat_byte(9))
}

#[test]
fn nodes_learn_each_others_keys() {
    let world = World::with_keys(&[vec![1], vec![2, 22], vec![3]]);
    let known: BTreeMap<_, _> = world.privacy(1).directory().into_iter().collect();
    let mut second = vec![public(2), public(22)];
    second.sort_unstable();
    assert_eq!(known, [(id(2), second), (id(3), vec![public(3)])].into());
    assert!(world.nodes.values().all(|node| node.complaints.is_empty()));
}

#[test]
fn a_payload_is_on_every_partys_disk_when_its_request_is_done() {
    let mut world = World::new(&[1, 2, 3, 4]);
    let hash = world.send(1, b"payload", &[2, 3]).unwrap();
    for number in [1, 2, 3] {
        assert!(world.is_party(number, hash), "{number}");
        world.restart(number);
        assert!(world.is_party(number, hash), "{number} after a restart");
    }
    assert!(world.is_no_party(4, hash));
    assert!(!world.is_held(4, hash));
}

/// P2: what a non-party receives does not depend on payloads.
#[test]
fn a_non_party_sees_nothing_of_a_payload() {
    let seen = |send: bool| {
        let mut world = World::new(&[1, 2, 3]);
        if send {
            world.request(1, b"payload", &[2]).unwrap();
        }
        world.run_until(20_000);
        assert_eq!(world.nodes[&1].finished.len(), usize::from(send));
        world.nodes[&3].seen.clone()
    };
    assert_eq!(seen(true), seen(false));
}

#[test]
fn a_party_that_is_down_fails_the_request_and_is_named() {
    let mut world = World::new(&[1, 2, 3]);
    world.stop(3);
    let request = world.request(1, b"payload", &[2, 3]).unwrap();
    world.run_until(20_000);
    let Some(Err(DeliveryError::TimedOut { key, node, waited })) =
        world.nodes[&1].finished.get(&request)
    else {
        panic!("{:?}", world.nodes[&1].finished);
    };
    assert_eq!((*key, *node), (public(3), id(3)));
    assert_eq!(*waited, 10_000);
}

#[test]
fn a_payload_that_did_not_reach_all_is_kept_by_nobody_who_sends() {
    let mut world = World::new(&[1, 2, 3]);
    world.stop(3);
    let before = world.nodes[&1].disk.bytes().len();
    world.send(1, b"payload", &[2, 3]).unwrap_err();
    assert_eq!(world.nodes[&1].disk.bytes().len(), before);
}

#[test]
fn a_party_that_comes_back_in_time_gets_it() {
    let mut world = World::new(&[1, 2]);
    world.stop(2);
    let request = world.request(1, b"payload", &[2]).unwrap();
    world.run_until(9000);
    assert!(world.nodes[&1].finished.is_empty());
    let disk = Arc::clone(&world.nodes[&2].disk);
    world.start(2, disk);
    world.run_until(9900);
    let receipt = world.nodes[&1].finished[&request].clone().unwrap();
    assert!(world.is_party(2, receipt.hash));
}

#[test]
fn lost_frames_are_sent_again() {
    let mut world = World::new(&[1, 2]);
    let left = AtomicUsize::new(3);
    world.loss = Box::new(move |_, _| {
        left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    });
    let hash = world.send(1, b"payload", &[2]).unwrap();
    assert!(world.is_party(2, hash));
}

#[test]
fn a_key_that_no_node_has_shown_fails_at_once() {
    let mut world = World::new(&[1, 2]);
    assert_eq!(world.send(1, b"payload", &[2, 9]), Err(DeliveryError::NoNode(public(9))));
    assert_eq!(world.nodes[&2].seen.len(), world.nodes[&1].seen.len(), "nothing was sent");
}

#[test]
fn a_key_may_be_added_while_the_node_runs() {
    let mut world = World::new(&[1, 2]);
    assert_eq!(world.send(1, b"payload", &[9]), Err(DeliveryError::NoNode(public(9))));
    world.privacy(2).add_key(key(9));
    let actions = world.privacy(2).announce();
    world.perform(2, actions);
    world.settle();
    let hash = world.send(1, b"payload", &[9]).unwrap();
    assert_eq!(world.privacy(2).receive(hash).unwrap().managed, [public(9)]);
    // And the other way round, with the new key as the sender's.
    let request = entente_privacy::SendRequest {
        plain: zeroize::Zeroizing::new(b"answer".to_vec()),
        sender: Some(public(9)),
        recipients: vec![public(1)],
        terms: PrivacyTerms::default(),
    };
    let (request, actions) = world.privacy(2).send(world.now, &request).unwrap();
    world.perform(2, actions);
    world.settle();
    assert!(world.nodes[&2].finished[&request].is_ok());
}

#[test]
fn a_node_without_keys_takes_part_in_nothing_until_it_has_one() {
    let mut world = World::new(&[1]);
    let mut bare = World::with_keys(&[vec![1], vec![2]]);
    bare.nodes.remove(&1);
    assert!(world.send(1, b"payload", &[]).is_ok(), "alone");
    let disk = Arc::new(MemoryDisk::default());
    let node = crate::disk::privacy(&disk, &[], 1);
    assert_eq!(node.connected(0, id(1)).len(), 1, "it says that it has none");
    assert_eq!(node.store_raw(b"p", None), Err(PrivacyError::NoKey));
}

#[test]
fn two_nodes_with_one_key_are_noticed_and_the_first_keeps_it() {
    let mut world = World::with_keys(&[vec![1], vec![2], vec![3, 2]]);
    let holder = |world: &World| {
        let directory = world.privacy(1).directory();
        let nodes = directory.iter().filter(|(_, keys)| keys.contains(&public(2)));
        nodes.map(|(node, _)| *node).collect::<Vec<_>>()
    };
    assert_eq!(holder(&world), [id(2)]);
    world.stop(2);
    world.restart(3);
    world.settle();
    assert_eq!(holder(&world), [id(2)], "nobody else gets it while it may come back");
    assert_eq!(world.privacy(1).forget_node(id(2)), Ok(true));
    world.restart(3);
    world.settle();
    assert_eq!(holder(&world), [id(3)]);
}

#[test]
fn only_the_senders_node_brings_what_nobody_asked_for() {
    let mut world = World::new(&[1, 2, 3]);
    let sender = Enclave::new(environment(), [key(1)]);
    let (recipients, terms) = ([public(2)], PrivacyTerms::default());
    let envelope = Envelope { recipients: &recipients, terms: &terms, creations: &[] };
    let randomness = SealRandomness::draw(&Randomness::from_seed(9));
    let payload = sender.seal(b"payload", &public(1), &envelope, &randomness).unwrap();
    let frame = payload_frame(&payload.copy_for(&recipients));
    for stranger in [3, 7] {
        let answer = world.privacy(2).arrived(0, id(stranger), &frame);
        assert!(!answer.is_empty());
        assert!(!world.is_held(2, payload.hash()), "{stranger}");
    }
    let answer = world.privacy(2).arrived(0, id(1), &frame);
    world.perform(2, answer);
    assert!(world.is_held(2, payload.hash()));
}

#[test]
fn nobody_gets_the_payload_of_others_by_asking() {
    let mut world = World::new(&[1, 2, 3]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    world.privacy(3).begin_recovery(100, [id(1), id(2)].into()).unwrap();
    assert!(matches!(world.privacy(3).resolve(hash), Resolution::Unavailable(_)));
    world.run_until(world.now + 10_000);
    assert!(world.is_no_party(3, hash));
    assert!(!world.is_held(3, hash));
}

#[test]
fn an_erased_payload_does_not_come_back() {
    let mut world = World::new(&[1, 2]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    assert_eq!(world.privacy(2).delete(hash), Ok(true));
    world.privacy(2).begin_recovery(100, [id(1)].into()).unwrap();
    assert!(world.is_no_party(2, hash));
    world.run_until(world.now + 10_000);
    assert!(world.is_no_party(2, hash));
    assert!(!world.is_held(2, hash));
}

#[test]
fn parties_tell_each_other_what_happened() {
    let mut world = World::new(&[1, 2, 3]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    let receipt = Bytes::from_static(b"what happened");
    let actions = world.privacy(2).send_receipt(hash, public(2), &receipt).unwrap();
    world.perform(2, actions);
    world.settle();
    let expected = vec![(public(2), receipt.to_vec())];
    assert_eq!(world.privacy(1).receipts(hash), Ok(expected.clone()));
    assert_eq!(world.privacy(2).receipts(hash), Ok(expected));
    let stranger = world.privacy(3).send_receipt(hash, public(3), &receipt);
    assert_eq!(stranger, Err(PrivacyError::Unknown(hash)));
}

#[test]
fn a_frame_that_is_no_message_is_complained_about() {
    let mut world = World::new(&[1, 2]);
    for frame in [&b""[..], b"\x01", b"\x01\x63", b"\x02\x01\xc0", &[1, 2, 3, 4]] {
        let actions = world.privacy(1).arrived(0, id(2), frame);
        world.perform(1, actions);
    }
    assert_eq!(world.nodes[&1].complaints.len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is lost and whoever restarts: a request that is done is on every party's disk, and
    /// one that failed is not on the sender's.
    #[test]
    fn done_means_durable_everywhere(
        seed: u64,
        loss in 0_u64..60,
        restarts in prop::collection::vec((1_u8..4, 0_u64..12_000), 0..3),
    ) {
        let mut world = World::new(&[1, 2, 3, 4]);
        let mut state = seed;
        world.loss = Box::new(move |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 100 < loss
        });
        let mut asked = Vec::new();
        for number in 0..4_u8 {
            let plain = [number; 20];
            asked.push(world.request(4, &plain, &[1 + number % 3, 1 + (number + 1) % 3]).unwrap());
        }
        let mut restarts = restarts;
        restarts.sort_by_key(|(_, at)| *at);
        for (number, at) in restarts {
            world.run_until(at);
            world.restart(number);
        }
        world.run_until(40_000);
        for (number, request) in asked.into_iter().enumerate() {
            let result = world.nodes[&4].finished.get(&request).cloned();
            let Some(result) = result else { panic!("request {number} never ended") };
            if let Ok(receipt) = result {
                let number = u8::try_from(number).unwrap();
                for party in [1 + number % 3, 1 + (number + 1) % 3, 4] {
                    world.restart(party);
                    prop_assert!(world.is_party(party, receipt.hash), "party {}", party);
                }
            }
        }
    }

    #[test]
    fn hostile_frames_do_no_harm(
        frames in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..200), 0_u8..9), 1..30,
        ),
    ) {
        let mut world = World::new(&[1, 2, 3]);
        for (mut frame, kind) in frames {
            frame.splice(0..0, [1, kind]);
            let actions = world.privacy(1).arrived(world.now, id(2), &frame);
            world.perform(1, actions);
        }
        let hash = world.send(1, b"payload", &[3]).unwrap();
        prop_assert!(world.is_party(3, hash));
    }
}
