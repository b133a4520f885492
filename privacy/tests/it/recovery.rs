//! A node that lost its store gets its payloads back, and takes nothing that it cannot judge.

use crate::{
    disk::{MemoryDisk, environment, key, public},
    network::{payload_frame, unknown},
    world::{World, id},
};
use alloy_primitives::B256;
use entente_chain::private::{PrivacyFlag, PrivacyTerms, PrivatePayloads as _, Resolution};
use entente_privacy::{Enclave, Envelope, Randomness, SealRandomness};
use std::{collections::BTreeSet, sync::Arc};

#[test]
fn a_party_that_lost_its_store_gets_its_payloads_back() {
    let mut world = World::new(&[1, 2, 3]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    world.stop(2);
    world.start(2, Arc::new(MemoryDisk::default()));
    let nodes: BTreeSet<_> = [id(1), id(3)].into();
    world.privacy(2).begin_recovery(100, nodes).unwrap();
    let resolution = world.privacy(2).resolve(hash);
    assert!(matches!(resolution, Resolution::Unavailable(_)), "{resolution:?}");
    assert!(matches!(world.privacy(2).resolve(unknown()), Resolution::Unavailable(_)));
    world.run_until(world.now + 10_000);
    assert!(world.is_party(2, hash));
    assert!(world.is_no_party(2, unknown()), "all have said so");
    world.restart(2);
    assert_eq!(world.privacy(2).recovering_until(), Some(100));
    assert!(world.is_party(2, hash));
    world.privacy(2).end_recovery().unwrap();
    assert!(world.is_no_party(2, unknown()));
}

#[test]
fn what_is_recovered_may_affect_what_was_erased() {
    let mut world = World::new(&[1, 2]);
    let validation = PrivacyTerms {
        flag: PrivacyFlag::StateValidation,
        execution_root: Some(B256::ZERO),
        ..PrivacyTerms::default()
    };
    let creation = world.send_under(1, &validation, &[2]).unwrap();
    let call = PrivacyTerms { affected: vec![creation], ..validation };
    let call = world.send_under(1, &call, &[2]).unwrap();
    world.stop(2);
    world.start(2, Arc::new(MemoryDisk::default()));
    world.privacy(2).begin_recovery(100, [id(1)].into()).unwrap();
    assert!(!world.is_party(2, call));
    world.run_until(world.now + 10_000);
    assert!(world.is_party(2, call));
    assert!(!world.is_held(2, creation), "nobody asked for it");
}

/// P7, private simulator seed 386: a node that does not have the creation of a contract yet would not
/// see that who names it is no party to it.
#[test]
fn who_recovers_takes_no_new_payload_for_a_contract_that_it_does_not_know() {
    let mut world = World::new(&[1, 2, 3]);
    let protection = PrivacyTerms { flag: PrivacyFlag::PartyProtection, ..PrivacyTerms::default() };
    let creation = world.send_under(1, &protection, &[2]).unwrap();
    world.stop(2);
    world.start(2, Arc::new(MemoryDisk::default()));
    world.privacy(2).begin_recovery(100, [id(1), id(3)].into()).unwrap();
    world.run_until(world.now + 1_000);
    let outsider = Enclave::new(environment(), [key(3)]);
    let (recipients, terms) =
        ([public(2)], PrivacyTerms { affected: vec![creation], ..protection.clone() });
    let envelope = Envelope { recipients: &recipients, terms: &terms, creations: &[] };
    let randomness = SealRandomness::draw(&Randomness::from_seed(9));
    let lie = outsider.seal(b"payload", &public(3), &envelope, &randomness).unwrap();
    let frame = payload_frame(&lie.copy_for(&recipients));
    assert_eq!(world.privacy(2).arrived(world.now, id(3), &frame), [], "no answer");
    assert!(!world.is_held(2, lie.hash()));
    assert!(!world.is_party(2, creation), "now it is asked for");
    world.run_until(world.now + 10_000);
    assert!(world.is_party(2, creation));
    assert!(!world.privacy(2).arrived(world.now, id(3), &frame).is_empty(), "refused");
    assert!(!world.is_held(2, lie.hash()));
    let honest = PrivacyTerms { affected: vec![creation], ..protection };
    let honest = world.send_under(1, &honest, &[2]).unwrap();
    assert!(world.is_party(2, honest), "what it can judge it takes");
}

#[test]
fn a_sender_that_lost_its_store_gets_its_payloads_back() {
    let mut world = World::new(&[1, 2]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    world.stop(1);
    world.start(1, Arc::new(MemoryDisk::default()));
    world.privacy(1).begin_recovery(100, [id(2)].into()).unwrap();
    assert!(!world.is_party(1, hash));
    world.run_until(world.now + 10_000);
    assert!(world.is_party(1, hash));
    assert!(world.privacy(1).is_sender(hash).unwrap());
}

/// P3: a node that has not answered may have sent it.
#[test]
fn a_hash_is_not_given_up_while_a_node_is_silent() {
    let mut world = World::new(&[1, 2, 3]);
    let hash = world.send(1, b"payload", &[2]).unwrap();
    world.stop(1);
    world.stop(2);
    world.start(2, Arc::new(MemoryDisk::default()));
    world.privacy(2).begin_recovery(100, [id(1), id(3)].into()).unwrap();
    let asked = |world: &World| match world.privacy(2).resolve(hash) {
        Resolution::Unavailable(why) => why,
        other => panic!("{other:?}"),
    };
    asked(&world);
    world.run_until(world.now + 60_000);
    let why = asked(&world);
    assert!(why.contains(&id(1).to_string()) && !why.contains(&id(3).to_string()), "{why}");
    let disk = Arc::clone(&world.nodes[&1].disk);
    world.start(1, disk);
    world.run_until(world.now + 10_000);
    assert!(world.is_party(2, hash));
}
