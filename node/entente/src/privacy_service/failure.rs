//! What a node is told when a request fails: the status that Tessera gives, and a text that names
//! the field.

use crate::private_node::{NotSent, recipient};
use entente_chain::private::{PayloadHash, RecipientKey};
use entente_privacy::{DeliveryError, PrivacyError, SealError, TermsError};
use http::StatusCode;

/// A refused request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// A field that is not what it should be.
    pub(super) fn field(name: &str, cause: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {cause}"))
    }

    /// Why a payload was not sent to these recipients: with the place of the one that it failed for.
    pub(super) fn not_sent(error: NotSent, to: &[RecipientKey]) -> Self {
        let failed = recipient(&error);
        let index = failed.and_then(|key| to.iter().position(|one| *one == key));
        let Self { status, text } = Self::from(error);
        match index {
            Some(index) => {
                Self { status, text: text.replacen("to: ", &format!("to[{index}]: "), 1) }
            }
            None => Self { status, text },
        }
    }

    /// A payload that is not here, whether it was deleted or never came: who asks shall not learn
    /// which.
    pub(super) fn not_found(hash: PayloadHash) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("payload {hash} is not held here"))
    }
}

impl From<PrivacyError> for Failure {
    fn from(error: PrivacyError) -> Self {
        let text = match &error {
            PrivacyError::Unknown(hash) | PrivacyError::Erased(hash) => {
                return Self::not_found(*hash);
            }
            PrivacyError::NoKey | PrivacyError::Seal(SealError::NotOurs(_)) => {
                format!("from: {error}")
            }
            PrivacyError::Seal(SealError::Length(_)) => format!("payload: {error}"),
            PrivacyError::Seal(SealError::WeakKey(_)) => format!("to: {error}"),
            PrivacyError::Terms(terms) => in_words_of_rest(terms),
            PrivacyError::Malformed(_) => format!("cipherText: {error}"),
            _ => error.to_string(),
        };
        Self::new(status(&error), text)
    }
}

fn status(error: &PrivacyError) -> StatusCode {
    match error {
        PrivacyError::NoKey
        | PrivacyError::Unknown(_)
        | PrivacyError::Erased(_)
        | PrivacyError::Seal(SealError::NotOurs(_)) => StatusCode::NOT_FOUND,
        PrivacyError::Terms(terms) => terms_status(terms),
        PrivacyError::Seal(SealError::Length(length)) if *length > 0 => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        PrivacyError::Seal(_) | PrivacyError::Malformed(_) | PrivacyError::NotMandatory(_) => {
            StatusCode::BAD_REQUEST
        }
        PrivacyError::Sent(_) => StatusCode::CONFLICT,
        PrivacyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        // Never 404: the node would take itself for no party, and its private state would fork.
        PrivacyError::Open { .. } | PrivacyError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Tessera tells a request that is no good from one that breaks the terms of a contract.
const fn terms_status(terms: &TermsError) -> StatusCode {
    match terms {
        TermsError::Recipients(_)
        | TermsError::Duplicate { .. }
        | TermsError::MandatoryWithoutFlag(_)
        | TermsError::MandatoryMissing
        | TermsError::MandatoryNotNamed { .. }
        | TermsError::ExecutionRoot
        | TermsError::Affected(_) => StatusCode::BAD_REQUEST,
        TermsError::AffectedUnknown { .. }
        | TermsError::AffectedNotParty { .. }
        | TermsError::AffectedFlag { .. }
        | TermsError::AffectedParties { .. }
        | TermsError::AffectedMandatory { .. } => StatusCode::FORBIDDEN,
    }
}

/// The fields have other names here than in JSON-RPC.
fn in_words_of_rest(terms: &TermsError) -> String {
    let text = terms.to_string();
    match terms {
        TermsError::Recipients(_) | TermsError::Duplicate { .. } => {
            text.replacen("privateFor", "to", 1)
        }
        TermsError::MandatoryWithoutFlag(_) | TermsError::MandatoryMissing => {
            text.replacen("mandatoryFor", "mandatoryRecipients", 1)
        }
        TermsError::MandatoryNotNamed { index, key } => {
            format!("mandatoryRecipients[{index}]: {key} is not in to")
        }
        TermsError::ExecutionRoot => format!("execHash: {text}"),
        _ => format!("affectedContractTransactions: {text}"),
    }
}

impl From<NotSent> for Failure {
    fn from(error: NotSent) -> Self {
        let status = match error {
            NotSent::Refused(error) => return error.into(),
            NotSent::Undelivered(DeliveryError::NoNode(_)) => StatusCode::NOT_FOUND,
            NotSent::Undelivered(DeliveryError::Refused { .. }) => StatusCode::FORBIDDEN,
            NotSent::Undelivered(DeliveryError::NotStored(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            NotSent::Undelivered(DeliveryError::TimedOut { .. }) | NotSent::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, format!("to: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;

    #[test]
    fn a_payload_that_does_not_open_is_never_told_to_be_absent() {
        let hash = PayloadHash(B512::ZERO);
        let broken = PrivacyError::Open { hash, cause: entente_privacy::OpenError };
        assert_eq!(Failure::from(broken).status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            Failure::from(PrivacyError::Erased(hash)),
            Failure::from(PrivacyError::Unknown(hash))
        );
    }

    #[test]
    fn terms_are_told_in_the_words_of_the_request() {
        let key = RecipientKey([1; 32]);
        for (terms, status, text) in [
            (TermsError::Duplicate { index: 1, key }, 400, "to[1]: AQ"),
            (TermsError::MandatoryMissing, 400, "privacyFlag 2 needs mandatoryRecipients;"),
            (TermsError::MandatoryNotNamed { index: 0, key }, 400, "mandatoryRecipients[0]: AQ"),
            (TermsError::ExecutionRoot, 400, "execHash: privacyFlag 3"),
            (
                TermsError::AffectedUnknown { index: 0, hash: PayloadHash(B512::ZERO) },
                403,
                "affectedContractTransactions: affected contract 0: its creation",
            ),
        ] {
            let failure = Failure::from(PrivacyError::Terms(terms));
            assert_eq!(failure.status.as_u16(), status, "{}", failure.text);
            assert!(failure.text.starts_with(text), "{}", failure.text);
        }
    }
}
