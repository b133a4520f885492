//! What an engine keeps in the consensus log, and its byte form: version, engine, RLP.

use crate::{clique, ibft, raft};
use entente_chain::{EnvironmentId, transaction::Signing};

/// What must be durable before a message leaves. Opaque to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A record of the IBFT engine.
    Ibft(ibft::Record),
    /// A record of the Raft engine.
    Raft(Box<raft::Record>),
    /// A record of the Clique engine.
    Clique(Box<clique::Record>),
}

/// Why bytes of the log are no record. A record that cannot be read stops the node instead of
/// letting it forget a vote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by another version.
    #[error(
        "record begins with {0:02x?}, expected [01, 01] (ibft), [01, 02] (raft) or [01, 03] (clique)"
    )]
    Version(Vec<u8>),
    /// Not a record of the IBFT engine.
    #[error(transparent)]
    Ibft(#[from] ibft::RecordError),
    /// Not a record of the Raft engine.
    #[error(transparent)]
    Raft(#[from] raft::RecordError),
    /// Not a record of the Clique engine.
    #[error(transparent)]
    Clique(#[from] clique::RecordError),
}

impl Record {
    /// The bytes for the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ibft(record) => record.encode(),
            Self::Raft(record) => record.encode(),
            Self::Clique(record) => record.encode(),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes were damaged or come from another version or environment.
    pub fn decode(
        bytes: &[u8],
        environment: EnvironmentId,
        signing: Signing,
    ) -> Result<Self, RecordError> {
        match bytes.split_first_chunk() {
            Some((&ibft::PREFIX, body)) => {
                Ok(Self::Ibft(ibft::Record::decode(body, environment, signing)?))
            }
            Some((&raft::PREFIX, body)) => {
                Ok(Self::Raft(Box::new(raft::Record::decode(body, signing)?)))
            }
            Some((&clique::PREFIX, body)) => {
                Ok(Self::Clique(Box::new(clique::Record::decode(body, signing)?)))
            }
            _ => Err(RecordError::Version(bytes.iter().take(2).copied().collect())),
        }
    }
}
