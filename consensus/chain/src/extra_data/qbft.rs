//! extraData of GoQuorum's and Besu's QBFT: RLP of `[vanity(32), validators, vote, round,
//! committed seals]`, where a vote is `[]` or `[recipient, 0xff | 0x00]`.

use super::ExtraDataError;
use crate::limits::{EXTRA_DATA_BYTES_MAX, VALIDATORS_MAX};
use alloy_primitives::{Address, B256, Bytes, FixedBytes};
use alloy_rlp::{Decodable, Encodable, Header};

/// A 65-byte signature `r ++ s ++ v`.
pub type Seal = FixedBytes<65>;

const VOTE_ADD: u8 = 0xff;
const VOTE_DROP: u8 = 0x00;

/// A proposer's vote to change the validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whom it is about.
    pub recipient: Address,
    /// Add when true, drop when false.
    pub add: bool,
}

/// The decoded extraData of a QBFT header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QbftExtra {
    /// Free bytes of the operator.
    pub vanity: B256,
    /// Validators after this block's parent, ascending. Empty when a contract names them.
    pub validators: Vec<Address>,
    /// The proposer's vote.
    pub vote: Option<Vote>,
    /// Round in which the block was decided.
    pub round: u64,
    /// Seals of validators over the block hash with `round` kept.
    pub committed_seals: Vec<Seal>,
    /// A drop vote stands there as the byte 0x00 (Besu), not as RLP's zero (GoQuorum). Kept,
    /// because the block hash is taken over the encoding.
    pub drop_is_a_byte: bool,
}

impl QbftExtra {
    /// Decodes extraData.
    ///
    /// # Errors
    /// When it is too long, lists too much, or is not exactly this RLP.
    pub fn decode(extra_data: &[u8]) -> Result<Self, ExtraDataError> {
        if extra_data.len() > EXTRA_DATA_BYTES_MAX {
            let got = extra_data.len();
            return Err(ExtraDataError::TooLong { got, allowed: EXTRA_DATA_BYTES_MAX });
        }
        let mut outer = extra_data;
        let mut fields = Header::decode_bytes(&mut outer, true)?;
        if !outer.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        // Geth's chain tools write vanity as any string; only 32 bytes are ours.
        let vanity = B256::decode(&mut fields)?;
        let validators = Vec::<Address>::decode(&mut fields)?;
        let (vote, drop_is_a_byte) = decode_vote(&mut fields)?;
        let round = decode_round(&mut fields)?;
        let committed_seals = Vec::<Seal>::decode(&mut fields)?;
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("more than five fields").into());
        }
        super::bounded("validators", validators.len(), VALIDATORS_MAX)?;
        super::bounded("committed seals", committed_seals.len(), VALIDATORS_MAX)?;
        Ok(Self { vanity, validators, vote, round, committed_seals, drop_is_a_byte })
    }

    /// Encodes extraData.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut fields = Vec::with_capacity(128 + 21 * self.validators.len());
        self.vanity.encode(&mut fields);
        self.validators.encode(&mut fields);
        match &self.vote {
            None => Header { list: true, payload_length: 0 }.encode(&mut fields),
            Some(vote) if vote.add => encode_vote(vote.recipient, &VOTE_ADD, &mut fields),
            Some(vote) if self.drop_is_a_byte => {
                encode_vote(vote.recipient, &FixedBytes::from([VOTE_DROP]), &mut fields);
            }
            Some(vote) => encode_vote(vote.recipient, &VOTE_DROP, &mut fields),
        }
        self.round.encode(&mut fields);
        self.committed_seals.encode(&mut fields);
        let mut out = Vec::with_capacity(fields.len() + 4);
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out.into()
    }

    /// What the block hash is taken over: no seals, round 0.
    #[must_use]
    pub fn without_seals_and_round(&self) -> Self {
        Self { round: 0, ..self.without_seals() }
    }

    /// What a commit seal signs: no seals, the round kept.
    #[must_use]
    pub fn without_seals(&self) -> Self {
        Self { committed_seals: Vec::new(), ..self.clone() }
    }
}

fn encode_vote(recipient: Address, kind: &dyn Encodable, out: &mut Vec<u8>) {
    let payload_length = recipient.length() + kind.length();
    Header { list: true, payload_length }.encode(out);
    recipient.encode(out);
    kind.encode(out);
}

/// The vote, and whether it is a drop in Besu's form.
fn decode_vote(fields: &mut &[u8]) -> Result<(Option<Vote>, bool), ExtraDataError> {
    let mut vote = Header::decode_bytes(fields, true)?;
    if vote.is_empty() {
        return Ok((None, false));
    }
    let recipient = Address::decode(&mut vote)?;
    let kind = Header::decode_bytes(&mut vote, false)?;
    let (add, drop_is_a_byte) = match kind {
        [VOTE_ADD] => (true, false),
        [VOTE_DROP] => (false, true),
        [] => (false, false),
        _ => return Err(alloy_rlp::Error::Custom("vote is neither 0xff nor 0x00").into()),
    };
    if !vote.is_empty() {
        return Err(alloy_rlp::Error::Custom("trailing bytes in the vote").into());
    }
    Ok((Some(Vote { recipient, add }), drop_is_a_byte))
}

/// Besu writes the round as four bytes, GoQuorum as a number.
fn decode_round(fields: &mut &[u8]) -> Result<u64, ExtraDataError> {
    let bytes = Header::decode_bytes(fields, false)?;
    if bytes.len() > 8 {
        return Err(alloy_rlp::Error::Overflow.into());
    }
    Ok(bytes.iter().fold(0, |round, byte| (round << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both nodes' ways to write a drop vote keep their bytes, so the block hash stays the same.
    #[test]
    fn a_drop_vote_keeps_the_form_it_was_written_in() {
        for drop_is_a_byte in [false, true] {
            let vote = Some(Vote { recipient: Address::repeat_byte(7), add: false });
            let extra = QbftExtra { vote, drop_is_a_byte, ..QbftExtra::default() };
            let bytes = extra.encode();
            assert_eq!(QbftExtra::decode(&bytes).expect("decodes").encode(), bytes);
        }
    }

    #[test]
    fn more_seals_than_validators_may_exist_are_refused() {
        let seals = vec![Seal::ZERO; VALIDATORS_MAX + 1];
        let extra = QbftExtra { committed_seals: seals, ..QbftExtra::default() };
        assert!(QbftExtra::decode(&extra.encode()).is_err());
    }
}
