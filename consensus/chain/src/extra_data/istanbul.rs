//! extraData of GoQuorum's IBFT 1 ("istanbul"): 32 bytes of vanity, then RLP of `[validators,
//! proposer seal, committed seals]` (core/types/istanbul.go). Votes are in coinbase and nonce.

use super::{ExtraDataError, qbft::Seal};
use crate::limits::{EXTRA_DATA_BYTES_MAX, VALIDATORS_MAX};
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header};

/// Length of the vanity in front of the RLP.
const VANITY: usize = 32;

/// The decoded extraData of an IBFT 1 header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IstanbulExtra {
    /// Free bytes of the operator.
    pub vanity: B256,
    /// Validators after this block's parent, ascending.
    pub validators: Vec<Address>,
    /// The proposer's signature; genesis has none.
    pub proposer_seal: Option<Seal>,
    /// Seals of validators over the block hash.
    pub committed_seals: Vec<Seal>,
}

impl IstanbulExtra {
    /// Decodes extraData.
    ///
    /// # Errors
    /// When it is too long, lists too much, or is not exactly vanity and this RLP.
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
        let validators = Vec::<Address>::decode(&mut fields)?;
        let proposer_seal = match Header::decode_bytes(&mut fields, false)? {
            [] => None,
            bytes => Some(Seal::try_from(bytes).map_err(|_| alloy_rlp::Error::UnexpectedLength)?),
        };
        let committed_seals = Vec::<Seal>::decode(&mut fields)?;
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("more than three fields").into());
        }
        super::bounded("validators", validators.len(), VALIDATORS_MAX)?;
        super::bounded("committed seals", committed_seals.len(), VALIDATORS_MAX)?;
        let vanity = B256::from_slice(vanity);
        Ok(Self { vanity, validators, proposer_seal, committed_seals })
    }

    /// Encodes extraData.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut fields = Vec::with_capacity(128 + 21 * self.validators.len());
        self.validators.encode(&mut fields);
        self.proposer_seal.as_ref().map_or(&[][..], |seal| seal.as_slice()).encode(&mut fields);
        self.committed_seals.encode(&mut fields);
        let mut out = Vec::with_capacity(fields.len() + VANITY + 4);
        out.extend_from_slice(self.vanity.as_slice());
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out.into()
    }

    /// What the block hash is taken over: the proposer's seal stays.
    #[must_use]
    pub fn without_committed_seals(&self) -> Self {
        Self { committed_seals: Vec::new(), ..self.clone() }
    }

    /// What the proposer's seal is taken over.
    #[must_use]
    pub fn without_seals(&self) -> Self {
        Self { proposer_seal: None, ..self.without_committed_seals() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra() -> IstanbulExtra {
        IstanbulExtra {
            vanity: B256::repeat_byte(1),
            validators: vec![Address::repeat_byte(2), Address::repeat_byte(3)],
            proposer_seal: Some(Seal::repeat_byte(4)),
            committed_seals: vec![Seal::repeat_byte(5); 2],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for extra in [extra(), extra().without_committed_seals(), extra().without_seals()] {
            assert_eq!(IstanbulExtra::decode(&extra.encode()), Ok(extra));
        }
    }

    #[test]
    fn damaged_extra_data_is_refused_without_panic() {
        let bytes = extra().encode();
        for length in 0..bytes.len() {
            assert!(IstanbulExtra::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(IstanbulExtra::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_proposer_seal_has_65_bytes_or_none() {
        let short = [&[0; 32][..], &[0xc4, 0xc0, 0x81, 0x80, 0xc0]].concat();
        assert!(IstanbulExtra::decode(&short).is_err());
    }
}
