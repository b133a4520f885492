//! Recovers who made a seal.

use crate::{extra_data::qbft::Seal, transaction::recover_address};
use alloy_primitives::{Address, B256, Signature};

/// The signature is not one that a key could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seal {0} is not a signature")]
pub struct SealError(pub Seal);

/// Recovers the address that sealed `digest`. Both forms of `s` are accepted, as GoQuorum's
/// history may hold either and the QBFT block hash leaves committed seals out; duplicates are told
/// apart by address, never by bytes. `v` is 0 or 1 (27 and 28 as some signers write it).
///
/// # Errors
/// When no key belongs to the seal.
pub fn recover_seal(seal: &Seal, digest: B256) -> Result<Address, SealError> {
    let parity = match seal[64] {
        0 | 27 => false,
        1 | 28 => true,
        _ => return Err(SealError(*seal)),
    };
    let signature = Signature::from_bytes_and_parity(&seal[..64], parity);
    recover_address(&signature, digest).map_err(|_| SealError(*seal))
}

/// Whether `s` is in the lower half, as our own seals are. Where a block hash covers the seal, the
/// other form would be a second block with the same content.
#[must_use]
pub fn is_low_s(seal: &Seal) -> bool {
    Signature::from_bytes_and_parity(&seal[..64], false).normalize_s().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::SealSigner;
    use zeroize::Zeroizing;

    #[test]
    fn a_seal_leads_back_to_its_signer() {
        let signer = SealSigner::new(&Zeroizing::new([7; 32])).expect("key");
        let digest = B256::repeat_byte(9);
        assert_eq!(recover_seal(&signer.sign(digest), digest), Ok(signer.address()));
        let mut damaged = signer.sign(digest);
        damaged[64] = 5;
        assert_eq!(recover_seal(&damaged, digest), Err(SealError(damaged)));
    }
}
