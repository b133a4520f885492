//! Errors in the words of JSON-RPC: which field of the request they are about.

use super::NotSent;
use entente_chain::private::RecipientKey;
use entente_privacy::{DeliveryError, PrivacyError, SealError};
use entente_rpc::Rejected;

/// The recipient that a request failed for.
pub(crate) const fn recipient(error: &NotSent) -> Option<RecipientKey> {
    match error {
        NotSent::Refused(PrivacyError::Seal(SealError::WeakKey(key)))
        | NotSent::Undelivered(
            DeliveryError::NoNode(key)
            | DeliveryError::TimedOut { key, .. }
            | DeliveryError::Refused { key, .. },
        ) => Some(*key),
        _ => None,
    }
}

/// Why a payload was not sent to these recipients.
pub(crate) fn not_sent(error: &NotSent, to: &[RecipientKey]) -> Rejected {
    match (recipient(error), error) {
        (Some(key), _) => match to.iter().position(|one| *one == key) {
            Some(index) => Rejected(format!("privateFor[{index}]: {error}")),
            None => Rejected(error.to_string()),
        },
        (None, NotSent::Refused(error)) => rejected(error),
        (None, _) => Rejected(error.to_string()),
    }
}

/// Why a request about private transactions was refused.
pub(crate) fn rejected(error: &PrivacyError) -> Rejected {
    Rejected(match error {
        PrivacyError::Seal(SealError::Length(_)) => format!("data: {error}"),
        PrivacyError::Seal(SealError::NotOurs(_)) | PrivacyError::NoKey => {
            format!("privateFrom: {error}")
        }
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::NodeId;

    #[test]
    fn an_error_names_the_field_and_where_it_is() {
        let [first, second] = [1, 2].map(|byte| RecipientKey([byte; 32]));
        let node = NodeId([3; 32]);
        let weak = PrivacyError::Seal(SealError::WeakKey(second)).into();
        let away = DeliveryError::TimedOut { key: first, node, waited: 7 }.into();
        for (error, text) in [
            (weak, "privateFor[1]: AgIC"),
            (DeliveryError::NoNode(second).into(), "privateFor[1]: no node is known for"),
            (away, "privateFor[0]: node 0303"),
            (PrivacyError::Seal(SealError::Length(0)).into(), "data: a private payload has 1 to"),
            (PrivacyError::Seal(SealError::NotOurs(first)).into(), "privateFrom: AQEB"),
            (PrivacyError::Busy.into(), "too many private transactions"),
        ] {
            let told = not_sent(&error, &[first, second]).0;
            assert!(told.starts_with(text), "{told}");
        }
        let foreign = not_sent(&DeliveryError::NoNode(second).into(), &[first]).0;
        assert!(foreign.starts_with("no node is known for"), "{foreign}");
    }
}
