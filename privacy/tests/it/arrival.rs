//! Payloads of other nodes: what is taken, what is refused, and that nothing else is learnt.

use crate::disk::{MemoryDisk, privacy, public};
use alloy_primitives::B256;
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayloads as _, RecipientKey, Resolution,
};
use entente_privacy::{
    Creation, Enclave, EncryptedPayload, Envelope, PayloadStatus, Privacy, Randomness, Refusal,
    SealRandomness,
};
use std::sync::Arc;

fn node(keys: &[u8]) -> Privacy {
    privacy(&Arc::new(MemoryDisk::default()), keys, 1)
}

fn enclave(number: u8) -> Enclave {
    Enclave::new(crate::disk::environment(), [crate::disk::key(number)])
}

fn terms(flag: PrivacyFlag) -> PrivacyTerms {
    let execution_root = (flag == PrivacyFlag::StateValidation).then_some(B256::ZERO);
    PrivacyTerms { flag, execution_root, ..PrivacyTerms::default() }
}

fn seal(
    from: u8,
    to: &[u8],
    terms: &PrivacyTerms,
    creations: &[EncryptedPayload],
) -> EncryptedPayload {
    let recipients: Vec<_> = to.iter().copied().map(public).collect();
    let sealed: Vec<_> = creations.iter().cloned().map(Box::new).map(Creation::Sealed).collect();
    let envelope = Envelope { recipients: &recipients, terms, creations: &sealed };
    let seed = (u64::from(from) << 32) | creations.len() as u64;
    let randomness = SealRandomness::draw(&Randomness::from_seed(seed));
    enclave(from).seal(b"payload", &public(from), &envelope, &randomness).unwrap()
}

fn copy(payload: &EncryptedPayload, number: u8) -> EncryptedPayload {
    payload.copy_for(&[public(number)])
}

fn affecting(creation: PayloadHash) -> PrivacyTerms {
    PrivacyTerms { affected: vec![creation], ..terms(PrivacyFlag::PartyProtection) }
}

#[test]
fn a_party_takes_its_copy_and_takes_it_again() {
    let payload = seal(1, &[2, 3], &terms(PrivacyFlag::Standard), &[]);
    let receiver = node(&[2]);
    for _ in 0..2 {
        assert_eq!(receiver.accept(&copy(&payload, 2)), Ok(()));
    }
    assert!(matches!(receiver.resolve(payload.hash()), Resolution::Party(_)));
    assert_eq!(receiver.accept(&copy(&payload, 3)), Err(Refusal::NotAuthentic));
}

#[test]
fn what_is_not_for_us_leaves_nothing() {
    let payload = seal(1, &[2], &terms(PrivacyFlag::Standard), &[]);
    let receiver = node(&[4]);
    assert_eq!(receiver.accept(&payload), Err(Refusal::NotAuthentic));
    assert_eq!(receiver.status(payload.hash()), Ok(PayloadStatus::Unknown));
}

#[test]
fn what_was_erased_is_not_taken_again() {
    let payload = seal(1, &[2], &terms(PrivacyFlag::Standard), &[]);
    let receiver = node(&[2]);
    receiver.accept(&copy(&payload, 2)).unwrap();
    assert_eq!(receiver.delete(payload.hash()), Ok(true));
    assert_eq!(receiver.accept(&copy(&payload, 2)), Err(Refusal::Erased));
}

#[test]
fn keys_of_one_node_may_get_their_copies_one_after_the_other() {
    let payload = seal(1, &[2, 3], &terms(PrivacyFlag::Standard), &[]);
    let receiver = node(&[2, 3]);
    receiver.accept(&copy(&payload, 2)).unwrap();
    assert_eq!(receiver.receive(payload.hash()).unwrap().managed, [public(2)]);
    receiver.accept(&copy(&payload, 3)).unwrap();
    let mut both: Vec<RecipientKey> = vec![public(2), public(3)];
    both.sort_unstable();
    assert_eq!(receiver.receive(payload.hash()).unwrap().managed, both);
}

#[test]
fn state_validation_needs_to_know_the_contract() {
    let creation = seal(1, &[2], &terms(PrivacyFlag::StateValidation), &[]);
    let call =
        PrivacyTerms { affected: vec![creation.hash()], ..terms(PrivacyFlag::StateValidation) };
    let call = seal(1, &[2], &call, std::slice::from_ref(&creation));
    let receiver = node(&[2]);
    assert_eq!(receiver.accept(&copy(&call, 2)), Err(Refusal::Terms));
    receiver.accept(&copy(&creation, 2)).unwrap();
    assert_eq!(receiver.accept(&copy(&call, 2)), Ok(()));
}

/// P7: the creation of a contract stands on the chain, so an outsider can name it.
#[test]
fn an_outsider_cannot_send_to_a_protected_contract() {
    let creation = seal(1, &[2], &terms(PrivacyFlag::PartyProtection), &[]);
    let receiver = node(&[2]);
    receiver.accept(&copy(&creation, 2)).unwrap();
    let outsiders = seal(5, &[2], &affecting(creation.hash()), &[]);
    assert_eq!(receiver.accept(&copy(&outsiders, 2)), Err(Refusal::Terms));
    let parties = seal(1, &[2], &affecting(creation.hash()), std::slice::from_ref(&creation));
    assert_eq!(receiver.accept(&copy(&parties, 2)), Ok(()));
    // A stranger to the contract has nothing to protect.
    let stranger = node(&[2]);
    assert_eq!(stranger.accept(&copy(&outsiders, 2)), Ok(()));
}

#[test]
fn terms_are_checked_again_where_a_payload_arrives() {
    let creation = seal(1, &[2], &terms(PrivacyFlag::PartyProtection), &[]);
    let receiver = node(&[2]);
    receiver.accept(&copy(&creation, 2)).unwrap();
    let unprotected =
        PrivacyTerms { affected: vec![creation.hash()], ..terms(PrivacyFlag::Standard) };
    let payload = seal(1, &[2], &unprotected, &[creation]);
    assert_eq!(receiver.accept(&copy(&payload, 2)), Err(Refusal::Terms));
    let without_root = PrivacyTerms { execution_root: None, ..terms(PrivacyFlag::StateValidation) };
    let payload = seal(1, &[2], &without_root, &[]);
    assert_eq!(receiver.accept(&copy(&payload, 2)), Err(Refusal::Terms));
}

#[test]
fn a_party_cannot_spoil_the_payload_for_its_sender_or_for_others() {
    let sender = node(&[1]);
    let payload = seal(1, &[2], &terms(PrivacyFlag::Standard), &[]);
    sender.accept(&payload).unwrap();
    let other = seal(1, &[2, 3], &terms(PrivacyFlag::Standard), &[]);
    assert_ne!(other.hash(), payload.hash());
    // A copy as somebody passed it on, with the sender's box spoilt.
    let mut bytes = copy(&payload, 2).encode();
    let place = bytes.windows(32).rposition(|window| window == public(1).0).unwrap();
    bytes[place + 40] ^= 1;
    let spoilt = EncryptedPayload::decode(&bytes).unwrap();
    assert_eq!(sender.accept(&spoilt), Err(Refusal::NotAuthentic));
    let receiver = node(&[2]);
    receiver.accept(&spoilt).unwrap();
    assert_eq!(receiver.accept(&copy(&payload, 2)), Ok(()), "ours was good before");
    assert!(matches!(sender.resolve(payload.hash()), Resolution::Party(_)));
}
