//! What a private transaction must be like before anything is distributed, and what its parties
//! check again when it arrives. The rules are Tessera's and GoQuorum's unless said otherwise.

use crate::payload::{AFFECTED_MAX, RECIPIENTS_MAX};
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, RecipientKey,
};
use std::collections::BTreeSet;

/// A term that is not kept. Indices count from 0 in the list as it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// More recipients than a payload may have.
    #[error("privateFor has {0} keys, at most {RECIPIENTS_MAX} are allowed")]
    Recipients(usize),
    /// A key is listed twice. Tessera drops it silently; it is most likely a mistake for another.
    #[error("privateFor[{index}]: {key} is listed twice")]
    Duplicate {
        /// Where the second one is.
        index: usize,
        /// The key.
        key: RecipientKey,
    },
    /// Mandatory recipients without the flag for them.
    #[error("mandatoryFor needs privacyFlag 2, the flag is {0}")]
    MandatoryWithoutFlag(u8),
    /// The flag without mandatory recipients.
    #[error("privacyFlag 2 needs mandatoryFor; without mandatory recipients use privacyFlag 1")]
    MandatoryMissing,
    /// A mandatory recipient that is no recipient.
    #[error("mandatoryFor[{index}]: {key} is not in privateFor")]
    MandatoryNotNamed {
        /// Where it is.
        index: usize,
        /// The key.
        key: RecipientKey,
    },
    /// The root of the simulation belongs to state validation, and to nothing else.
    #[error("privacyFlag 3 needs the root of the simulated execution, and no other flag has one")]
    ExecutionRoot,
    /// More affected contracts than a payload may name.
    #[error("{0} affected contracts, at most {AFFECTED_MAX} are allowed")]
    Affected(usize),
    /// A contract of which this node holds nothing.
    #[error("affected contract {index}: its creation {hash} is not known to this node")]
    AffectedUnknown {
        /// Where it is in the list.
        index: usize,
        /// The payload that created it.
        hash: PayloadHash,
    },
    /// A contract to which the sender is no party.
    #[error("affected contract {index}: {sender} is no party to {hash}")]
    AffectedNotParty {
        /// Where it is in the list.
        index: usize,
        /// The payload that created it.
        hash: PayloadHash,
        /// The sender.
        sender: RecipientKey,
    },
    /// A contract of another flag.
    #[error("affected contract {index}: {hash} has privacyFlag {expected}, not {got}")]
    AffectedFlag {
        /// Where it is in the list.
        index: usize,
        /// The payload that created it.
        hash: PayloadHash,
        /// The contract's flag.
        expected: u8,
        /// The transaction's flag.
        got: u8,
    },
    /// State validation with other parties than the contract has.
    #[error("affected contract {index}: the parties are not those of {hash}")]
    AffectedParties {
        /// Where it is in the list.
        index: usize,
        /// The payload that created it.
        hash: PayloadHash,
    },
    /// A party that the contract wants named every time is missing.
    #[error("affected contract {index}: {hash} has {key} as a mandatory recipient")]
    AffectedMandatory {
        /// Where it is in the list.
        index: usize,
        /// The payload that created it.
        hash: PayloadHash,
        /// The party.
        key: RecipientKey,
    },
}

/// The payload that created an affected contract, where this node can read it.
pub(crate) type Affected<'a> = Option<&'a PrivatePayload>;

/// Checks what needs no knowledge of other payloads: lists, flag, root.
///
/// # Errors
/// When a term is not kept.
pub fn check_form(
    sender: &RecipientKey,
    recipients: &[RecipientKey],
    terms: &PrivacyTerms,
) -> Result<(), TermsError> {
    if recipients.len() > RECIPIENTS_MAX {
        return Err(TermsError::Recipients(recipients.len()));
    }
    let mut seen = BTreeSet::new();
    for (index, key) in recipients.iter().enumerate() {
        if !seen.insert(*key) {
            return Err(TermsError::Duplicate { index, key: *key });
        }
    }
    let by_flag = terms.flag == PrivacyFlag::MandatoryRecipients;
    if !by_flag && !terms.mandatory.is_empty() {
        return Err(TermsError::MandatoryWithoutFlag(terms.flag.number()));
    }
    if by_flag && terms.mandatory.is_empty() {
        return Err(TermsError::MandatoryMissing);
    }
    seen.insert(*sender);
    for (index, key) in terms.mandatory.iter().enumerate() {
        if !seen.contains(key) {
            return Err(TermsError::MandatoryNotNamed { index, key: *key });
        }
    }
    check_common(terms)
}

