//! Raft messages. They are not signed: the handshake proved whose node a connection leads to, and
//! no message is relayed.

use super::state::Position;
use crate::{
    engine::MemberChange,
    message::{AdmissionError, Gate, RecoverSenders, decode_carried_block, recover_carried_block},
    rules::{HeaderError, check_raft_seal},
};
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    BlockNumber, EnvironmentId, RecoveredBlock,
    limits::{FUTURE_HEIGHTS_MAX, ROUND_MAX},
};

/// The newest block that a leader knows to be decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Height.
    pub number: BlockNumber,
    /// Block hash.
    pub hash: B256,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Asks for a vote, or in a trial, whether one would be given.
    AskVote {
        /// How far the author's log reaches.
        position: Position,
        /// The term in which it wants to lead.
        proposed: u64,
        /// A leader handed over to it.
        transfer: bool,
        /// Binds nobody.
        trial: bool,
    },
    /// The answer.
    Vote {
        /// As asked.
        proposed: u64,
        /// Whether the vote was given.
        granted: bool,
        /// As asked.
        trial: bool,
    },
    /// A leader's beat: what is decided, and the block in flight.
    Append {
        /// What is decided.
        commit: Commit,
        /// The block in flight.
        block: Option<RecoveredBlock>,
    },
    /// A member's answer.
    Appended {
        /// Its head.
        head: BlockNumber,
        /// The block it accepted in this term; zero: none.
        accepted: B256,
        /// The block of the next height that it found invalid; zero: none.
        refused: B256,
    },
    /// A voter without memory asks how far the others are.
    Recover {
        /// Echoed in the answer.
        nonce: u64,
        /// The author's head: the block above it is all that it can execute.
        head: BlockNumber,
    },
    /// The answer.
    Recovered {
        /// As asked.
        nonce: u64,
        /// How far the author is.
        position: Position,
        /// The block that it accepted, if who asked can execute it.
        block: Option<RecoveredBlock>,
    },
    /// Take over at once.
    TimeoutNow,
    /// An operator's wish, passed on to the leader.
    Change {
        /// Whom it is about.
        member: Address,
        /// What becomes of it.
        change: MemberChange,
    },
    /// An operator's wish, passed on to the leader.
    Transfer {
        /// Who shall lead.
        to: Address,
    },
}

