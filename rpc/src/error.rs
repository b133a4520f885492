//! Every error a client can see: code, text, data. Codes and texts are geth's where clients match on
//! them; nothing internal leaves through here.

use alloy_primitives::Bytes;
use entente_chain::StateError;
use entente_storage::StoreError;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::value::RawValue;
use std::fmt;

/// The written result of a method, or why there is none.
pub(crate) type Answer = Result<Box<RawValue>, RpcError>;

/// Longest method name that is echoed, in characters.
const ECHOED_NAME_MAX: usize = 64;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RpcError {
    /// The request or batch is not one.
    #[error("{0}")]
    InvalidRequest(String),
    /// No such method, or not for this caller.
    #[error("the method {0} does not exist/is not available")]
    MethodNotFound(String),
    /// A subscription over a transport that cannot carry one.
    #[error("notifications not supported")]
    NotificationsUnsupported,
    /// The parameters are not a list, too many, or too few.
    #[error("{0}")]
    InvalidParams(String),
    /// One parameter is wrong.
    #[error("invalid argument {index}: {cause}")]
    InvalidArgument { index: usize, cause: String },
    /// A transaction was refused or a state is not there; geth's text.
    #[error("{0}")]
    Refused(String),
    /// The called contract reverted.
    #[error("{message}")]
    Reverted { message: String, output: Bytes },
    /// A limit of the server.
    #[error("{0}")]
    Limit(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// Our fault; the cause is in the log.
    #[error("internal error")]
    Internal,
}

impl RpcError {
    /// A method that is not offered; the name is cut.
    pub(crate) fn method_not_found(name: &str) -> Self {
        Self::MethodNotFound(name.chars().take(ECHOED_NAME_MAX).collect())
    }

    /// FireFly's default pattern understands this text.
    pub(crate) fn response_too_large(limit: usize) -> Self {
        Self::Limit(format!("Response size is larger than {} MB limit", limit / (1024 * 1024)))
    }

    /// Something of ours failed: logged here, hidden from the client.
    pub(crate) fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "a JSON-RPC call failed");
        Self::Internal
    }

    pub(crate) fn argument(index: usize, cause: impl Into<String>) -> Self {
        Self::InvalidArgument { index, cause: cause.into() }
    }

    /// geth's text for a state at a block that is not there.
    pub(crate) fn header_not_found() -> Self {
        Self::Refused("header not found".into())
    }

    const fn code(&self) -> i32 {
        match self {
            Self::InvalidRequest(_) => -32600,
            Self::MethodNotFound(_) | Self::NotificationsUnsupported => -32601,
            Self::InvalidParams(_) | Self::InvalidArgument { .. } => -32602,
            Self::Internal => -32603,
            Self::Refused(_) => -32000,
            Self::Timeout(_) => -32002,
            // Not geth's -32003 for large responses: viem reads that as "transaction rejected".
            Self::Limit(_) => -32005,
            Self::Reverted { .. } => 3,
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        let (code, text) = (error.code(), error.to_string());
        match error {
            RpcError::Reverted { output, .. } => Self::owned(code, text, Some(output)),
            _ => Self::owned::<()>(code, text, None),
        }
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::NotKept { .. } => Self::Refused(error.to_string()),
            StateError::Database { .. } | StateError::CodeMissing(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_method_names_are_cut() {
        let error = RpcError::method_not_found(&"ü".repeat(1000));
        let expected = format!("the method {} does not exist/is not available", "ü".repeat(64));
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn revert_bytes_travel_as_data() {
        let output = Bytes::from_static(&[0x08, 0xc3]);
        let error = RpcError::Reverted { message: "execution reverted".into(), output };
        let object = ErrorObjectOwned::from(error);
        assert_eq!(object.code(), 3);
        assert_eq!(object.data().map(RawValue::get), Some("\"0x08c3\""));
    }
}
