//! Sealing and opening: what opens where, what is bound, and bytes that never change.

use alloy_primitives::{B256, hex};
use entente_chain::{
    EnvironmentId,
    private::{PrivacyFlag, PrivacyTerms, RecipientKey},
};
use entente_privacy::{
    Creation, Enclave, EncryptedPayload, Envelope, OpenError, PLAIN_BYTES_MAX, PartyKey,
    RECIPIENTS_MAX, Randomness, SealError, SealRandomness,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

fn key(number: u8) -> PartyKey {
    PartyKey::new(Zeroizing::new([number; 32]))
}

fn public(number: u8) -> RecipientKey {
    key(number).public()
}

fn enclave(numbers: &[u8]) -> Enclave {
    let environment = EnvironmentId(B256::repeat_byte(0xee));
    Enclave::new(environment, numbers.iter().copied().map(key))
}

fn randomness(seed: u64) -> SealRandomness {
    SealRandomness::draw(&Randomness::from_seed(seed))
}

fn terms(flag: PrivacyFlag) -> PrivacyTerms {
    PrivacyTerms { flag, ..PrivacyTerms::default() }
}

fn envelope<'a>(recipients: &'a [RecipientKey], terms: &'a PrivacyTerms) -> Envelope<'a> {
    Envelope { recipients, terms, creations: &[] }
}

fn sealed(flag: PrivacyFlag) -> EncryptedPayload {
    let recipients = [public(2), public(3)];
    enclave(&[1])
        .seal(b"payload", &public(1), &envelope(&recipients, &terms(flag)), &randomness(1))
        .unwrap()
}

#[test]
fn every_party_opens_its_copy_and_sees_what_it_may() {
    let payload = sealed(PrivacyFlag::Standard);
    for number in [1, 2, 3] {
        let copy = payload.copy_for(&[public(number)]);
        assert_eq!(copy.hash(), payload.hash());
        let opened = enclave(&[number]).open(&copy).unwrap();
        assert_eq!(*opened.plain, b"payload");
        assert_eq!(opened.sender, public(1));
        assert_eq!(opened.managed, [public(number)]);
        let mut visible = vec![public(1), public(number)];
        visible.sort_unstable();
        visible.dedup();
        assert_eq!(opened.parties, visible);
        let bytes = copy.encode();
        for other in [2, 3].into_iter().filter(|other| *other != number) {
            let shown = bytes.windows(32).any(|window| window == public(other).0);
            assert!(!shown, "the copy of {number} names {other}");
        }
    }
    let own = enclave(&[1]).open(&payload).unwrap();
    assert_eq!(own.parties.len(), 3, "the sender knows all");
    assert_eq!(enclave(&[4]).open(&payload), Err(OpenError));
}

#[test]
fn all_parties_see_each_other_where_their_states_must_agree() {
    let payload = sealed(PrivacyFlag::StateValidation);
    let copy = payload.copy_for(&[public(2)]);
    let opened = enclave(&[2]).open(&copy).unwrap();
    let mut all = [1, 2, 3].map(public);
    all.sort_unstable();
    assert_eq!(opened.parties, all);
    assert_eq!(copy.boxed().len(), 2, "but their boxes are their own");
}

#[test]
fn mandatory_parties_are_seen_by_all() {
    let terms =
        PrivacyTerms { mandatory: vec![public(3)], ..terms(PrivacyFlag::MandatoryRecipients) };
    let recipients = [public(2), public(3), public(4)];
    let payload = enclave(&[1])
        .seal(b"p", &public(1), &envelope(&recipients, &terms), &randomness(1))
        .unwrap();
    let opened = enclave(&[2]).open(&payload.copy_for(&[public(2)])).unwrap();
    let mut seen = [1, 2, 3].map(public);
    seen.sort_unstable();
    assert_eq!(opened.parties, seen);
}

#[test]
fn a_node_with_several_keys_opens_one_copy_with_all_of_them() {
    let payload = sealed(PrivacyFlag::Standard).copy_for(&[public(2), public(3)]);
    let opened = enclave(&[2, 3, 4]).open(&payload).unwrap();
    let mut managed = [public(2), public(3)];
    managed.sort_unstable();
    assert_eq!(opened.managed, managed);
}

#[test]
fn a_sender_that_lost_its_store_reads_the_copy_of_a_recipient() {
    let at_recipient = sealed(PrivacyFlag::Standard).copy_for(&[public(2)]);
    let returned = at_recipient.copy_for(&[public(1)]);
    assert_eq!(returned.boxed(), [public(1)]);
    assert_eq!(*enclave(&[1]).open(&returned).unwrap().plain, b"payload");
}

#[test]
fn a_payload_of_another_environment_does_not_open() {
    let payload = sealed(PrivacyFlag::Standard);
    let other = Enclave::new(EnvironmentId(B256::repeat_byte(0xdd)), [key(1), key(2)]);
    assert_eq!(other.open(&payload), Err(OpenError));
}

#[test]
fn every_flipped_bit_is_found_and_answered_alike() {
    let terms = PrivacyTerms {
        flag: PrivacyFlag::StateValidation,
        affected: vec![sealed(PrivacyFlag::Standard).hash()],
        execution_root: Some(B256::repeat_byte(5)),
        mandatory: Vec::new(),
    };
    let all = enclave(&[1, 2]);
    let payload =
        all.seal(b"payload", &public(1), &envelope(&[public(2)], &terms), &randomness(1)).unwrap();
    let bytes = payload.encode();
    assert_eq!(EncryptedPayload::decode(&bytes).unwrap(), payload);
    let mut opened = 0;
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        if let Ok(changed) = EncryptedPayload::decode(&changed) {
            assert_eq!(all.open(&changed), Err(OpenError), "bit {place}");
            opened += 1;
        }
    }
    assert!(opened > bytes.len(), "most bits pass the form: {opened}");
}

