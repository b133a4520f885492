//! Bodies of requests and answers, as GoQuorum's client for Tessera writes and reads them. Absent
//! lists may be `null` there, and absent texts empty.

use super::failure::Failure;
use alloy_primitives::B256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::private::{
    PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, RecipientKey,
};
use entente_privacy::{AFFECTED_MAX, EncryptedPayload, RECIPIENTS_MAX, SendReceipt, SendRequest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::str::FromStr;
use zeroize::Zeroizing;

/// Reads a JSON body; an error names the field.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // A list would be taken for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::field("body", "a JSON object is expected"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            match error.path().to_string().as_str() {
                "." => Failure::field("body", error.inner()),
                path => Failure::field(path, error.inner()),
            }
        })?;
    deserializer.end().map_err(|error| Failure::field("body", error))?;
    Ok(value)
}

/// `/send`, `/encodedpayload/create`, `/storeraw` and `/sendsignedtx`: each takes a part of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct RequestForm {
    payload: Option<String>,
    hash: Option<String>,
    from: Option<String>,
    to: Option<Vec<String>>,
    affected_contract_transactions: Option<Vec<String>>,
    exec_hash: Option<String>,
    privacy_flag: Option<u64>,
    mandatory_recipients: Option<Vec<String>>,
    privacy_group_id: Option<String>,
}

/// `/encodedpayload/create` answers it, `/encodedpayload/decrypt` takes it. All of the payload is in
/// `cipherText`; the other fields are what GoQuorum wants to see.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EncodedForm {
    sender_key: String,
    cipher_text: String,
    #[serde(default)]
    cipher_text_nonce: Option<String>,
    #[serde(default)]
    recipient_boxes: Option<Vec<String>>,
    #[serde(default)]
    recipient_nonce: Option<String>,
    #[serde(default)]
    recipient_keys: Option<Vec<String>>,
}

/// The answer to `/send` and `/sendsignedtx`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentForm {
    pub(super) key: String,
    pub(super) managed_parties: Vec<String>,
    pub(super) sender_key: String,
}

/// A payload that was read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceivedForm {
    payload: String,
    affected_contract_transactions: Vec<String>,
    exec_hash: String,
    privacy_flag: u8,
    managed_parties: Vec<String>,
    sender_key: String,
}

impl RequestForm {
    /// A stored payload and its recipients, as they come in the form without JSON.
    pub(super) fn of_hash(hash: PayloadHash, to: Vec<String>) -> Self {
        Self { hash: Some(hash.to_string()), to: Some(to), ..Self::default() }
    }

    /// A payload with its recipients.
    pub(super) fn send(mut self) -> Result<SendRequest, Failure> {
        absent("hash", self.hash.as_ref())?;
        let plain = payload(self.payload.take())?;
        let sender = sender(self.from.as_deref())?;
        let (recipients, terms) = self.envelope()?;
        Ok(SendRequest { plain, sender, recipients, terms })
    }

    /// A payload whose recipients are not known yet.
    pub(super) fn store_raw(self) -> Result<(Zeroizing<Vec<u8>>, Option<RecipientKey>), Failure> {
        absent("hash", self.hash.as_ref())?;
        absent("to", self.to.as_ref())?;
        Ok((payload(self.payload)?, sender(self.from.as_deref())?))
    }

    /// A stored payload and its recipients.
    pub(super) fn send_signed(
        self,
    ) -> Result<(PayloadHash, Vec<RecipientKey>, PrivacyTerms), Failure> {
        absent("payload", self.payload.as_ref())?;
        absent("from", self.from.as_ref())?;
        let hash = self.hash.as_deref().ok_or_else(|| Failure::field("hash", "missing"))?;
        let hash = parse("hash", hash)?;
        let (recipients, terms) = self.envelope()?;
        Ok((hash, recipients, terms))
    }