/// A Raft message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The environment it belongs to.
    pub environment: EnvironmentId,
    /// Who says it.
    pub author: Address,
    /// The author's term.
    pub term: u64,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// Appends the message.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut fields = Vec::with_capacity(128);
        self.environment.0.encode(&mut fields);
        self.author.encode(&mut fields);
        self.term.encode(&mut fields);
        match &self.body {
            Body::AskVote { position, proposed, transfer, trial } => {
                1u8.encode(&mut fields);
                encode_position(*position, &mut fields);
                proposed.encode(&mut fields);
                transfer.encode(&mut fields);
                trial.encode(&mut fields);
            }
            Body::Vote { proposed, granted, trial } => {
                2u8.encode(&mut fields);
                proposed.encode(&mut fields);
                granted.encode(&mut fields);
                trial.encode(&mut fields);
            }
            Body::Append { commit, block } => {
                3u8.encode(&mut fields);
                commit.number.encode(&mut fields);
                commit.hash.encode(&mut fields);
                encode_block(block.as_ref(), &mut fields);
            }
            Body::Appended { head, accepted, refused } => {
                4u8.encode(&mut fields);
                head.encode(&mut fields);
                accepted.encode(&mut fields);
                refused.encode(&mut fields);
            }
            Body::Recover { nonce, head } => {
                5u8.encode(&mut fields);
                nonce.encode(&mut fields);
                head.encode(&mut fields);
            }
            Body::Recovered { nonce, position, block } => {
                6u8.encode(&mut fields);
                nonce.encode(&mut fields);
                encode_position(*position, &mut fields);
                encode_block(block.as_ref(), &mut fields);
            }
            Body::TimeoutNow => 7u8.encode(&mut fields),
            Body::Change { member, change } => {
                8u8.encode(&mut fields);
                member.encode(&mut fields);
                change.code().encode(&mut fields);
            }
            Body::Transfer { to } => {
                9u8.encode(&mut fields);
                to.encode(&mut fields);
            }
        }
        Header { list: true, payload_length: fields.len() }.encode(out);
        out.extend_from_slice(&fields);
    }

    /// Decodes a message and checks what needs no state; senders of a block come last.
    pub(crate) fn admit(
        mut body: &[u8],
        gate: &Gate<'_>,
        recover: RecoverSenders<'_>,
    ) -> Result<Self, AdmissionError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        let environment = EnvironmentId(B256::decode(&mut fields)?);
        if environment != gate.environment {
            return Err(AdmissionError::OtherEnvironment);
        }
        let author = Address::decode(&mut fields)?;
        let term = bounded_term(&mut fields)?;
        let body_of = Self::decode_body(&mut fields, gate, recover)?;
        if !fields.is_empty() || !body.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        Ok(Self { environment, author, term, body: body_of })
    }

    fn decode_body(
        fields: &mut &[u8],
        gate: &Gate<'_>,
        recover: RecoverSenders<'_>,
    ) -> Result<Body, AdmissionError> {
        Ok(match u8::decode(fields)? {
            1 => Body::AskVote {
                position: decode_position(fields)?,
                proposed: bounded_term(fields)?,
                transfer: bool::decode(fields)?,
                trial: bool::decode(fields)?,
            },
            2 => Body::Vote {
                proposed: bounded_term(fields)?,
                granted: bool::decode(fields)?,
                trial: bool::decode(fields)?,
            },
            3 => Body::Append {
                commit: Commit { number: u64::decode(fields)?, hash: B256::decode(fields)? },
                block: decode_block(fields, gate, recover)?,
            },
            4 => Body::Appended {
                head: u64::decode(fields)?,
                accepted: B256::decode(fields)?,
                refused: B256::decode(fields)?,
            },
            5 => Body::Recover { nonce: u64::decode(fields)?, head: u64::decode(fields)? },
            6 => {
                let nonce = u64::decode(fields)?;
                let position = decode_position(fields)?;
                let block = decode_block(fields, gate, recover)?;
                let other = |block: &RecoveredBlock| {
                    block.header.number != position.height || position.term == 0
                };
                if block.as_ref().is_some_and(other) {
                    return Err(AdmissionError::Mismatch("the block is not at the position"));
                }
                Body::Recovered { nonce, position, block }
            }
            7 => Body::TimeoutNow,
            8 => {
                let member = Address::decode(fields)?;
                let code = u8::decode(fields)?;
                let change =
                    MemberChange::from_code(code).ok_or(AdmissionError::UnknownCode(code))?;
                Body::Change { member, change }
            }
            9 => Body::Transfer { to: Address::decode(fields)? },
            code => return Err(AdmissionError::UnknownCode(code)),
        })
    }
}

fn bounded_term(fields: &mut &[u8]) -> Result<u64, AdmissionError> {
    let got = u64::decode(fields)?;
    if got > ROUND_MAX {
        return Err(AdmissionError::Round { got, allowed: ROUND_MAX });
    }
    Ok(got)
}

fn encode_position(position: Position, out: &mut Vec<u8>) {
    position.height.encode(out);
    position.term.encode(out);
}

fn decode_position(fields: &mut &[u8]) -> Result<Position, AdmissionError> {
    Ok(Position { height: u64::decode(fields)?, term: bounded_term(fields)? })
}

fn encode_block(block: Option<&RecoveredBlock>, out: &mut Vec<u8>) {
    match block {
        Some(block) => block.encode(out),
        None => Header { list: true, payload_length: 0 }.encode(out),
    }
}

/// A block, or an empty list.
fn decode_block(
    fields: &mut &[u8],
    gate: &Gate<'_>,
    recover: RecoverSenders<'_>,
) -> Result<Option<RecoveredBlock>, AdmissionError> {
    const EMPTY_LIST: u8 = 0xc0;
    if fields.first() == Some(&EMPTY_LIST) {
        *fields = fields.get(1..).unwrap_or_default();
        return Ok(None);
    }
    // A block at our head or a little below is old news, and costs no recovery of senders.
    let window = (gate.head, gate.head.saturating_add(FUTURE_HEIGHTS_MAX));
    let block = decode_carried_block(fields, window)?;
    check_raft_seal(&block.header).map_err(|cause| match cause {
        HeaderError::ExtraData(cause) => AdmissionError::ExtraData(cause),
        HeaderError::SealOfStranger(sealer) => {
            AdmissionError::SealAuthor { sealer, author: block.header.beneficiary }
        }
        _ => AdmissionError::Signature,
    })?;
    recover_carried_block(block, recover).map(Some)
}
