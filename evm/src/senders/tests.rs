use super::*;
use alloy_primitives::hex;

/// Example of EIP-155, signed with the key 0x4646..46.
const EIP_155: &str = concat!(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080",
    "25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276",
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
);
const SENDER: &str = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F";

fn encoded() -> Bytes {
    hex::decode(EIP_155).unwrap().into()
}

#[test]
fn a_sender_is_recovered_once() {
    let senders = Senders::new(64, Signing::Ethereum);
    let first = senders.decode(encoded()).unwrap();
    assert_eq!(first.sender().to_string(), SENDER);
    let again = senders.recover(vec![first.envelope().clone()]).unwrap();
    assert!(Arc::ptr_eq(&first, &again[0]));
    assert!(Arc::ptr_eq(&first, &senders.decode(encoded()).unwrap()));
    assert!(Arc::ptr_eq(&first, &senders.get(first.hash()).unwrap()));
}

#[test]
fn a_batch_on_all_cores_keeps_its_order_and_names_the_bad_one() {
    let senders = Senders::new(64, Signing::Ethereum);
    let good = encoded();
    let mut bad = good.to_vec();
    bad[5] ^= 1;
    bad.push(0);
    let batch = vec![good.clone(), bad.into(), good.clone(), good];
    let results = senders.decode_batch(batch);
    assert!(results[0].is_ok() && results[2].is_ok() && results[3].is_ok());
    assert_eq!(results[1], Err(TransactionError::TrailingBytes(1)));
}

#[test]
fn the_cache_is_bounded() {
    let senders = Senders::new(16, Signing::Ethereum);
    let first = senders.decode(encoded()).unwrap();
    let others = |n: u64| {
        let TransactionEnvelope::Legacy(tx) = first.envelope() else { panic!("legacy") };
        let mut tx = tx.clone();
        tx.tx_mut().nonce = n;
        let (tx, signature, _) = tx.into_parts();
        alloy_consensus::SignableTransaction::into_signed(tx, signature).into()
    };
    // Changed content still leads to some sender, only another one.
    let recovered = senders.recover((100..400).map(others).collect()).unwrap();
    let kept = recovered.iter().filter(|tx| senders.get(tx.hash()).is_some()).count();
    assert!(kept <= 16, "{kept} kept");
}

#[test]
fn a_transaction_that_is_too_large_is_not_decoded() {
    let senders = Senders::new(1, Signing::Ethereum);
    let refused = senders.decode(vec![0; TRANSACTION_BYTES_MAX + 1].into());
    assert!(matches!(refused, Err(TransactionError::Oversized { .. })));
}
