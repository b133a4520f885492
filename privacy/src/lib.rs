//! Private transactions: payloads encrypted to their parties, of which only a hash stands on the
//! chain.
//!
//! | part | what for |
//! |---|---|
//! | [`Enclave`] | keys and ciphers, no disk and no network |
//! | [`KeyStore`] | keys on disk |
//! | [`DatabaseCipher`] | seals what is in private columns |

mod database_cipher;
mod enclave;
mod key_store;
mod party_key;
mod payload;
mod random;

pub use database_cipher::{DatabaseCipher, DatabaseKey};
pub use enclave::{Enclave, OpenError, SealError, SealRandomness};
pub use key_store::{KdfCost, KeyStore, KeyStoreError, OpenedKeys};
pub use party_key::PartyKey;
pub use payload::{
    AFFECTED_MAX, EncryptedPayload, MalformedPayload, PAYLOAD_BYTES_MAX, PAYLOAD_VERSION,
    PLAIN_BYTES_MAX, RECIPIENTS_MAX,
};
pub use random::{NoRandomness, Randomness};
