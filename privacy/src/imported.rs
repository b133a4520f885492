//! Payloads that another transaction manager kept before: Tessera's, when a member moves over. Their
//! hash on the chain is over Tessera's ciphertext, so they are kept under it as they were read there.

use crate::payload::{Terms, decoded_terms, encoded_terms};
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use entente_chain::private::{PrivatePayload, RecipientKey};
use zeroize::Zeroizing;

#[derive(RlpEncodable, RlpDecodable)]
struct Encoded {
    plain: Zeroized,
    sender: RecipientKey,
    managed: Vec<RecipientKey>,
    parties: Vec<RecipientKey>,
    terms: Terms,
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

pub(crate) fn encode(payload: &PrivatePayload) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(alloy_rlp::encode(Encoded {
        plain: Zeroized(payload.plain.clone()),
        sender: payload.sender,
        managed: payload.managed.clone(),
        parties: payload.parties.clone(),
        terms: encoded_terms(&payload.terms),
    }))
}

pub(crate) fn decode(mut bytes: &[u8]) -> Option<PrivatePayload> {
    let encoded = Encoded::decode(&mut bytes).ok().filter(|_| bytes.is_empty())?;
    let Encoded { plain, sender, managed, parties, terms } = encoded;
    let terms = decoded_terms(&terms)?;
    Some(PrivatePayload { plain: plain.0, sender, managed, parties, terms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, B512};
    use entente_chain::private::{PayloadHash, PrivacyFlag, PrivacyTerms};

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
