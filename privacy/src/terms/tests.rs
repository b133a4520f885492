use super::*;
use alloy_primitives::{B256, B512};
use zeroize::Zeroizing;

fn key(number: u8) -> RecipientKey {
    RecipientKey([number; 32])
}

fn hash(number: u8) -> PayloadHash {
    PayloadHash(B512::repeat_byte(number))
}

fn terms(flag: PrivacyFlag) -> PrivacyTerms {
    let execution_root = (flag == PrivacyFlag::StateValidation).then_some(B256::ZERO);
    PrivacyTerms { flag, execution_root, ..PrivacyTerms::default() }
}

fn mandatory(keys: &[u8]) -> PrivacyTerms {
    let mandatory = keys.iter().copied().map(key).collect();
    PrivacyTerms { mandatory, ..terms(PrivacyFlag::MandatoryRecipients) }
}

fn payload(parties: &[u8], terms: PrivacyTerms) -> PrivatePayload {
    let parties: Vec<_> = parties.iter().copied().map(key).collect();
    PrivatePayload {
        plain: Zeroizing::default(),
        sender: key(1),
        managed: vec![key(1)],
        parties,
        terms,
    }
}

fn affecting(mut terms: PrivacyTerms) -> PrivacyTerms {
    terms.affected = vec![hash(9)];
    terms
}

fn request(
    parties: &[u8],
    terms: &PrivacyTerms,
    creation: Option<&PrivatePayload>,
) -> Result<(), TermsError> {
    let parties = parties.iter().copied().map(key).collect();
    check_affected(&key(1), &parties, terms, &[creation])
}

#[test]
fn a_list_of_recipients_may_be_empty_or_name_the_sender() {
    let standard = terms(PrivacyFlag::Standard);
    assert_eq!(check_form(&key(1), &[], &standard), Ok(()));
    assert_eq!(check_form(&key(1), &[key(1)], &standard), Ok(()));
}

#[test]
fn a_key_that_is_listed_twice_is_named_with_its_place() {
    let twice = [key(2), key(3), key(2)];
    let expected = TermsError::Duplicate { index: 2, key: key(2) };
    assert_eq!(check_form(&key(1), &twice, &terms(PrivacyFlag::Standard)), Err(expected.clone()));
    assert!(expected.to_string().starts_with("privateFor[2]: "), "{expected}");
}

#[test]
fn ten_thousand_recipients_are_too_many() {
    let many = vec![key(2); 10_000];
    let refused = check_form(&key(1), &many, &terms(PrivacyFlag::Standard));
    assert_eq!(refused, Err(TermsError::Recipients(10_000)));
}

#[test]
fn mandatory_recipients_and_their_flag_belong_together() {
    let listed = [key(2), key(3)];
    let check = |terms: &PrivacyTerms| check_form(&key(1), &listed, terms);
    assert_eq!(check(&mandatory(&[3, 1])), Ok(()));
    let stranger = TermsError::MandatoryNotNamed { index: 1, key: key(4) };
    assert_eq!(check(&mandatory(&[3, 4])), Err(stranger));
    assert_eq!(check(&mandatory(&[])), Err(TermsError::MandatoryMissing));
    let wrong = PrivacyTerms { flag: PrivacyFlag::PartyProtection, ..mandatory(&[3]) };
    assert_eq!(check(&wrong), Err(TermsError::MandatoryWithoutFlag(1)));
}

#[test]
fn the_root_of_the_simulation_belongs_to_state_validation() {
    let check = |terms: &PrivacyTerms| check_form(&key(1), &[], terms);
    let mut validation = terms(PrivacyFlag::StateValidation);
    assert_eq!(check(&validation), Ok(()));
    validation.execution_root = None;
    assert_eq!(check(&validation), Err(TermsError::ExecutionRoot));
    let mut standard = terms(PrivacyFlag::Standard);
    standard.execution_root = Some(B256::ZERO);
    assert_eq!(check(&standard), Err(TermsError::ExecutionRoot));
    standard.execution_root = None;
    standard.affected = vec![hash(1); AFFECTED_MAX + 1];
    assert_eq!(check(&standard), Err(TermsError::Affected(AFFECTED_MAX + 1)));
}

