//! The contract that keeps one request to extend another contract (`ContractExtension.sol`): its
//! code, its calls, its events. Names, selectors and topics are those of GoQuorum's contract.

use super::abi::{Argument, Arguments, encode};
use alloy_primitives::{Address, B256, Bytes, LogData, b256, hex};
use entente_chain::private::RecipientKey;
use std::collections::BTreeSet;

/// Hash of its code once it is deployed. Only events of exactly this code change terms or states.
pub(crate) const CODE_HASH: B256 =
    b256!("d1968154d04f18424c146cc277e4eebc13a75cb7d356330f584ec2df982c694f");
/// Topic of the event that begins a request.
pub const CREATED_TOPIC: B256 =
    b256!("04576ede6057794ada68966eebc285c98a2726cbc4929ffd1ad9900336728d93");
const VOTE_TOPIC: B256 = b256!("225708d30006b0cc86d855ab91047edb5fe9c2e416412f36c18c6e90fe4e461f");
const SHARED_TOPIC: B256 =
    b256!("67a92539f3cbd7c5a9b36c23c0e2beceb27d2e1b3cd8eda02c623689267ae71e");
const FINISHED_TOPIC: B256 =
    b256!("79c47b570b18a8a814b785800e5fcbf104e067663589cef1bba07756e3c6ede9");

const DO_VOTE: [u8; 4] = hex!("de5828cb");
const SET_SHARED_STATE_HASH: [u8; 4] = hex!("893971ba");
const FINISH: [u8; 4] = hex!("d56b2889");

const INIT_CODE_HEX: &[u8] = include_bytes!("ContractExtension.hex");
const INIT_CODE_BYTES: usize = INIT_CODE_HEX.len() / 2;
const INIT_CODE: [u8; INIT_CODE_BYTES] = {
    let (code, _newline) = INIT_CODE_HEX.split_at(INIT_CODE_BYTES * 2);
    match hex::const_decode_to_array(code) {
        Ok(code) => code,
        Err(_) => panic!("ContractExtension.hex is not hex"),
    }
};

/// What happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionEvent {
    /// It began.
    Created {
        /// The contract that shall be extended.
        to_extend: Address,
        /// Key of the new party, as the initiator wrote it.
        recipient_key: String,
        /// Account that accepts for the new party.
        recipient: Address,
    },
    /// Somebody voted.
    Vote {
        /// For or against.
        accept: bool,
        /// Who.
        voter: Address,
    },
    /// The state was shared; once for each voter who has accepted.
    Shared {
        /// The contract that is extended.
        to_extend: Address,
        /// Payload with the state, in base64.
        state: String,
        /// Payload that a voter made with its vote, in hex.
        uuid: String,
    },
    /// It ended.
    Finished,
}

impl ExtensionEvent {
    /// Reads a log of a management contract; `None`: another event.
    #[must_use]
    pub fn read(log: &LogData) -> Option<Self> {
        let [topic] = log.topics() else { return None };
        let arguments = Arguments(&log.data);
        match *topic {
            CREATED_TOPIC => Some(Self::Created {
                to_extend: arguments.address(0)?,
                recipient_key: arguments.text(1)?.to_owned(),
                recipient: arguments.address(2)?,
            }),
            VOTE_TOPIC => {
                Some(Self::Vote { accept: arguments.bool(0)?, voter: arguments.address(1)? })
            }
            SHARED_TOPIC => Some(Self::Shared {
                to_extend: arguments.address(0)?,
                state: arguments.text(1)?.to_owned(),
                uuid: arguments.text(2)?.to_owned(),
            }),
            FINISHED_TOPIC => Some(Self::Finished),
            _ => None,
        }
    }
}

/// Whether code of this hash is a management contract.
#[must_use]
pub fn is_management_code(code_hash: B256) -> bool {
    code_hash == CODE_HASH
}

/// Init code of a request: contract, account that accepts, key of the new party. The constructor
/// ignores what follows its arguments: there the new party finds parties that all know anyway.
#[must_use]
pub fn deployment(
    to_extend: Address,
    (recipient, recipient_key): (Address, &str),
    parties: &BTreeSet<RecipientKey>,
) -> Bytes {
    let arguments =
        [Argument::Address(to_extend), Argument::Address(recipient), Argument::Text(recipient_key)];
    let parties: Vec<_> = parties.iter().map(|key| key.0).collect();
    [&INIT_CODE[..], &encode(&arguments), parties.as_flattened()].concat().into()
}

