//! The first message of both sides, and their verdict on the other's.
//!
//! A version byte comes first and is looked at first, so that later versions may change the rest.

use super::{CodecError, decode_exact};
use crate::limits::CLIENT_VERSION_CHARS_MAX;
use alloy_primitives::{Address, B256, FixedBytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use entente_chain::limits::PEERS_MAX;

/// Version of everything this crate says on the wire.
pub(crate) const VERSION: u8 = 1;

/// A claim to a validator's address, see [`crate::ValidatorProof`].
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Proof {
    pub(crate) address: Address,
    pub(crate) signature: FixedBytes<65>,
}

/// Who a node says it is.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Hello {
    pub(crate) environment: B256,
    pub(crate) chain_id: u64,
    pub(crate) head_number: u64,
    pub(crate) head_hash: B256,
    pub(crate) head_time: u64,
    /// Wall clock of the sender, unix milliseconds.
    pub(crate) clock_ms: u64,
    pub(crate) client_version: String,
    /// None or one.
    pub(crate) proof: Vec<Proof>,
    pub(crate) neighbours: Vec<B256>,
}

/// What came instead of a message of our version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HelloError {
    Version(u8),
    Codec(CodecError),
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        alloy_rlp::Encodable::encode(self, &mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let (version, rest) =
            bytes.split_first().ok_or(HelloError::Codec(CodecError::Malformed))?;
        if *version != VERSION {
            return Err(HelloError::Version(*version));
        }
        let mut hello: Self = decode_exact(rest).map_err(HelloError::Codec)?;
        if hello.neighbours.len() > PEERS_MAX || hello.proof.len() > 1 {
            return Err(HelloError::Codec(CodecError::Malformed));
        }
        hello.client_version = printable(&hello.client_version);
        Ok(hello)
    }
}

/// A peer's words end up in logs and in answers: printable ASCII, bounded.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(CLIENT_VERSION_CHARS_MAX)
        .collect()
}

/// Why one side does not want the other. The number goes over the wire, never text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The genesis blocks differ.
    #[error("other environment")]
    Environment,
    /// The chain ids differ.
    #[error("other chain id")]
    ChainId,
    /// The versions of this protocol differ.
    #[error("other protocol version")]
    Version,
    /// Not on the list of allowed nodes.
    #[error("not on the allow-list")]
    NotAllowed,
    /// Banned for some time.
    #[error("banned")]
    Banned,
    /// No place left.
    #[error("too many peers")]
    TooManyPeers,
    /// There is a session with the node already.
    #[error("already connected")]
    Duplicate,
    /// The proof of a validator address was not made by that address for this node.
    #[error("validator proof is wrong")]
    Proof,
    /// A node that dialled itself.
    #[error("own node id")]
    Itself,
    /// The message could not be read.
    #[error("malformed handshake")]
    Malformed,
    /// The node is about to stop.
    #[error("shutting down")]
    ShuttingDown,
    /// A reason that this version does not know.
    #[error("unknown reason")]
    Unknown,
}

const REFUSALS: [Refusal; 11] = [
    Refusal::Environment,
    Refusal::ChainId,
    Refusal::Version,
    Refusal::NotAllowed,
    Refusal::Banned,
    Refusal::TooManyPeers,
    Refusal::Duplicate,
    Refusal::Proof,
    Refusal::Itself,
    Refusal::Malformed,
    Refusal::ShuttingDown,
];

/// Encodes what one side makes of the other's hello: a byte, zero for a welcome.
pub(crate) fn encode_verdict(verdict: Result<(), Refusal>) -> [u8; 1] {
    let code = match verdict {
        Ok(()) => 0,
        Err(refusal) => REFUSALS
            .iter()
            .position(|known| *known == refusal)
            .and_then(|index| u8::try_from(index + 1).ok())
            .unwrap_or(u8::MAX),
    };
    [code]
}

pub(crate) fn decode_verdict(bytes: &[u8]) -> Result<Result<(), Refusal>, CodecError> {
    match bytes {
        [0] => Ok(Ok(())),
        [code] => Ok(Err(REFUSALS
            .get(usize::from(*code).saturating_sub(1))
            .copied()
            .unwrap_or(Refusal::Unknown))),
        _ => Err(CodecError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(neighbours: usize, version: &str) -> Hello {
        Hello {
            environment: B256::repeat_byte(1),
            chain_id: 1337,
            head_number: 9,
            head_hash: B256::repeat_byte(2),
            head_time: 1_700_000_000,
            clock_ms: 1_700_000_000_123,
            client_version: version.to_owned(),
            proof: vec![Proof {
                address: Address::repeat_byte(3),
                signature: FixedBytes::repeat_byte(4),
            }],
            neighbours: vec![B256::repeat_byte(5); neighbours],
        }
    }

    #[test]
    fn a_hello_comes_back() {
        let message = hello(3, "Entente/v0.1.0");
        assert_eq!(Hello::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_client_version_is_cut_and_cleaned() {
        let told = format!("a\u{1b}[31m\n{}", "x".repeat(200));
        let read = Hello::decode(&hello(0, &told).encode()).expect("hello");
        assert_eq!(read.client_version, format!("a[31m{}", "x".repeat(59)));
    }

    #[test]
    fn too_many_neighbours_are_refused() {
        assert!(Hello::decode(&hello(PEERS_MAX, "").encode()).is_ok());
        assert!(Hello::decode(&hello(PEERS_MAX + 1, "").encode()).is_err());
    }

    #[test]
    fn the_version_is_looked_at_before_the_rest() {
        assert_eq!(Hello::decode(&[9, 0xff, 0xff]), Err(HelloError::Version(9)));
    }

    #[test]
    fn a_verdict_comes_back() {
        for refusal in REFUSALS {
            assert_eq!(decode_verdict(&encode_verdict(Err(refusal))), Ok(Err(refusal)));
        }
        assert_eq!(decode_verdict(&encode_verdict(Ok(()))), Ok(Ok(())));
        assert_eq!(decode_verdict(&[200]), Ok(Err(Refusal::Unknown)));
        assert_eq!(decode_verdict(&[]), Err(CodecError::Malformed));
    }

    proptest! {
        #[test]
        fn a_damaged_hello_never_panics(cut in 0usize..300, at in 0usize..300, bit in 0u8..8) {
            let mut bytes = hello(2, "Entente").encode();
            let cut = cut.min(bytes.len() - 1);
            prop_assert!(Hello::decode(&bytes[..cut]).is_err());
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            drop(Hello::decode(&bytes));
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            drop(Hello::decode(&bytes));
            prop_assert_eq!(decode_verdict(&bytes).is_ok(), bytes.len() == 1);
        }
    }
}
