//! The X25519 key of a party.

use crate::random::Randomness;
use entente_chain::private::RecipientKey;
use std::fmt;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// The secret half of a [`RecipientKey`]. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct PartyKey {
    secret: StaticSecret,
    public: RecipientKey,
}

impl PartyKey {
    /// Takes 32 secret bytes; every value is a key (RFC 7748, 5).
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the secret moves in, and is wiped here")]
    pub fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let secret = StaticSecret::from(*secret);
        let public = RecipientKey(PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// A new key.
    #[must_use]
    pub fn generate(randomness: &Randomness) -> Self {
        Self::new(Zeroizing::new(randomness.array()))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> RecipientKey {
        self.public
    }

    /// The secret shared with another key; `None` for a point of low order, with which everybody
    /// would share it (RFC 7748, 6.1: the all-zero value).
    pub(crate) fn agree(&self, other: &RecipientKey) -> Option<SharedSecret> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(other.0));
        shared.was_contributory().then_some(shared)
    }

    /// The secret bytes, for the key store.
    pub(crate) fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }
}

/// Shows the public half only.
impl fmt::Debug for PartyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyKey({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    /// RFC 7748, 6.1.
    #[test]
    fn two_keys_agree_as_in_the_rfc() {
        let key = |secret| PartyKey::new(Zeroizing::new(secret));
        let alice = key(hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob = key(hex!("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        let public = hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(alice.public(), RecipientKey(public));
        let shared = hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(alice.agree(&bob.public()).unwrap().as_bytes(), &shared);
        assert_eq!(bob.agree(&alice.public()).unwrap().as_bytes(), &shared);
    }

    #[test]
    fn points_of_low_order_are_refused() {
        let key = PartyKey::new(Zeroizing::new([7; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        let eight = hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        for point in [[0; 32], one, eight] {
            assert!(key.agree(&RecipientKey(point)).is_none());
        }
        assert!(key.agree(&key.public()).is_some());
    }

    #[test]
    fn a_key_shows_no_secret() {
        let key = PartyKey::new(Zeroizing::new([7; 32]));
        assert_eq!(format!("{key:?}"), format!("PartyKey({})", key.public()));
    }
}