#[test]
fn affected_contracts_must_be_known_and_the_senders_own() {
    let protected = affecting(terms(PrivacyFlag::PartyProtection));
    let creation = payload(&[1, 2], terms(PrivacyFlag::PartyProtection));
    assert_eq!(request(&[1, 2], &protected, Some(&creation)), Ok(()));
    let unknown = TermsError::AffectedUnknown { index: 0, hash: hash(9) };
    assert_eq!(request(&[1, 2], &protected, None), Err(unknown));
    let foreign = PrivatePayload { managed: vec![key(2)], ..creation };
    let refused = TermsError::AffectedNotParty { index: 0, hash: hash(9), sender: key(1) };
    assert_eq!(request(&[1, 2], &protected, Some(&foreign)), Err(refused));
}

#[test]
fn contracts_keep_their_flag() {
    let creation = payload(&[1, 2], terms(PrivacyFlag::PartyProtection));
    let standard = affecting(terms(PrivacyFlag::Standard));
    let refused = TermsError::AffectedFlag { index: 0, hash: hash(9), expected: 1, got: 0 };
    assert_eq!(request(&[1, 2], &standard, Some(&creation)), Err(refused.clone()));
    assert_eq!(check_arrival(&payload(&[1, 2], standard), &[Some(&creation)]), Err(refused));
}

#[test]
fn state_validation_wants_the_same_parties_on_both_sides() {
    let creation = payload(&[1, 2, 3], terms(PrivacyFlag::StateValidation));
    let validation = affecting(terms(PrivacyFlag::StateValidation));
    assert_eq!(request(&[1, 2, 3], &validation, Some(&creation)), Ok(()));
    let refused = TermsError::AffectedParties { index: 0, hash: hash(9) };
    for others in [&[1, 2][..], &[1, 2, 3, 4], &[1, 2, 4]] {
        assert_eq!(request(others, &validation, Some(&creation)), Err(refused.clone()));
        let arrived = payload(others, validation.clone());
        assert_eq!(check_arrival(&arrived, &[Some(&creation)]), Err(refused.clone()));
    }
    let arrived = payload(&[1, 2, 3], validation);
    assert_eq!(check_arrival(&arrived, &[Some(&creation)]), Ok(()));
    let unknown = TermsError::AffectedUnknown { index: 0, hash: hash(9) };
    assert_eq!(check_arrival(&arrived, &[None]), Err(unknown));
}

#[test]
fn what_arrives_for_a_contract_of_others_is_taken() {
    let arrived = payload(&[1, 2], affecting(terms(PrivacyFlag::PartyProtection)));
    assert_eq!(check_arrival(&arrived, &[None]), Ok(()));
}

#[test]
fn mandatory_recipients_of_a_contract_are_named_every_time() {
    let creation = payload(&[1, 2, 3], mandatory(&[3]));
    let call = affecting(mandatory(&[2]));
    assert_eq!(request(&[1, 2, 3], &call, Some(&creation)), Ok(()));
    let refused = TermsError::AffectedMandatory { index: 0, hash: hash(9), key: key(3) };
    assert_eq!(request(&[1, 2], &call, Some(&creation)), Err(refused.clone()));
    // The sender's node completes the terms, so that the others see it.
    let arrived = payload(&[1, 2], call.clone());
    assert_eq!(check_arrival(&arrived, &[Some(&creation)]), Err(refused));
    let completed = with_mandatory(call, &[Some(&creation)]);
    assert_eq!(completed.mandatory, [key(2), key(3)]);
    assert_eq!(check_arrival(&payload(&[1, 2, 3], completed), &[Some(&creation)]), Ok(()));
}

#[test]
fn what_arrives_without_form_is_refused() {
    let without = payload(&[1], mandatory(&[]));
    assert_eq!(check_arrival(&without, &[]), Err(TermsError::MandatoryMissing));
    let wrong = PrivacyTerms { flag: PrivacyFlag::Standard, ..mandatory(&[1]) };
    let refused = check_arrival(&payload(&[1], wrong), &[]);
    assert_eq!(refused, Err(TermsError::MandatoryWithoutFlag(0)));
}
