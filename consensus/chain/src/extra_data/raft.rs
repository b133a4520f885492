//! extraData of Raft blocks: 32 bytes of vanity, then RLP of `[raft id as hex text, signature]` as
//! GoQuorum writes it (raft/minter.go `buildExtraSeal`), followed in our blocks by `[.., term,
//! change]`, so that its decoders still find the first two.

use super::{ExtraDataError, qbft::Seal};
use crate::limits::EXTRA_DATA_BYTES_MAX;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header};

/// Length of the vanity in front of the RLP.
const VANITY: usize = 32;
/// Longest raft id: a 64-bit number in hex.
const ID_TEXT_MAX: usize = 16;

/// What becomes of a member; one change per block, in force from the next height on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new voter.
    AddVoter,
    /// A new learner.
    AddLearner,
    /// A learner becomes a voter.
    Promote,
    /// It leaves.
    Remove,
}

impl MemberChange {
    /// The code in a header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::AddVoter => 1,
            Self::AddLearner => 2,
            Self::Promote => 3,
            Self::Remove => 4,
        }
    }

    /// The change of a code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::AddVoter),
            2 => Some(Self::AddLearner),
            3 => Some(Self::Promote),
            4 => Some(Self::Remove),
            _ => None,
        }
    }
}

/// What our blocks say beside GoQuorum's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RaftTerm {
    /// The term in which the leader made the block.
    pub term: u64,
    /// A change of the members.
    pub change: Option<(MemberChange, Address)>,
}

/// The decoded extraData of a Raft header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftExtra {
    /// Free bytes of the operator.
    pub vanity: B256,
    /// The leader's number in the cluster.
    pub raft_id: u64,
    /// The leader's signature.
    pub signature: Seal,
    /// `None`: GoQuorum made the block.
    pub term: Option<RaftTerm>,
}

impl RaftExtra {
    /// Decodes extraData.
    ///
    /// # Errors
    /// When it is too long, or not exactly vanity and one of the two lists.
    pub fn decode(extra_data: &[u8]) -> Result<Self, ExtraDataError> {
        if extra_data.len() > EXTRA_DATA_BYTES_MAX {
            let got = extra_data.len();
            return Err(ExtraDataError::TooLong { got, allowed: EXTRA_DATA_BYTES_MAX });
        }
        let (vanity, mut outer) =
            extra_data.split_at_checked(VANITY).ok_or(alloy_rlp::Error::InputTooShort)?;
        let mut fields = Header::decode_bytes(&mut outer, true)?;
        if !outer.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        let raft_id = decode_id(Header::decode_bytes(&mut fields, false)?)?;
        let signature = Seal::decode(&mut fields)?;
        let term = match fields.is_empty() {
            true => None,
            false => Some(decode_term(&mut fields)?),
        };
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("more than four fields").into());
        }
        Ok(Self { vanity: B256::from_slice(vanity), raft_id, signature, term })
    }

    /// Encodes extraData.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut fields = Vec::with_capacity(128);
        format!("{:x}", self.raft_id).as_bytes().encode(&mut fields);
        self.signature.encode(&mut fields);
        if let Some(RaftTerm { term, change }) = self.term {
            term.encode(&mut fields);
            let mut listed = Vec::new();
            if let Some((change, member)) = change {
                change.code().encode(&mut listed);
                member.encode(&mut listed);
            }
            Header { list: true, payload_length: listed.len() }.encode(&mut fields);
            fields.extend_from_slice(&listed);
        }
        let mut out = Vec::with_capacity(fields.len() + VANITY + 4);
        out.extend_from_slice(self.vanity.as_slice());
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out.into()
    }

    /// What the leader signs has no signature yet.
    #[must_use]
    pub fn without_signature(&self) -> Self {
        Self { signature: Seal::ZERO, ..self.clone() }
    }
}

fn decode_id(text: &[u8]) -> Result<u64, ExtraDataError> {
    let wrong = alloy_rlp::Error::Custom("the raft id is no hex number");
    let text = Some(text).filter(|text| text.len() <= ID_TEXT_MAX).ok_or(wrong)?;
    let text = std::str::from_utf8(text).map_err(|_| wrong)?;
    Ok(u64::from_str_radix(text, 16).map_err(|_| wrong)?)
}

fn decode_term(fields: &mut &[u8]) -> Result<RaftTerm, ExtraDataError> {
    let term = u64::decode(fields)?;
    let mut listed = Header::decode_bytes(fields, true)?;
    if listed.is_empty() {
        return Ok(RaftTerm { term, change: None });
    }
    let change = MemberChange::from_code(u8::decode(&mut listed)?)
        .ok_or(alloy_rlp::Error::Custom("unknown change of members"))?;
    let member = Address::decode(&mut listed)?;
    if !listed.is_empty() {
        return Err(alloy_rlp::Error::Custom("trailing bytes in the change").into());
    }
    Ok(RaftTerm { term, change: Some((change, member)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(term: Option<RaftTerm>) -> RaftExtra {
        let signature = Seal::repeat_byte(4);
        RaftExtra { vanity: B256::repeat_byte(1), raft_id: 300, signature, term }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let change = Some((MemberChange::Promote, Address::repeat_byte(7)));
        for term in [None, Some(RaftTerm::default()), Some(RaftTerm { term: 9, change })] {
            assert_eq!(RaftExtra::decode(&extra(term).encode()), Ok(extra(term)));
        }
    }

    #[test]
    fn damaged_extra_data_is_refused_without_panic() {
        let bytes = extra(Some(RaftTerm::default())).encode();
        for length in 0..bytes.len() {
            assert!(RaftExtra::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }
}
