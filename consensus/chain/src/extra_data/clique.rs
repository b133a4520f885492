//! extraData of Clique (EIP-225): 32 bytes of vanity, the signers' addresses in checkpoint blocks,
//! 65 bytes of seal.

use super::{ExtraDataError, qbft::Seal};
use crate::limits::VALIDATORS_MAX;
use alloy_primitives::{Address, B256, Bytes};

const VANITY: usize = 32;
const SEAL: usize = 65;
const ADDRESS: usize = 20;

/// The decoded extraData of a Clique header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CliqueExtra {
    /// Free bytes of the operator.
    pub vanity: B256,
    /// Signers after the block, ascending; only in checkpoints.
    pub signers: Vec<Address>,
    /// Who made the block.
    pub seal: Seal,
}

impl CliqueExtra {
    /// Decodes extraData.
    ///
    /// # Errors
    /// When a part is missing or there are more signers than may exist.
    pub fn decode(extra_data: &[u8]) -> Result<Self, ExtraDataError> {
        const ALLOWED: usize = VANITY + VALIDATORS_MAX * ADDRESS + SEAL;
        if extra_data.len() > ALLOWED {
            let got = extra_data.len();
            return Err(ExtraDataError::TooLong { got, allowed: ALLOWED });
        }
        let short = ExtraDataError::Rlp(alloy_rlp::Error::InputTooShort);
        let Some((vanity, rest)) = extra_data.split_at_checked(VANITY) else { return Err(short) };
        let Some(signers) = rest.len().checked_sub(SEAL) else { return Err(short) };
        let (signers, seal) = rest.split_at(signers);
        if !signers.len().is_multiple_of(ADDRESS) {
            return Err(alloy_rlp::Error::Custom("signers are not whole addresses").into());
        }
        Ok(Self {
            vanity: B256::from_slice(vanity),
            signers: signers.chunks_exact(ADDRESS).map(Address::from_slice).collect(),
            seal: Seal::from_slice(seal),
        })
    }

    /// Encodes extraData.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = self.unsealed();
        out.extend_from_slice(self.seal.as_slice());
        out.into()
    }

    /// What the seal is taken over has none.
    #[must_use]
    pub fn without_seal(&self) -> Bytes {
        self.unsealed().into()
    }

    fn unsealed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VANITY + SEAL + self.signers.len() * ADDRESS);
        out.extend_from_slice(self.vanity.as_slice());
        for signer in &self.signers {
            out.extend_from_slice(signer.as_slice());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_every_cut_refused() {
        let signers = vec![Address::repeat_byte(2), Address::repeat_byte(3)];
        let extra =
            CliqueExtra { vanity: B256::repeat_byte(1), signers, seal: Seal::repeat_byte(4) };
        let bytes = extra.encode();
        assert_eq!(CliqueExtra::decode(&bytes), Ok(extra));
        for length in 0..97 {
            assert!(CliqueExtra::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(CliqueExtra::decode(&bytes[1..]).is_err());
    }
}
