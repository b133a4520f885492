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

/// Whether a seal has the one form that our own have: the lower `s`, and `v` of 0 or 1. Where a block
/// hash covers the seal, another form would be a second block with the same content, which anybody
/// could make of a good one.
#[must_use]
pub fn is_canonical(seal: &Seal) -> bool {
    if SIMULATED_SEALS {
        return true;
    }
    let low_s = Signature::from_bytes_and_parity(&seal[..64], false).normalize_s().is_none();
    low_s && seal[64] <= 1
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
    use alloy_primitives::U256;
    use zeroize::Zeroizing;

    const ORDER: U256 = U256::from_limbs([
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ]);

    /// secp256k1: `n - s` with the other parity signs the same, and `v` may be written as 27 or 28.
    #[test]
    fn only_one_form_of_a_seal_is_canonical() {
        let signer = SealSigner::new(&Zeroizing::new([7; 32])).expect("key");
        let digest = B256::repeat_byte(9);
        let seal = signer.sign(digest);
        assert!(is_canonical(&seal));
        let mut high_s = seal;
        let s = ORDER - U256::from_be_slice(&seal[32..64]);
        high_s[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        high_s[64] ^= 1;
        let mut other_v = seal;
        other_v[64] += 27;
        for other in [high_s, other_v] {
            assert_eq!(recover_seal(&other, digest), Ok(signer.address()));
            assert!(!is_canonical(&other));
        }
    }

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