    fn envelope(self) -> Result<(Vec<RecipientKey>, PrivacyTerms), Failure> {
        if self.privacy_group_id.is_some_and(|id| !id.is_empty()) {
            return Err(Failure::field("privacyGroupId", "name the keys in `to`"));
        }
        let number = self.privacy_flag.unwrap_or_default();
        let flag = PrivacyFlag::from_number(number).ok_or_else(|| {
            Failure::field("privacyFlag", format!("{number}, 0 to 3 is expected"))
        })?;
        let affected = list(
            "affectedContractTransactions",
            self.affected_contract_transactions,
            AFFECTED_MAX,
        )?;
        let root = self.exec_hash.filter(|text| !text.is_empty());
        let terms = PrivacyTerms {
            flag,
            affected,
            execution_root: root.as_deref().map(execution_root).transpose()?,
            mandatory: list("mandatoryRecipients", self.mandatory_recipients, RECIPIENTS_MAX)?,
        };
        Ok((list("to", self.to, RECIPIENTS_MAX)?, terms))
    }
}

impl EncodedForm {
    pub(super) fn of(payload: &EncryptedPayload) -> Self {
        Self {
            sender_key: payload.sender().to_string(),
            cipher_text: STANDARD.encode(payload.encode()),
            cipher_text_nonce: Some(String::new()),
            recipient_boxes: Some(Vec::new()),
            recipient_nonce: Some(String::new()),
            recipient_keys: Some(texts(&payload.boxed())),
        }
    }

    /// The bytes of the payload and who is said to have sent it.
    pub(super) fn read(&self) -> Result<(Vec<u8>, RecipientKey), Failure> {
        let bytes = STANDARD
            .decode(&self.cipher_text)
            .map_err(|cause| Failure::field("cipherText", format!("not base64: {cause}")))?;
        Ok((bytes, parse("senderKey", &self.sender_key)?))
    }
}

impl SentForm {
    pub(super) fn of(receipt: &SendReceipt) -> Self {
        Self {
            key: receipt.hash.to_string(),
            managed_parties: texts(&receipt.managed),
            sender_key: receipt.sender.to_string(),
        }
    }
}

impl ReceivedForm {
    pub(super) fn of(payload: &PrivatePayload) -> Self {
        let terms = &payload.terms;
        Self {
            payload: STANDARD.encode(&*payload.plain),
            affected_contract_transactions: texts(&terms.affected),
            exec_hash: terms.execution_root.map_or_else(String::new, |root| STANDARD.encode(root)),
            privacy_flag: terms.flag.number(),
            managed_parties: texts(&payload.managed),
            sender_key: payload.sender.to_string(),
        }
    }
}

/// Keys or hashes as texts.
pub(super) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// A key or hash of a field.
pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Failure> {
    text.parse().map_err(|cause| Failure::field(field, cause))
}

fn list<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    texts: Option<Vec<String>>,
    most: usize,
) -> Result<Vec<T>, Failure> {
    let texts = texts.unwrap_or_default();
    if texts.len() > most {
        return Err(Failure::field(field, format!("{} given, at most {most}", texts.len())));
    }
    let parse = |(index, text): (usize, &String)| parse(&format!("{field}[{index}]"), text);
    texts.iter().enumerate().map(parse).collect()
}

fn absent<T>(field: &str, value: Option<&T>) -> Result<(), Failure> {
    match value {
        None => Ok(()),
        Some(_) => Err(Failure::field(field, "not a field of this request")),
    }
}

fn sender(from: Option<&str>) -> Result<Option<RecipientKey>, Failure> {
    from.filter(|text| !text.is_empty()).map(|text| parse("from", text)).transpose()
}

fn payload(text: Option<String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = text.ok_or_else(|| Failure::field("payload", "missing"))?;
    let text = Zeroizing::new(text);
    let bytes = STANDARD
        .decode(text.as_bytes())
        .map_err(|cause| Failure::field("payload", format!("not base64: {cause}")))?;
    Ok(Zeroizing::new(bytes))
}

/// Travels as a text, which Tessera does not look into; GoQuorum writes the base64 of 32 bytes.
fn execution_root(text: &str) -> Result<B256, Failure> {
    let bytes = STANDARD.decode(text).ok();
    let root = bytes.and_then(|bytes| B256::try_from(bytes.as_slice()).ok());
    root.ok_or_else(|| Failure::field("execHash", "32 bytes in base64 are expected"))
}

#[cfg(test)]
mod tests;