fn check_common(terms: &PrivacyTerms) -> Result<(), TermsError> {
    let validates = terms.flag == PrivacyFlag::StateValidation;
    if terms.execution_root.is_some() != validates {
        return Err(TermsError::ExecutionRoot);
    }
    if terms.affected.len() > AFFECTED_MAX {
        return Err(TermsError::Affected(terms.affected.len()));
    }
    Ok(())
}

/// Checks a request of ours against the contracts that its simulation affected; `parties` are the
/// recipients and the sender.
pub(crate) fn check_affected(
    sender: &RecipientKey,
    parties: &BTreeSet<RecipientKey>,
    terms: &PrivacyTerms,
    affected: &[Affected<'_>],
) -> Result<(), TermsError> {
    for (index, (hash, creation)) in terms.affected.iter().zip(affected).enumerate() {
        let hash = *hash;
        let Some(creation) = creation else {
            return Err(TermsError::AffectedUnknown { index, hash });
        };
        if !creation.managed.contains(sender) {
            return Err(TermsError::AffectedNotParty { index, hash, sender: *sender });
        }
        check_creation((index, hash), parties, terms, creation)?;
        let missing = creation.terms.mandatory.iter().find(|key| !parties.contains(key));
        if let Some(key) = missing {
            return Err(TermsError::AffectedMandatory { index, hash, key: *key });
        }
    }
    Ok(())
}

/// Checks what somebody sent us. Contracts that this node is no party to say nothing here; with
/// state validation all parties are the same, so there all must be known.
pub(crate) fn check_arrival(
    payload: &PrivatePayload,
    affected: &[Affected<'_>],
) -> Result<(), TermsError> {
    let terms = &payload.terms;
    check_common(terms)?;
    let by_flag = terms.flag == PrivacyFlag::MandatoryRecipients;
    if !by_flag && !terms.mandatory.is_empty() {
        return Err(TermsError::MandatoryWithoutFlag(terms.flag.number()));
    }
    if by_flag && terms.mandatory.is_empty() {
        return Err(TermsError::MandatoryMissing);
    }
    let parties: BTreeSet<_> = payload.parties.iter().copied().collect();
    for (index, (hash, creation)) in terms.affected.iter().zip(affected).enumerate() {
        let hash = *hash;
        let Some(creation) = creation else { continue };
        check_creation((index, hash), &parties, terms, creation)?;
        // Every party is told whom the sender claims to have named every time.
        let missing = creation.terms.mandatory.iter().find(|key| !terms.mandatory.contains(key));
        if let Some(key) = missing {
            return Err(TermsError::AffectedMandatory { index, hash, key: *key });
        }
    }
    // Last, so that all that is known has been judged when a caller overlooks this.
    let unknown = affected.iter().position(Option::is_none);
    match unknown.and_then(|index| Some((index, *terms.affected.get(index)?))) {
        Some((index, hash)) if terms.flag == PrivacyFlag::StateValidation => {
            Err(TermsError::AffectedUnknown { index, hash })
        }
        _ => Ok(()),
    }
}

fn check_creation(
    (index, hash): (usize, PayloadHash),
    parties: &BTreeSet<RecipientKey>,
    terms: &PrivacyTerms,
    creation: &PrivatePayload,
) -> Result<(), TermsError> {
    let (expected, got) = (creation.terms.flag, terms.flag);
    if expected != got {
        let (expected, got) = (expected.number(), got.number());
        return Err(TermsError::AffectedFlag { index, hash, expected, got });
    }
    let same = || parties.iter().eq(&creation.parties);
    if got == PrivacyFlag::StateValidation && !same() {
        return Err(TermsError::AffectedParties { index, hash });
    }
    Ok(())
}

/// Adds the parties that affected contracts want named every time, so that each party sees that
/// they are.
pub(crate) fn with_mandatory(mut terms: PrivacyTerms, affected: &[Affected<'_>]) -> PrivacyTerms {
    if terms.flag == PrivacyFlag::MandatoryRecipients {
        let wanted = affected.iter().flatten().flat_map(|creation| &creation.terms.mandatory);
        let all: BTreeSet<_> = terms.mandatory.iter().chain(wanted).copied().collect();
        terms.mandatory = all.into_iter().collect();
    }
    terms
}

#[cfg(test)]
mod tests;