/// The same for one party's copy: whatever is not the sender's own box.
#[test]
fn every_flipped_bit_of_a_copy_is_found() {
    let payload = sealed(PrivacyFlag::PartyProtection);
    let copy = payload.copy_for(&[public(2)]);
    let bytes = copy.encode();
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let Ok(decoded) = EncryptedPayload::decode(&changed) else { continue };
        match enclave(&[2]).open(&decoded) {
            Err(OpenError) => {}
            // Only the sender can judge its box; nothing that this party reads has changed.
            Ok(opened) => {
                assert_eq!(decoded.hash(), payload.hash(), "bit {place}");
                assert_eq!(Ok(opened), enclave(&[2]).open(&copy), "bit {place}");
            }
        }
    }
}

#[test]
fn terms_and_recipients_cannot_be_exchanged_between_payloads() {
    let sender = enclave(&[1]);
    let seal = |flag, recipients: &[RecipientKey]| {
        sender
            .seal(b"payload", &public(1), &envelope(recipients, &terms(flag)), &randomness(1))
            .unwrap()
    };
    let standard = seal(PrivacyFlag::Standard, &[public(2)]);
    let protected = seal(PrivacyFlag::PartyProtection, &[public(2)]);
    assert_ne!(standard.hash(), protected.hash(), "the hash binds the terms");
    let more = seal(PrivacyFlag::Standard, &[public(2), public(3)]);
    assert_ne!(standard.hash(), more.hash(), "and the recipients");
    assert_eq!(standard.merged_with(&protected), None);
}

#[test]
fn copies_of_one_payload_merge_and_others_do_not() {
    let payload = sealed(PrivacyFlag::Standard);
    let (second, third) = (payload.copy_for(&[public(2)]), payload.copy_for(&[public(3)]));
    let merged = second.merged_with(&third).unwrap();
    assert_eq!(merged.boxed(), payload.boxed());
    assert_eq!(second.merged_with(&payload).unwrap(), payload);
}

#[test]
fn a_payload_stored_before_its_recipients_are_known_keeps_its_hash() {
    let sender = enclave(&[1]);
    let raw = sender.seal_raw(b"payload", &public(1), &randomness(1)).unwrap();
    assert_eq!(*sender.open(&raw).unwrap().plain, b"payload");
    let terms = terms(PrivacyFlag::PartyProtection);
    let sent = sender.readdress(&raw, &envelope(&[public(2)], &terms), &randomness(2)).unwrap();
    assert_eq!(sent.hash(), raw.hash());
    let opened = enclave(&[2]).open(&sent.copy_for(&[public(2)])).unwrap();
    assert_eq!((&*opened.plain, opened.terms), (&b"payload".to_vec(), terms.clone()));
    let bound = sealed(PrivacyFlag::Standard);
    let refused = sender.readdress(&bound, &envelope(&[public(2)], &terms), &randomness(2));
    assert_eq!(refused, Err(SealError::Addressed(bound.hash())));
}

