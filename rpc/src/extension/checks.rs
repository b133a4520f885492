//! What is refused before anything is sent, in GoQuorum's words where it refuses the same
//! (extension/api.go), and in its order.

use super::ExtensionRecord;
use crate::error::RpcError;
use alloy_primitives::Address;
use entente_chain::private::RecipientKey;
use std::collections::BTreeSet;

/// Shared states after which the initiator's node gives up: the contract changes all the time.
pub(crate) const SHARES_MAX: usize = 8;

/// Why a request, a vote or a cancellation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtensionRefusal {
    #[error("contract extension in progress for the given contract address")]
    InProgress,
    #[error("extending a public contract!!! not allowed")]
    PublicContract,
    #[error("invalid recipient address")]
    RecipientAddress,
    #[error("extending a non-existent private contract!!! not allowed")]
    NoContract,
    #[error("operation not allowed")]
    NotContractCreator,
    #[error("account accepting the extension cannot be the account initiating extension")]
    SameAccount,
    #[error("invalid new recipient transaction manager key provided")]
    Key,
    #[error("mismatch between recipient transaction manager key and privateFor argument")]
    OtherKeyNamed,
    #[error("invalid transaction manager keys given in privateFor argument")]
    KeysNamed,
    #[error("the new recipient is a party to the contract already")]
    AlreadyParty,
    #[error("contract extension process complete. nothing to accept")]
    NothingToAccept,
    #[error("account is not acceptor of this extension request")]
    NotAcceptor,
    #[error("already voted")]
    AlreadyVoted,
    #[error("privateFrom must be the key that the contract shall be extended to")]
    NotRecipientKey,
    #[error("the contract is in this private state already")]
    HasContract,
    #[error("contract extension process complete. nothing to cancel")]
    NothingToCancel,
    #[error("account is not the creator of this extension request")]
    NotCreator,
    #[error("the state of the contract has been shared, the extension is about to complete")]
    Shared,
}

impl From<ExtensionRefusal> for RpcError {
    fn from(refusal: ExtensionRefusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

type Checked<T> = Result<T, ExtensionRefusal>;

fn refuse_if(holds: bool, refusal: ExtensionRefusal) -> Checked<()> {
    if holds { Err(refusal) } else { Ok(()) }
}

/// What is known when a request begins.
#[derive(Clone, Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) from: Address,
    pub(crate) recipient: Address,
    pub(crate) recipient_key: &'a str,
    /// `privateFor` as the caller gave it.
    pub(crate) named: &'a BTreeSet<RecipientKey>,
    pub(crate) in_progress: bool,
    pub(crate) is_public: bool,
    pub(crate) exists: bool,
    /// This private state sent the contract's creation; true for contracts without terms.
    pub(crate) is_creator: bool,
    /// Parties that are known.
    pub(crate) parties: &'a BTreeSet<RecipientKey>,
}

/// Checks a new request; answers the key of the new party.
pub(crate) fn check_beginning(new: &Beginning<'_>) -> Checked<RecipientKey> {
    use ExtensionRefusal as Refusal;
    refuse_if(new.in_progress, Refusal::InProgress)?;
    refuse_if(new.is_public, Refusal::PublicContract)?;
    refuse_if(new.recipient == Address::ZERO, Refusal::RecipientAddress)?;
    refuse_if(!new.exists, Refusal::NoContract)?;
    refuse_if(!new.is_creator, Refusal::NotContractCreator)?;
    refuse_if(new.from == new.recipient, Refusal::SameAccount)?;
    let key = new.recipient_key.parse().map_err(|_| Refusal::Key)?;
    refuse_if(new.named.len() > 1, Refusal::KeysNamed)?;
    refuse_if(new.named.first().is_some_and(|named| *named != key), Refusal::OtherKeyNamed)?;
    refuse_if(new.parties.contains(&key), Refusal::AlreadyParty)?;
    Ok(key)
}

/// What is known of who votes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voter {
    pub(crate) account: Address,
    pub(crate) key: RecipientKey,
    /// The contract is in its private state.
    pub(crate) has_contract: bool,
}

/// Checks a vote.
pub(crate) fn check_vote(record: &ExtensionRecord, voter: Voter) -> Checked<()> {
    use ExtensionRefusal as Refusal;
    refuse_if(record.finished, Refusal::NothingToAccept)?;
    let is_recipient = voter.account == record.recipient;
    refuse_if(!is_recipient && voter.account != record.initiator, Refusal::NotAcceptor)?;
    refuse_if(record.votes.contains_key(&voter.account), Refusal::AlreadyVoted)?;
    if is_recipient {
        // The state goes to the key that was asked for, and only who agreed with it takes it.
        let named = record.recipient_ptm_key.parse::<RecipientKey>();
        refuse_if(named != Ok(voter.key), Refusal::NotRecipientKey)?;
        refuse_if(voter.has_contract, Refusal::HasContract)?;
    }
    Ok(())
}

