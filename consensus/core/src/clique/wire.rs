//! The one message of Clique: a sealed block. Its seal says who made it.

use crate::message::{AdmissionError, Gate, RecoverSenders};
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    EnvironmentId, RecoveredBlock,
    limits::{FUTURE_HEIGHTS_MAX, REORGANISATION_BLOCKS_MAX},
};

/// A new block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The environment it belongs to.
    pub environment: EnvironmentId,
    /// The block, sealed.
    pub block: RecoveredBlock,
}

impl Message {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let payload_length = self.environment.0.length() + self.block.length();
        Header { list: true, payload_length }.encode(out);
        self.environment.0.encode(out);
        self.block.encode(out);
    }

    /// Decodes a message and checks what needs no state; senders come last.
    pub(crate) fn admit(
        mut body: &[u8],
        gate: &Gate<'_>,
        recover: RecoverSenders<'_>,
    ) -> Result<Self, AdmissionError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        let environment = EnvironmentId(B256::decode(&mut fields)?);
        if environment != gate.environment {
            return Err(AdmissionError::OtherEnvironment);
        }
        let lowest = gate.head.saturating_sub(REORGANISATION_BLOCKS_MAX);
        let highest = gate.head.saturating_add(FUTURE_HEIGHTS_MAX);
        let block = crate::message::admit_block(&mut fields, (lowest, highest), recover)?;
        if !fields.is_empty() || !body.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        Ok(Self { environment, block })
    }
}
