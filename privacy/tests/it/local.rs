//! The private transactions of one node, all of whose parties are its own.

use crate::disk::{MemoryDisk, environment, key, privacy, public, records};
use alloy_primitives::{B256, B512};
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, PrivatePayloads as _, RecipientKey,
    Resolution,
};
use entente_privacy::{
    Action, DeliveryError, PayloadStatus, Privacy, PrivacyError, PrivacySettings, Randomness,
    SealError, SendReceipt, SendRequest, TermsError,
};
use std::sync::Arc;
use zeroize::Zeroizing;

fn request(plain: &[u8], recipients: &[u8]) -> SendRequest {
    SendRequest {
        plain: Zeroizing::new(plain.to_vec()),
        sender: Some(public(1)),
        recipients: recipients.iter().copied().map(public).collect(),
        terms: PrivacyTerms::default(),
    }
}

fn finished(actions: Vec<Action>) -> Result<SendReceipt, DeliveryError> {
    let mut results = actions.into_iter().filter_map(|action| match action {
        Action::Finished { result, .. } => Some(result),
        _ => None,
    });
    results.next().unwrap()
}

fn sent(privacy: &Privacy, request: &SendRequest) -> PayloadHash {
    finished(privacy.send(0, request).unwrap().1).unwrap().hash
}

fn ascending(numbers: &[u8]) -> Vec<RecipientKey> {
    let mut keys: Vec<_> = numbers.iter().copied().map(public).collect();
    keys.sort_unstable();
    keys
}

fn is_party(resolution: &Resolution, plain: &[u8]) -> bool {
    matches!(resolution, Resolution::Party(payload) if *payload.plain == plain)
}

#[test]
fn what_was_sent_is_read_again_after_a_restart() {
    let disk = Arc::new(MemoryDisk::default());
    let node = privacy(&disk, &[1, 2], 1);
    let receipt = finished(node.send(0, &request(b"payload", &[2])).unwrap().1).unwrap();
    assert_eq!((receipt.sender, receipt.managed), (public(1), ascending(&[1, 2])));
    let node = privacy(&disk, &[1, 2], 2);
    let read = node.receive(receipt.hash).unwrap();
    assert_eq!(*read.plain, b"payload");
    assert_eq!(read.managed, ascending(&[1, 2]));
    assert!(node.is_sender(receipt.hash).unwrap());
    assert_eq!(node.participants(receipt.hash).unwrap(), ascending(&[1, 2]));
    assert!(is_party(&node.resolve(receipt.hash), b"payload"));
    assert!(is_party(&node.resolve(receipt.hash), b"payload"), "from memory as well");
}

#[test]
fn a_thief_of_the_disk_sees_neither_payloads_nor_parties() {
    let disk = Arc::new(MemoryDisk::default());
    let node = privacy(&disk, &[1, 2], 1);
    sent(&node, &request(b"a payload that is not short", &[2]));
    node.store_raw(b"a payload that is not short", None).unwrap();
    let bytes = disk.bytes();
    for secret in [&b"a payload that is not short"[..], &public(1).0, &public(2).0] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    assert!(records(&disk, 8).is_err(), "another database key is noticed");
}

#[test]
fn a_hash_that_nobody_sent_is_not_ours() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1], 1);
    let hash = PayloadHash(B512::repeat_byte(9));
    assert!(matches!(node.resolve(hash), Resolution::NotParty));
    assert_eq!(node.receive(hash), Err(PrivacyError::Unknown(hash)));
    assert_eq!(node.status(hash), Ok(PayloadStatus::Unknown));
    assert_eq!(node.delete(hash), Ok(false));
}

#[test]
fn an_erased_payload_stays_erased() {
    let disk = Arc::new(MemoryDisk::default());
    let node = privacy(&disk, &[1], 1);
    let hash = node.store_raw(b"payload", None).unwrap();
    let terms = PrivacyTerms::default();
    finished(node.send_raw(0, hash, &[], &terms).unwrap().1).unwrap();
    assert!(is_party(&node.resolve(hash), b"payload"));
    assert_eq!(node.delete(hash), Ok(true));
    for node in [&node, &privacy(&disk, &[1], 2)] {
        assert!(matches!(node.resolve(hash), Resolution::NotParty));
        assert_eq!(node.status(hash), Ok(PayloadStatus::Erased));
        assert_eq!(node.receive(hash), Err(PrivacyError::Erased(hash)));
        assert_eq!(node.receive_raw(hash), Err(PrivacyError::Unknown(hash)));
        assert_eq!(node.delete(hash), Ok(false));
    }
}

#[test]
fn a_payload_of_another_manager_is_erased_like_one_of_ours() {
    let disk = Arc::new(MemoryDisk::default());
    let node = privacy(&disk, &[1], 1);
    let hash = PayloadHash(B512::repeat_byte(9));
    let payload = PrivatePayload {
        plain: Zeroizing::new(b"payload".to_vec()),
        sender: public(2),
        managed: vec![public(1)],
        parties: ascending(&[1, 2]),
        terms: PrivacyTerms::default(),
    };
    node.import(hash, &payload).unwrap();
    assert!(is_party(&node.resolve(hash), b"payload"));
    assert_eq!(node.delete(hash), Ok(true));
    for node in [&node, &privacy(&disk, &[1], 2)] {
        assert!(matches!(node.resolve(hash), Resolution::NotParty));
        assert_eq!(node.status(hash), Ok(PayloadStatus::Erased));
        assert_eq!(node.delete(hash), Ok(false));
        assert!(node.import(hash, &payload).is_err(), "it does not come back");
    }
}

