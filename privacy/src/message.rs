//! What nodes say to each other about private transactions: a version byte, a kind byte, an RLP
//! list. Bounded and checked for form; nothing here is believed yet.

use crate::{
    error::Refusal,
    payload::{EncryptedPayload, MalformedPayload},
    payload_store::RECEIPT_BYTES_MAX,
};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use entente_chain::private::{PayloadHash, RecipientKey};

const VERSION: u8 = 1;
/// Most keys of one node.
pub const NODE_KEYS_MAX: usize = 256;
/// Largest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

const ANNOUNCE: u8 = 1;
const PAYLOAD: u8 = 2;
const ACKNOWLEDGE: u8 = 3;
const REFUSE: u8 = 4;
const REQUEST: u8 = 5;
const NOT_HELD: u8 = 6;
const RECEIPT: u8 = 7;

/// Which keys a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Its keys, ascending.
    pub(crate) keys: Vec<RecipientKey>,
    /// The key of it that others shall prove theirs towards; none: it has no key.
    pub(crate) challenge: Option<RecipientKey>,
    /// For each key a proof towards the receiver's challenge; none before that is known.
    pub(crate) proofs: Vec<B256>,
    /// Whether the receiver shall state its own keys.
    pub(crate) asks: bool,
}

/// A message of one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The sender's keys.
    Announce(Announcement),
    /// A payload, sent by its sender's node or asked for.
    Payload(Box<EncryptedPayload>),
    /// A payload is on the disk.
    Acknowledge(PayloadHash),
    /// A payload is not taken.
    Refuse(PayloadHash, Refusal),
    /// Asks for a payload that may be ours.
    Request(PayloadHash),
    /// Nothing is held under a hash for the keys of the one who asked.
    NotHeld(PayloadHash),
    /// What a party says about a private transaction.
    Receipt {
        /// Payload of the transaction.
        hash: PayloadHash,
        /// The party, a key of the node that says it.
        party: RecipientKey,
        /// Opaque here.
        receipt: Bytes,
    },
}

#[derive(RlpEncodable, RlpDecodable)]
struct EncodedAnnouncement {
    keys: Vec<RecipientKey>,
    challenge: Vec<RecipientKey>,
    proofs: Vec<B256>,
    asks: bool,
}

#[derive(RlpEncodable, RlpDecodable)]
struct EncodedHash {
    hash: PayloadHash,
}

#[derive(RlpEncodable, RlpDecodable)]
struct EncodedRefusal {
    hash: PayloadHash,
    reason: u8,
}

#[derive(RlpEncodable, RlpDecodable)]
struct EncodedReceipt {
    hash: PayloadHash,
    party: RecipientKey,
    receipt: Bytes,
}

impl Message {
    /// Its frame.
    pub(crate) fn encode(&self) -> Bytes {
        let (kind, body) = match self {
            Self::Announce(announcement) => (ANNOUNCE, encoded(&announcement.to_wire())),
            Self::Payload(payload) => (PAYLOAD, payload.encode()),
            Self::Acknowledge(hash) => (ACKNOWLEDGE, encoded(&EncodedHash { hash: *hash })),
            Self::Refuse(hash, refusal) => {
                (REFUSE, encoded(&EncodedRefusal { hash: *hash, reason: code(*refusal) }))
            }
            Self::Request(hash) => (REQUEST, encoded(&EncodedHash { hash: *hash })),
            Self::NotHeld(hash) => (NOT_HELD, encoded(&EncodedHash { hash: *hash })),
            Self::Receipt { hash, party, receipt } => {
                let (hash, party) = (*hash, *party);
                (RECEIPT, encoded(&EncodedReceipt { hash, party, receipt: receipt.clone() }))
            }
        };
        [&[VERSION, kind], body.as_slice()].concat().into()
    }

    /// Reads a frame.
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, MalformedPayload> {
        let malformed = |reason| Err(MalformedPayload(reason));
        let Some(([version, kind], body)) = frame.split_first_chunk::<2>() else {
            return malformed("too short");
        };
        if frame.len() > FRAME_BYTES_MAX || *version != VERSION {
            return malformed("too long or of another version");
        }
        let hash = || exactly::<EncodedHash>(body).map(|read| read.hash);
        Ok(match *kind {
            ANNOUNCE => Self::Announce(Announcement::from_wire(exactly(body)?)?),
            PAYLOAD => Self::Payload(Box::new(EncryptedPayload::decode(body)?)),
            ACKNOWLEDGE => Self::Acknowledge(hash()?),
            REFUSE => {
                let EncodedRefusal { hash, reason } = exactly(body)?;
                let refusal = refusal(reason).ok_or(MalformedPayload("unknown refusal"))?;
                Self::Refuse(hash, refusal)
            }
            REQUEST => Self::Request(hash()?),
            NOT_HELD => Self::NotHeld(hash()?),
            RECEIPT => {
                let EncodedReceipt { hash, party, receipt } = exactly(body)?;
                if receipt.len() > RECEIPT_BYTES_MAX {
                    return malformed("receipt too long");
                }
                Self::Receipt { hash, party, receipt }
            }
            _ => return malformed("unknown kind"),
        })
    }
}