/// Checks a cancellation.
pub(crate) fn check_cancel(record: &ExtensionRecord, from: Address) -> Checked<()> {
    use ExtensionRefusal as Refusal;
    refuse_if(record.finished, Refusal::NothingToCancel)?;
    refuse_if(from != record.initiator, Refusal::NotCreator)?;
    refuse_if((1..SHARES_MAX).contains(&record.shares), Refusal::Shared)
}

#[cfg(test)]
mod tests {
    use super::{super::record::record, ExtensionRefusal as Refusal, *};

    fn account(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    #[test]
    fn a_request_that_is_not_allowed_says_why() {
        let key = |byte| RecipientKey([byte; 32]);
        let [none, one, other, two] = [&[][..], &[5], &[6], &[5, 6]]
            .map(|keys| keys.iter().map(|byte| key(*byte)).collect::<BTreeSet<_>>());
        let text = key(5).to_string();
        let good = Beginning {
            from: account(2),
            recipient: account(3),
            recipient_key: &text,
            named: &none,
            in_progress: false,
            is_public: false,
            exists: true,
            is_creator: true,
            parties: &other,
        };
        let good = || good.clone();
        assert_eq!(check_beginning(&good()), Ok(key(5)));
        assert_eq!(check_beginning(&Beginning { named: &one, ..good() }), Ok(key(5)));
        let cases = [
            (Beginning { in_progress: true, ..good() }, Refusal::InProgress),
            (Beginning { is_public: true, ..good() }, Refusal::PublicContract),
            (Beginning { recipient: Address::ZERO, ..good() }, Refusal::RecipientAddress),
            (Beginning { exists: false, ..good() }, Refusal::NoContract),
            (Beginning { is_creator: false, ..good() }, Refusal::NotContractCreator),
            (Beginning { recipient: account(2), ..good() }, Refusal::SameAccount),
            (Beginning { recipient_key: "x", ..good() }, Refusal::Key),
            (Beginning { named: &other, ..good() }, Refusal::OtherKeyNamed),
            (Beginning { named: &two, ..good() }, Refusal::KeysNamed),
            (Beginning { parties: &two, ..good() }, Refusal::AlreadyParty),
        ];
        for (case, refusal) in cases {
            assert_eq!(check_beginning(&case), Err(refusal));
        }
    }

    #[test]
    fn a_vote_that_is_not_allowed_says_why() {
        let voter = |byte: u8| Voter {
            account: account(byte),
            key: RecipientKey([5; 32]),
            has_contract: byte == 2,
        };
        let fresh = record();
        assert_eq!(check_vote(&fresh, voter(2)), Ok(()));
        assert_eq!(check_vote(&fresh, voter(3)), Ok(()));
        let voted = ExtensionRecord { votes: [(account(3), true)].into(), ..record() };
        let finished = ExtensionRecord { finished: true, ..record() };
        let other_key = Voter { key: RecipientKey([6; 32]), ..voter(3) };
        let cases = [
            (&voted, voter(3), Refusal::AlreadyVoted),
            (&fresh, voter(9), Refusal::NotAcceptor),
            (&finished, voter(3), Refusal::NothingToAccept),
            (&fresh, other_key, Refusal::NotRecipientKey),
            (&fresh, Voter { has_contract: true, ..voter(3) }, Refusal::HasContract),
        ];
        for (record, voter, refusal) in cases {
            assert_eq!(check_vote(record, voter), Err(refusal));
        }
    }

    #[test]
    fn only_the_creator_cancels_and_only_before_the_state_is_shared() {
        let shared = |shares| ExtensionRecord { shares, ..record() };
        assert_eq!(check_cancel(&record(), account(2)), Ok(()));
        assert_eq!(check_cancel(&shared(SHARES_MAX), account(2)), Ok(()));
        let finished = ExtensionRecord { finished: true, ..record() };
        assert_eq!(check_cancel(&finished, account(2)), Err(Refusal::NothingToCancel));
        assert_eq!(check_cancel(&record(), account(3)), Err(Refusal::NotCreator));
        assert_eq!(check_cancel(&shared(1), account(2)), Err(Refusal::Shared));
    }
}
