//! Micro-benchmarks of what costs time per transaction and per block, named
//! `area::operation/key=value`. Run by hand: `cargo bench -p entente-bench`. Figures go into commit
//! messages and `docs/benchmarks.md`.

use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use entente_chain::{
    RecoveredTransaction, TransactionEnvelope,
    genesis::{Genesis, GenesisBuilder},
    signer::SealSigner,
    transaction::Signing,
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Chain id of the benchmarked chain.
const CHAIN_ID: u64 = 1337;

/// The key of sender `index`.
///
/// # Panics
/// Never: small numbers are keys.
#[must_use]
#[expect(clippy::expect_used, reason = "small numbers are keys")]
pub fn signer(index: u32) -> SealSigner {
    let mut secret = Zeroizing::new([0; 32]);
    secret[..4].copy_from_slice(&(index + 1).to_be_bytes());
    secret[31] = 1;
    SealSigner::new(&secret).expect("a key")
}

/// A signed transfer of one wei at price 0.
#[must_use]
pub fn transfer(from: &SealSigner, nonce: u64, to: Address) -> TransactionEnvelope {
    let transaction = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 0,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value: U256::ONE,
        input: Bytes::new(),
    };
    let seal = from.sign(transaction.signature_hash());
    let signature = Signature::from_bytes_and_parity(&seal[..64], seal[64] == 1);
    transaction.into_signed(signature).into()
}

/// One transfer of each of `count` senders to a fresh address.
///
/// # Panics
/// Never: we signed them.
#[must_use]
#[expect(clippy::expect_used, reason = "we signed them")]
pub fn transfers(count: u32) -> Vec<Arc<RecoveredTransaction>> {
    (0..count)
        .map(|index| {
            let to = Address::left_padding_from(&(index + 1_000_000).to_be_bytes());
            let signed = transfer(&signer(index), 0, to);
            Arc::new(RecoveredTransaction::recover(signed, Signing::Ethereum).expect("signed"))
        })
        .collect()
}

/// A chain whose first `funded` senders have ether, with `more` other accounts.
///
/// # Panics
/// Never: the builder writes genesis files that parse.
#[must_use]
#[expect(clippy::expect_used, reason = "the builder writes what parses")]
pub fn genesis(funded: u32, more: u32) -> (Genesis, String) {
    let mut builder = GenesisBuilder::new(CHAIN_ID, vec![signer(u32::MAX - 1).address()]);
    let ether = U256::from(10_u64.pow(18));
    builder.accounts = (0..funded)
        .map(|index| signer(index).address())
        .chain((0..more).map(|index| {
            // Above every precompile.
            Address::left_padding_from(&(index + 10_000_000).to_be_bytes())
        }))
        .map(|address| (address, ether))
        .collect();
    let json = builder.to_json();
    (Genesis::parse(json.as_bytes()).expect("parses"), json)
}