impl Announcement {
    fn to_wire(&self) -> EncodedAnnouncement {
        EncodedAnnouncement {
            keys: self.keys.clone(),
            challenge: self.challenge.into_iter().collect(),
            proofs: self.proofs.clone(),
            asks: self.asks,
        }
    }

    fn from_wire(wire: EncodedAnnouncement) -> Result<Self, MalformedPayload> {
        let EncodedAnnouncement { keys, challenge, proofs, asks } = wire;
        let proven = proofs.is_empty() || proofs.len() == keys.len();
        let ascending = keys.is_sorted_by(|a, b| a < b);
        if keys.len() > NODE_KEYS_MAX || challenge.len() > 1 || !proven || !ascending {
            return Err(MalformedPayload("announcement"));
        }
        Ok(Self { keys, challenge: challenge.first().copied(), proofs, asks })
    }
}

fn encoded(value: &impl Encodable) -> Vec<u8> {
    alloy_rlp::encode(value)
}

/// The whole body, and nothing after it.
fn exactly<T: Decodable>(mut body: &[u8]) -> Result<T, MalformedPayload> {
    let value = T::decode(&mut body).map_err(|_| MalformedPayload("not the form"))?;
    body.is_empty().then_some(value).ok_or(MalformedPayload("trailing bytes"))
}

const fn code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::NotAuthentic => 1,
        Refusal::Terms => 2,
        Refusal::Contradiction => 3,
        Refusal::Erased => 4,
        Refusal::Storage => 5,
        Refusal::UnknownSender => 6,
    }
}

const fn refusal(code: u8) -> Option<Refusal> {
    Some(match code {
        1 => Refusal::NotAuthentic,
        2 => Refusal::Terms,
        3 => Refusal::Contradiction,
        4 => Refusal::Erased,
        5 => Refusal::Storage,
        6 => Refusal::UnknownSender,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use proptest::prelude::*;

    fn hash() -> PayloadHash {
        PayloadHash([1; 64].into())
    }

    fn messages() -> Vec<Message> {
        let announcement = Announcement {
            keys: vec![RecipientKey([2; 32]), RecipientKey([3; 32])],
            challenge: Some(RecipientKey([2; 32])),
            proofs: vec![B256::repeat_byte(4), B256::repeat_byte(5)],
            asks: true,
        };
        vec![
            Message::Announce(announcement),
            Message::Announce(Announcement::default()),
            Message::Acknowledge(hash()),
            Message::Refuse(hash(), Refusal::Terms),
            Message::Request(hash()),
            Message::NotHeld(hash()),
            Message::Receipt {
                hash: hash(),
                party: RecipientKey([6; 32]),
                receipt: Bytes::from_static(b"receipt"),
            },
        ]
    }

    #[test]
    fn messages_come_back() {
        for message in messages() {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn every_refusal_has_a_code() {
        for reason in 0..=u8::MAX {
            if let Some(refusal) = refusal(reason) {
                assert_eq!(code(refusal), reason);
            }
        }
    }

    /// Golden bytes: nodes of different versions talk to each other.
    #[test]
    fn a_request_has_golden_bytes() {
        let body = [1; 64];
        let expected = [&hex!("0105f842b840")[..], &body].concat();
        assert_eq!(Message::Request(hash()).encode(), expected);
    }

    #[test]
    fn keys_out_of_order_and_proofs_that_do_not_match_are_refused() {
        let key = |byte| RecipientKey([byte; 32]);
        for (keys, proofs) in [
            (vec![key(3), key(2)], vec![]),
            (vec![key(2), key(2)], vec![]),
            (vec![key(2), key(3)], vec![B256::ZERO]),
        ] {
            let announcement = Announcement { keys, challenge: None, proofs, asks: false };
            let frame = Message::Announce(announcement).encode();
            assert_eq!(Message::decode(&frame), Err(MalformedPayload("announcement")));
        }
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in 0_u8..9,
            known: bool,
        ) {
            if known && bytes.len() > 1 {
                bytes[0] = VERSION;
                bytes[1] = kind;
            }
            drop(Message::decode(&bytes));
        }

        #[test]
        fn damaged_frames_never_panic(which in 0_usize..7, place in 0_usize..400, byte: u8) {
            let mut bytes = messages()[which].encode().to_vec();
            let length = bytes.len();
            bytes[place % length] = byte;
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        }
    }
}
