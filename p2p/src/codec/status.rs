//! The status lane after the handshake: heads (also sent as a sign of life), neighbours, goodbye.

use super::{CodecError, decode_exact};
use alloy_primitives::B256;
use alloy_rlp::{Encodable as _, RlpDecodable, RlpEncodable};
use entente_chain::limits::PEERS_MAX;

/// The block that a node is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct HeadClaim {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp, unix seconds.
    pub time: u64,
}

/// One message of the status lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Head(HeadClaim),
    Neighbours(Vec<B256>),
    /// The sender closes; the code is a [`crate::DisconnectReason`]'s.
    Goodbye(u8),
}

const HEAD: u8 = 1;
const NEIGHBOURS: u8 = 2;
const GOODBYE: u8 = 3;

impl Status {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Head(head) => {
                bytes.push(HEAD);
                head.encode(&mut bytes);
            }
            Self::Neighbours(nodes) => {
                bytes.push(NEIGHBOURS);
                nodes.encode(&mut bytes);
            }
            Self::Goodbye(code) => bytes.extend([GOODBYE, *code]),
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&HEAD, rest)) => Ok(Self::Head(decode_exact(rest)?)),
            Some((&NEIGHBOURS, rest)) => {
                let nodes: Vec<B256> = decode_exact(rest)?;
                if nodes.len() > PEERS_MAX {
                    return Err(CodecError::Malformed);
                }
                Ok(Self::Neighbours(nodes))
            }
            Some((&GOODBYE, [code])) => Ok(Self::Goodbye(*code)),
            Some(_) | None => Err(CodecError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_status() -> impl Strategy<Value = Status> {
        prop_oneof![
            (any::<u64>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(number, hash, time)| {
                Status::Head(HeadClaim { number, hash: hash.into(), time })
            }),
            proptest::collection::vec(any::<[u8; 32]>(), 0..10)
                .prop_map(|nodes| Status::Neighbours(nodes.into_iter().map(B256::from).collect())),
            any::<u8>().prop_map(Status::Goodbye),
        ]
    }

    proptest! {
        #[test]
        fn a_status_comes_back(status in any_status()) {
            prop_assert_eq!(Status::decode(&status.encode()), Ok(status));
        }

        #[test]
        fn a_damaged_status_never_panics(
            status in any_status(),
            at in any::<usize>(),
            bit in 0u8..8,
        ) {
            let mut bytes = status.encode();
            for length in 0..bytes.len() {
                prop_assert!(Status::decode(&bytes[..length]).is_err());
            }
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            drop(Status::decode(&bytes));
        }
    }
}
