//! Payloads that another transaction manager kept before: Tessera's, when a member moves over. Their
//! hash on the chain is over Tessera's ciphertext, so they are kept under it as they were read there.

use alloy_primitives::{B256, B512};
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, RecipientKey,
};
use zeroize::Zeroizing;

#[derive(RlpEncodable, RlpDecodable)]
struct Encoded {
    plain: Zeroized,
    sender: B256,
    managed: Vec<B256>,
    parties: Vec<B256>,
    flag: u8,
    affected: Vec<B512>,
    execution_root: Vec<B256>,
    mandatory: Vec<B256>,
}

/// Bytes that are wiped when they are dropped.
struct Zeroized(Zeroizing<Vec<u8>>);

impl alloy_rlp::Encodable for Zeroized {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        self.0.as_slice().encode(out);
    }

    fn length(&self) -> usize {
        self.0.as_slice().length()
    }
}

impl alloy_rlp::Decodable for Zeroized {
    fn decode(bytes: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let content = alloy_rlp::Header::decode_bytes(bytes, false)?;
        Ok(Self(Zeroizing::new(content.to_vec())))
    }
}

fn words(keys: &[RecipientKey]) -> Vec<B256> {
    keys.iter().map(|key| B256::from(key.0)).collect()
}

fn keys(words: &[B256]) -> Vec<RecipientKey> {
    words.iter().map(|word| RecipientKey(word.0)).collect()
}

pub(crate) fn encode(payload: &PrivatePayload) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(alloy_rlp::encode(Encoded {
        plain: Zeroized(payload.plain.clone()),
        sender: B256::from(payload.sender.0),
        managed: words(&payload.managed),
        parties: words(&payload.parties),
        flag: payload.terms.flag.number(),
        affected: payload.terms.affected.iter().map(|hash| hash.0).collect(),
        execution_root: payload.terms.execution_root.into_iter().collect(),
        mandatory: words(&payload.terms.mandatory),
    }))
}

pub(crate) fn decode(mut bytes: &[u8]) -> Option<PrivatePayload> {
    let encoded = Encoded::decode(&mut bytes).ok().filter(|_| bytes.is_empty())?;
    Some(PrivatePayload {
        plain: encoded.plain.0,
        sender: RecipientKey(encoded.sender.0),
        managed: keys(&encoded.managed),
        parties: keys(&encoded.parties),
        terms: PrivacyTerms {
            flag: PrivacyFlag::from_number(encoded.flag.into())?,
            affected: encoded.affected.into_iter().map(PayloadHash).collect(),
            execution_root: encoded.execution_root.first().copied(),
            mandatory: keys(&encoded.mandatory),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imported_payload_is_read_back_and_every_cut_refused() {
        let payload = PrivatePayload {
            plain: Zeroizing::new(b"payload".to_vec()),
            sender: RecipientKey([1; 32]),
            managed: vec![RecipientKey([2; 32])],
            parties: vec![RecipientKey([1; 32]), RecipientKey([2; 32])],
            terms: PrivacyTerms {
                flag: PrivacyFlag::StateValidation,
                affected: vec![PayloadHash(B512::repeat_byte(3))],
                execution_root: Some(B256::repeat_byte(4)),
                mandatory: vec![RecipientKey([2; 32])],
            },
        };
        let bytes = encode(&payload);
        assert_eq!(decode(&bytes), Some(payload));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None);
        }
    }
}
