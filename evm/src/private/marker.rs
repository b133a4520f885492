//! The private transaction inside a privacy marker transaction: GoQuorum keeps it as JSON in a
//! payload of its own (private/private.go, `FetchPrivateTransaction`).

use alloy_consensus::{SignableTransaction, Transaction, TxLegacy};
use alloy_primitives::{Bytes, Signature, TxKind, U64, U256};
use entente_chain::{
    RecoveredTransaction,
    transaction::{Signing, has_private_signature},
};

#[derive(serde::Deserialize)]
struct Inner {
    nonce: U64,
    #[serde(rename = "gasPrice")]
    gas_price: Option<U256>,
    gas: U64,
    value: U256,
    #[serde(alias = "data")]
    input: Bytes,
    to: Option<alloy_primitives::Address>,
    v: U256,
    r: U256,
    s: U256,
}

/// Reads the inner transaction of a marker; why it is not to be run, where that is so. Its sender
/// and nonce must be the marker's: nobody runs somebody else's transaction again.
pub(super) fn inner(
    payload: &[u8],
    marker: &RecoveredTransaction,
) -> Result<RecoveredTransaction, String> {
    let inner: Inner = serde_json::from_slice(payload)
        .map_err(|cause| format!("the payload of the marker is no transaction: {cause}"))?;
    let parity = match inner.v.saturating_to::<u64>() {
        37 => false,
        38 => true,
        v => return Err(format!("v of the inner transaction is {v}, expected 37 or 38")),
    };
    let too_large = |field: &str| format!("{field} of the inner transaction is too large");
    let transaction = TxLegacy {
        // How a v of 37 or 38 reads on the wire; it is signed without.
        chain_id: Some(1),
        nonce: inner.nonce.to(),
        gas_price: inner
            .gas_price
            .unwrap_or_default()
            .try_into()
            .map_err(|_| too_large("gasPrice"))?,
        gas_limit: inner.gas.to(),
        to: inner.to.map_or(TxKind::Create, TxKind::Call),
        value: inner.value,
        input: inner.input,
    };
    let signature = Signature::new(inner.r, inner.s, parity);
    let envelope = transaction.into_signed(signature).into();
    let inner = RecoveredTransaction::recover(envelope, Signing::Quorum)
        .map_err(|cause| format!("inner transaction: {cause}"))?;
    if !has_private_signature(&inner) {
        return Err("the inner transaction is not private".to_owned());
    }
    if inner.slot() != marker.slot() {
        return Err("sender or nonce of the inner transaction are not the marker's".to_owned());
    }
    if !inner.value().is_zero() {
        return Err("the inner transaction carries value".to_owned());
    }
    Ok(inner)
}