/// The parties that init code of a request names; none for other code.
#[must_use]
pub fn named_parties(init_code: &[u8]) -> BTreeSet<RecipientKey> {
    let parties = || {
        let arguments = init_code.strip_prefix(&INIT_CODE)?;
        let text = Arguments(arguments).text(2)?;
        let keys = arguments.get(text_end(text)..)?.chunks_exact(32);
        Some(keys.filter_map(|key| key.try_into().ok().map(RecipientKey)).collect())
    };
    parties().unwrap_or_default()
}

/// Where the arguments of a deployment end: three, the length of the text, and the text.
const fn text_end(text: &str) -> usize {
    text.len().next_multiple_of(32).saturating_add(4 * 32)
}

/// Call data of a vote.
#[must_use]
pub fn vote(accept: bool, uuid: &str) -> Bytes {
    call(DO_VOTE, &[Argument::Bool(accept), Argument::Text(uuid)])
}

/// Call data that tells which payload has the state.
#[must_use]
pub fn share(state: &str) -> Bytes {
    call(SET_SHARED_STATE_HASH, &[Argument::Text(state)])
}

/// Call data that ends a request.
#[must_use]
pub fn finish() -> Bytes {
    call(FINISH, &[])
}

fn call(selector: [u8; 4], arguments: &[Argument<'_>]) -> Bytes {
    [&selector[..], &encode(arguments)].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn selectors_and_topics_are_those_of_the_source() {
        let selectors = [
            ("doVote(bool,string)", DO_VOTE),
            ("setSharedStateHash(string)", SET_SHARED_STATE_HASH),
            ("finish()", FINISH),
        ];
        for (signature, selector) in selectors {
            assert_eq!(keccak256(signature)[..4], selector, "{signature}");
        }
        let topics = [
            ("NewContractExtensionContractCreated(address,string,address)", CREATED_TOPIC),
            ("NewVote(bool,address)", VOTE_TOPIC),
            ("StateShared(address,string,string)", SHARED_TOPIC),
            ("ExtensionFinished()", FINISHED_TOPIC),
        ];
        for (signature, topic) in topics {
            assert_eq!(keccak256(signature), topic, "{signature}");
        }
    }

    /// Without metadata the constructor is followed by the code that it returns, and by nothing.
    #[test]
    fn the_code_that_counts_is_the_code_that_is_deployed() {
        let deployed =
            (0..INIT_CODE.len()).filter(|start| INIT_CODE[*start..].starts_with(&[0x60, 0x80]));
        assert!(deployed.map(|start| keccak256(&INIT_CODE[start..])).any(|hash| hash == CODE_HASH));
        let deployment = deployment(Address::ZERO, (Address::ZERO, ""), &BTreeSet::new());
        assert!(deployment.starts_with(&INIT_CODE));
        assert_eq!(deployment.len(), INIT_CODE.len() + 4 * 32);
    }

    #[test]
    fn parties_behind_the_arguments_are_found_again() {
        let parties: BTreeSet<_> = [1, 2].map(|byte| RecipientKey([byte; 32])).into();
        let key = RecipientKey([5; 32]).to_string();
        for parties in [parties, BTreeSet::new()] {
            let code = deployment(Address::ZERO, (Address::ZERO, &key), &parties);
            assert_eq!(named_parties(&code), parties);
        }
        assert_eq!(named_parties(&[7; 200]), BTreeSet::new());
    }

    #[test]
    fn an_event_with_data_of_another_is_none() {
        for topic in [CREATED_TOPIC, VOTE_TOPIC, SHARED_TOPIC] {
            let log = LogData::new_unchecked(vec![topic], Bytes::from_static(&[7; 40]));
            assert_eq!(ExtensionEvent::read(&log), None);
        }
        let two = LogData::new_unchecked(vec![FINISHED_TOPIC; 2], Bytes::new());
        assert_eq!(ExtensionEvent::read(&two), None);
    }
}
