//! Private transactions: payloads encrypted to their parties, of which only a hash stands on the
//! chain.
//!
//! | part | what for |
//! |---|---|
//! | [`Privacy`] | what a node does with private transactions; start here |
//! | [`Enclave`] | keys and ciphers, no disk and no network |
//! | [`KeyStore`] | keys on disk |
//! | [`DatabaseCipher`] | seals what is in private columns |
//! | [`PayloadStore`] | payloads on disk |

mod database_cipher;
mod directory;
mod distribution;
mod enclave;
mod error;
mod exchange;
mod imported;
mod key_store;
mod message;
mod opened_payloads;
mod party_key;
mod payload;
mod payload_store;
mod privacy;
mod random;
mod recovery;
mod recovery_watch;
mod terms;

pub use database_cipher::{DatabaseCipher, DatabaseKey};
pub use directory::NODES_MAX;
pub use enclave::{Creation, Enclave, Envelope, OpenError, SealError, SealRandomness};
pub use error::{DeliveryError, PrivacyError, Refusal};
pub use key_store::{KdfCost, KeyStore, KeyStoreError, OpenedKeys};
pub use message::{FRAME_BYTES_MAX, NODE_KEYS_MAX};
pub use party_key::PartyKey;
pub use payload::{
    AFFECTED_MAX, EncryptedPayload, MalformedPayload, PAYLOAD_BYTES_MAX, PAYLOAD_VERSION,
    PLAIN_BYTES_MAX, RECIPIENTS_MAX,
};
pub use payload_store::{PayloadStore, PayloadStoreError, RECEIPT_BYTES_MAX, Stored, Written};
pub use privacy::{
    Action, DELIVERY_TIMEOUT_DEFAULT, Millis, OPENED_BYTES_DEFAULT, PayloadStatus, Privacy,
    PrivacySettings, RequestId, SendReceipt, SendRequest,
};
pub use random::{NoRandomness, Randomness};
pub use recovery_watch::{PENDING_BLOCKS, RECOVERY_OPEN, RecoveryWatch, Standing};
pub use terms::{TermsError, check_form};