#[test]
fn what_cannot_be_sealed_is_named() {
    let sender = enclave(&[1]);
    let terms = PrivacyTerms::default();
    let seal = |plain: &[u8], from, to: &[RecipientKey]| {
        sender.seal(plain, &from, &envelope(to, &terms), &randomness(1)).unwrap_err()
    };
    assert_eq!(seal(b"", public(1), &[]), SealError::Length(0));
    let large = vec![0; PLAIN_BYTES_MAX + 1];
    assert_eq!(seal(&large, public(1), &[]), SealError::Length(PLAIN_BYTES_MAX + 1));
    assert_eq!(seal(b"p", public(2), &[]), SealError::NotOurs(public(2)));
    let weak = RecipientKey([0; 32]);
    assert_eq!(seal(b"p", public(1), &[public(2), weak]), SealError::WeakKey(weak));
    let many = vec![public(2); RECIPIENTS_MAX + 1];
    assert_eq!(seal(b"p", public(1), &many), SealError::Recipients(RECIPIENTS_MAX + 1));
}

#[test]
fn the_largest_payload_is_sealed_and_fits() {
    let plain = vec![7; PLAIN_BYTES_MAX];
    let recipients: Vec<_> = (0..RECIPIENTS_MAX)
        .map(|number| PartyKey::generate(&Randomness::from_seed(number as u64)).public())
        .collect();
    let sender = enclave(&[1]);
    let terms =
        PrivacyTerms { mandatory: recipients.clone(), ..terms(PrivacyFlag::MandatoryRecipients) };
    let payload =
        sender.seal(&plain, &public(1), &envelope(&recipients, &terms), &randomness(1)).unwrap();
    let decoded = EncryptedPayload::decode(&payload.encode()).unwrap();
    assert_eq!(*sender.open(&decoded).unwrap().plain, plain);
}

/// Golden bytes: what is stored and sent today is read by later versions. They were worked out
/// apart from this code, from docs/protocol/private-transactions.md.
#[test]
fn fixed_keys_and_randomness_give_golden_bytes() {
    let golden = include_str!("../testdata/payload.txt");
    let sender = enclave(&[1]);
    let seal = |plain: &[u8], seed: u8, creations: &[EncryptedPayload]| {
        let terms = PrivacyTerms {
            affected: creations.iter().map(EncryptedPayload::hash).collect(),
            execution_root: Some(B256::repeat_byte(8)),
            ..terms(PrivacyFlag::StateValidation)
        };
        let recipients = &[public(2)];
        let creations: Vec<_> =
            creations.iter().cloned().map(Box::new).map(Creation::Sealed).collect();
        let envelope = Envelope { recipients, terms: &terms, creations: &creations };
        let key = Zeroizing::new([seed; 32]);
        let fixed = SealRandomness::new(key, [seed + 1; 32], [seed + 2; 12], [seed + 3; 32]);
        sender.seal(plain, &public(1), &envelope, &fixed).unwrap()
    };
    let creation = seal(b"creation", 0xd0, &[]);
    let payload = seal(b"payload", 0xc0, &[creation]);
    let found = format!("{}\n{}\n", hex::encode(payload.encode()), hex::encode(payload.hash().0));
    assert_eq!(found, golden);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn payloads_survive_the_way_to_every_party(
        plain in prop::collection::vec(any::<u8>(), 1..2000),
        recipients in prop::collection::btree_set(2_u8..40, 0..8),
        flag in 0_u64..4,
        seed: u64,
    ) {
        let keys: Vec<_> = recipients.iter().copied().map(public).collect();
        let terms = terms(PrivacyFlag::from_number(flag).unwrap());
        let payload = enclave(&[1])
            .seal(&plain, &public(1), &envelope(&keys, &terms), &randomness(seed)).unwrap();
        for number in recipients.into_iter().chain([1]) {
            let copy = payload.copy_for(&[public(number)]).encode();
            let copy = EncryptedPayload::decode(&copy).unwrap();
            prop_assert_eq!(copy.hash(), payload.hash());
            let opened = enclave(&[number]).open(&copy).unwrap();
            prop_assert_eq!(&*opened.plain, &plain);
            prop_assert_eq!(opened.terms, terms.clone());
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(EncryptedPayload::decode(&bytes));
    }

    #[test]
    fn damaged_payloads_never_panic(place in 0_usize..2000, byte: u8, cut in 0_usize..2000) {
        let mut bytes = sealed(PrivacyFlag::StateValidation).encode();
        let length = bytes.len();
        bytes[place % length] = byte;
        bytes.truncate(length.saturating_sub(cut % 8));
        if let Ok(decoded) = EncryptedPayload::decode(&bytes) {
            drop(enclave(&[1, 2, 3]).open(&decoded));
        }
    }
}