#[test]
fn a_payload_whose_key_is_gone_is_never_taken_for_not_ours() {
    let disk = Arc::new(MemoryDisk::default());
    let hash = sent(&privacy(&disk, &[1, 2], 1), &request(b"payload", &[2]));
    let node = privacy(&disk, &[3], 2);
    assert!(matches!(node.resolve(hash), Resolution::Unavailable(_)));
    assert!(node.add_key(key(2)));
    assert!(!node.add_key(key(2)));
    assert!(is_party(&node.resolve(hash), b"payload"));
    assert_eq!(node.receive(hash).unwrap().managed, [public(2)]);
    assert!(!node.is_sender(hash).unwrap());
    node.add_key(key(1));
    assert_eq!(node.receive(hash).unwrap().managed, ascending(&[1, 2]));
}

#[test]
fn a_payload_to_nobodys_node_leaves_nothing_behind() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1], 1);
    let (_, actions) = node.send(0, &request(b"payload", &[9])).unwrap();
    assert_eq!(finished(actions), Err(DeliveryError::NoNode(public(9))));
}

#[test]
fn a_stored_payload_is_sent_under_its_hash_once() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1, 2, 3], 1);
    let hash = node.store_raw(b"payload", Some(public(1))).unwrap();
    assert_eq!(*node.receive_raw(hash).unwrap().plain, b"payload");
    assert_eq!(node.status(hash), Ok(PayloadStatus::Unknown), "it is not sent yet");
    let terms = PrivacyTerms { flag: PrivacyFlag::PartyProtection, ..PrivacyTerms::default() };
    for _ in 0..2 {
        let (_, actions) = node.send_raw(0, hash, &[public(2)], &terms).unwrap();
        assert_eq!(finished(actions).unwrap().hash, hash);
    }
    let read = node.receive(hash).unwrap();
    assert_eq!((read.sender, &read.terms), (public(1), &terms));
    let others = node.send_raw(0, hash, &[public(3)], &terms);
    assert_eq!(others, Err(PrivacyError::Sent(hash)));
    let unknown = PayloadHash(B512::repeat_byte(9));
    let refused = node.send_raw(0, unknown, &[], &terms);
    assert_eq!(refused, Err(PrivacyError::Unknown(unknown)));
}

#[test]
fn the_first_key_sends_where_none_is_named() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[], 1);
    let unnamed = SendRequest { sender: None, ..request(b"payload", &[]) };
    assert_eq!(node.send(0, &unnamed), Err(PrivacyError::NoKey));
    node.add_key(key(4));
    node.add_key(key(1));
    assert_eq!(node.default_sender(), Some(public(4)));
    let hash = sent(&node, &unnamed);
    assert_eq!(node.receive(hash).unwrap().sender, public(4));
    let foreign = SendRequest { sender: Some(public(9)), ..unnamed };
    let refused = PrivacyError::Seal(SealError::NotOurs(public(9)));
    assert_eq!(node.send(0, &foreign), Err(refused.clone()));
    let opened = Privacy::open(
        records(&Arc::new(MemoryDisk::default()), 7).unwrap(),
        vec![key(1)],
        (environment(), entente_chain::NodeId([1; 32])),
        Arc::new(Randomness::from_seed(1)),
        &PrivacySettings { default_sender: Some(public(9)), ..PrivacySettings::default() },
    );
    assert_eq!(opened.err(), Some(refused));
}

#[test]
fn affected_contracts_are_looked_up() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1, 2, 3], 1);
    let validation = PrivacyTerms {
        flag: PrivacyFlag::StateValidation,
        execution_root: Some(B256::ZERO),
        ..PrivacyTerms::default()
    };
    let creation = sent(&node, &SendRequest { terms: validation.clone(), ..request(b"a", &[2]) });
    let calling = |affected, recipients: &[u8]| {
        let terms = PrivacyTerms { affected: vec![affected], ..validation.clone() };
        node.send(0, &SendRequest { terms, ..request(b"b", recipients) })
    };
    assert!(finished(calling(creation, &[2]).unwrap().1).is_ok());
    let parties = TermsError::AffectedParties { index: 0, hash: creation };
    assert_eq!(calling(creation, &[2, 3]), Err(parties.into()));
    let hash = PayloadHash(B512::repeat_byte(9));
    let unknown = TermsError::AffectedUnknown { index: 0, hash };
    assert_eq!(calling(hash, &[2]), Err(unknown.into()));
}

#[test]
fn mandatory_recipients_are_told_of_payloads_that_have_some() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1, 2], 1);
    let terms = PrivacyTerms {
        flag: PrivacyFlag::MandatoryRecipients,
        mandatory: vec![public(2)],
        ..PrivacyTerms::default()
    };
    let hash = sent(&node, &SendRequest { terms, ..request(b"a", &[2]) });
    assert_eq!(node.mandatory(hash), Ok(vec![public(2)]));
    let plain = sent(&node, &request(b"a", &[2]));
    assert_eq!(node.mandatory(plain), Err(PrivacyError::NotMandatory(plain)));
}

#[test]
fn a_payload_in_hand_opens_only_with_the_keys_that_are_asked_for() {
    let node = privacy(&Arc::new(MemoryDisk::default()), &[1, 2, 3], 1);
    let sealed = node.seal_encoded(&request(b"payload", &[2])).unwrap();
    let encoded = sealed.encode();
    for (keys, managed) in
        [(vec![public(2), public(3)], vec![public(2)]), (vec![public(1)], vec![public(1)])]
    {
        let opened = node.open_encoded_for(&keys, &encoded).unwrap();
        assert_eq!((opened.plain.as_slice(), opened.managed), (&b"payload"[..], managed));
    }
    for keys in [vec![public(3)], vec![]] {
        let refused = node.open_encoded_for(&keys, &encoded);
        assert!(matches!(refused, Err(PrivacyError::Open { .. })), "{refused:?}");
    }
}
