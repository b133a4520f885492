//! Recovers who made a seal.

use crate::{extra_data::qbft::Seal, transaction::recover_address};
use alloy_primitives::{Address, B256, Signature};

/// Whether seals are keyed hashes, for simulations. The node refuses to be built like that.
pub const SIMULATED_SEALS: bool = cfg!(feature = "simulated-seals");

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
    if SIMULATED_SEALS {
        return simulated::recover(seal, digest);
    }
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
    if SIMULATED_SEALS {
        return true;
    }
    Signature::from_bytes_and_parity(&seal[..64], false).normalize_s().is_none()
}

/// Seals of simulated worlds: whoever knows the key's address can make one, and nobody does who has
/// not the key.
pub(crate) mod simulated {
    use super::{Seal, SealError};
    use alloy_primitives::{Address, B256, keccak256};

    pub(crate) fn seal(address: Address, digest: B256) -> Seal {
        let mac = keccak256([address.as_slice(), digest.as_slice(), b"simulated"].concat());
        let mut seal = Seal::ZERO;
        seal.0[..20].copy_from_slice(address.as_slice());
        seal.0[20..52].copy_from_slice(mac.as_slice());
        seal
    }

    pub(crate) fn recover(given: &Seal, digest: B256) -> Result<Address, SealError> {
        let address = Address::from_slice(&given.0[..20]);
        if seal(address, digest) == *given { Ok(address) } else { Err(SealError(*given)) }
    }
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
