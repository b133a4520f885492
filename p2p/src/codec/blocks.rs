//! The blocks lane: requests and their answers. Blocks stay raw RLP bytes, cut out of the frame
//! without copying.

use super::{CodecError, decode_exact};
use crate::limits::frame_bytes_max;
use crate::wire::Lane;
use alloy_primitives::Bytes;
use alloy_rlp::{Decodable as _, Encodable as _, Header, RlpDecodable, RlpEncodable};
use entente_chain::limits::BLOCK_RANGE_MAX;

/// What one node may ask another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Canonical blocks `start`, `start + 1`, ..., at most `count` (1 to 256) of them.
    Blocks {
        /// Number of the first one.
        start: u64,
        /// How many.
        count: u64,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Raw RLP of consecutive blocks from the asked start on; fewer than asked, even none, when
    /// the peer has no more or the frame is full.
    Blocks(Vec<Bytes>),
}

/// One message of the blocks lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BlocksMessage {
    Ask {
        id: u64,
        request: Request,
    },
    Answer {
        id: u64,
        response: Response,
    },
    /// No answer will come: the peer is busy or does not know how.
    Decline {
        id: u64,
    },
}

#[derive(RlpEncodable, RlpDecodable)]
struct Ask {
    id: u64,
    start: u64,
    count: u64,
}

const ASK: u8 = 1;
const ANSWER: u8 = 2;
const DECLINE: u8 = 3;
/// Kind, list heads and the request's number.
const OVERHEAD: usize = 32;
/// An RLP head is at most nine bytes.
const BLOCK_OVERHEAD: usize = 9;

impl Request {
    /// Refuses ranges that no honest node asks for.
    pub(crate) fn check(self) -> Result<(), CodecError> {
        let Self::Blocks { start, count } = self;
        if count == 0 || count > BLOCK_RANGE_MAX || start.checked_add(count).is_none() {
            return Err(CodecError::TooMany {
                what: "block count",
                got: count,
                limit: BLOCK_RANGE_MAX,
            });
        }
        Ok(())
    }
}

impl Response {
    /// Drops what does not fit into one frame.
    pub(crate) fn fitted(self) -> Self {
        let Self::Blocks(mut blocks) = self;
        let mut room = frame_bytes_max(Lane::Blocks) - OVERHEAD;
        let mut fitting = 0;
        for block in &blocks {
            let Some(left) = room.checked_sub(block.len() + BLOCK_OVERHEAD) else { break };
            room = left;
            fitting += 1;
        }
        blocks.truncate(fitting);
        Self::Blocks(blocks)
    }
}

impl BlocksMessage {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::new();
        match self {
            Self::Ask { id, request: Request::Blocks { start, count } } => {
                bytes.push(ASK);
                Ask { id: *id, start: *start, count: *count }.encode(&mut bytes);
            }
            Self::Answer { id, response: Response::Blocks(blocks) } => {
                bytes.reserve(OVERHEAD + blocks.iter().map(|b| b.len() + 9).sum::<usize>());
                bytes.push(ANSWER);
                id.encode(&mut bytes);
                blocks.encode(&mut bytes);
            }
            Self::Decline { id } => {
                bytes.push(DECLINE);
                id.encode(&mut bytes);
            }
        }
        bytes.into()
    }

    pub(crate) fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        match frame.split_first() {
            Some((&ASK, rest)) => {
                let Ask { id, start, count } = decode_exact(rest)?;
                Ok(Self::Ask { id, request: Request::Blocks { start, count } })
            }
            Some((&ANSWER, mut rest)) => {
                let id = u64::decode(&mut rest)?;
                Ok(Self::Answer { id, response: Response::Blocks(cut_blocks(frame, rest)?) })
            }
            Some((&DECLINE, rest)) => Ok(Self::Decline { id: decode_exact(rest)? }),
            Some(_) | None => Err(CodecError::Malformed),
        }
    }
}

/// Cuts the list of blocks, which is all of `rest`, out of the frame.
fn cut_blocks(frame: &Bytes, mut rest: &[u8]) -> Result<Vec<Bytes>, CodecError> {
    let mut list = Header::decode_bytes(&mut rest, true)?;
    if !rest.is_empty() {
        return Err(CodecError::Malformed);
    }
    let mut blocks = Vec::new();
    while !list.is_empty() {
        if blocks.len() as u64 >= BLOCK_RANGE_MAX {
            let got = BLOCK_RANGE_MAX + 1;
            return Err(CodecError::TooMany { what: "blocks", got, limit: BLOCK_RANGE_MAX });
        }
        let block = Header::decode_bytes(&mut list, false)?;
        blocks.push(frame.0.slice_ref(block).into());
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_stops_before_the_frame_limit() {
        let blocks = vec![Bytes::from(vec![1; 5 * 1024 * 1024]); 4];
        let Response::Blocks(fitted) = Response::Blocks(blocks).fitted();
        assert_eq!(fitted.len(), 2);
        let frame = BlocksMessage::Answer { id: u64::MAX, response: Response::Blocks(fitted) };
        assert!(frame.encode().len() <= frame_bytes_max(Lane::Blocks));
    }

    #[test]
    fn a_range_that_overflows_or_is_too_long_is_refused() {
        assert!(Request::Blocks { start: 1, count: 256 }.check().is_ok());
        assert!(Request::Blocks { start: 1, count: 257 }.check().is_err());
        assert!(Request::Blocks { start: 1, count: 0 }.check().is_err());
        assert!(Request::Blocks { start: u64::MAX, count: 2 }.check().is_err());
    }

    #[test]
    fn more_blocks_than_a_range_can_hold_are_refused() {
        let blocks = vec![Bytes::from(vec![0xc0]); 257];
        let frame = BlocksMessage::Answer { id: 1, response: Response::Blocks(blocks) }.encode();
        assert!(matches!(BlocksMessage::decode(&frame), Err(CodecError::TooMany { .. })));
    }

    fn any_message() -> impl Strategy<Value = BlocksMessage> {
        let block = proptest::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from);
        prop_oneof![
            (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(id, start, count)| {
                BlocksMessage::Ask { id, request: Request::Blocks { start, count } }
            }),
            (any::<u64>(), proptest::collection::vec(block, 0..6)).prop_map(|(id, blocks)| {
                BlocksMessage::Answer { id, response: Response::Blocks(blocks) }
            }),
            any::<u64>().prop_map(|id| BlocksMessage::Decline { id }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_comes_back(message in any_message()) {
            prop_assert_eq!(BlocksMessage::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn a_damaged_message_never_panics(
            message in any_message(),
            at in any::<usize>(),
            bit in 0u8..8,
        ) {
            let mut bytes = message.encode().to_vec();
            for length in 0..bytes.len() {
                prop_assert!(BlocksMessage::decode(&bytes[..length].to_vec().into()).is_err());
            }
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            drop(BlocksMessage::decode(&bytes.into()));
        }
    }
}
