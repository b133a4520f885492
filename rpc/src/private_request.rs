//! What a caller says about privacy beside a transaction (GoQuorum's `PrivateTxArgs`), checked
//! before anything is simulated, stored or sent.

use crate::{error::RpcError, private::Distribution};
use entente_chain::private::{PrivacyFlag, PrivacyTerms, RecipientKey};
use serde_json::Value;

/// Most parties that one payload is encrypted for.
const PARTIES_MAX: usize = 256;

/// Checked words about privacy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrivateRequest {
    pub(crate) from: Option<RecipientKey>,
    pub(crate) to: Vec<RecipientKey>,
    pub(crate) flag: PrivacyFlag,
    pub(crate) mandatory: Vec<RecipientKey>,
}

impl PrivateRequest {
    /// Takes the fields of a transaction object; `None`: the transaction is public.
    pub(crate) fn parse(object: &Value) -> Result<Option<Self>, RpcError> {
        let given = |name: &str| field(object, name).filter(|value| !value.is_null());
        let Some(to) = given("privateFor") else {
            let others = ["privateFrom", "privacyFlag", "mandatoryFor"];
            // web3js-quorum sends `privacyFlag: 0` and an empty key along with public transactions.
            let says = |name: &str| given(name).is_some_and(|value| !says_nothing(value));
            return match others.into_iter().find(|name| says(name)) {
                Some(name) => Err(wrong(format!("{name}: only with privateFor"))),
                None => Ok(None),
            };
        };
        let request = Self {
            from: given("privateFrom").filter(|value| *value != "").map(from_key).transpose()?,
            to: keys("privateFor", to)?,
            flag: given("privacyFlag").map(flag).transpose()?.unwrap_or_default(),
            mandatory: given("mandatoryFor")
                .map(|value| keys("mandatoryFor", value))
                .transpose()?
                .unwrap_or_default(),
        };
        request.check()?;
        Ok(Some(request))
    }

    fn check(&self) -> Result<(), RpcError> {
        match (self.flag == PrivacyFlag::MandatoryRecipients, self.mandatory.is_empty()) {
            (true, true) => {
                return Err(wrong(
                    "mandatoryFor: missing mandatory recipients data. if no mandatory recipients \
                     required consider using PrivacyFlag=1(PartyProtection)",
                ));
            }
            (false, false) => {
                return Err(wrong(
                    "mandatoryFor: mandatory recipients are only applicable for \
                     PrivacyFlag=2(MandatoryRecipients)",
                ));
            }
            _ => {}
        }
        // Without `privateFrom` the sender may be one of them, and is known only later.
        let named = |key: &RecipientKey| self.to.contains(key) || self.from == Some(*key);
        let missing = self.mandatory.iter().position(|key| !named(key));
        match missing.filter(|_| self.from.is_some() || self.mandatory.len() > 1) {
            Some(index) => Err(wrong(format!("mandatoryFor[{index}]: is not in privateFor"))),
            None => Ok(()),
        }
    }

    /// As the node takes it; what a simulation showed is added by the caller.
    pub(crate) fn distribution(&self, from: RecipientKey) -> Distribution {
        let terms = PrivacyTerms {
            flag: self.flag,
            mandatory: self.mandatory.clone(),
            ..PrivacyTerms::default()
        };
        Distribution { from: Some(from), to: self.to.clone(), terms }
    }
}

/// A field by its name, however it is capitalised: GoQuorum's decoder does not look at that, and a
/// `privatefor` that nobody reads would send in public what was meant for few.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    let exact = fields.get(name);
    let alike = || fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    exact.or_else(|| alike().map(|(_, value)| value))
}

fn wrong(cause: impl Into<String>) -> RpcError {
    RpcError::InvalidParams(cause.into())
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn from_key(value: &Value) -> Result<RecipientKey, RpcError> {
    key(value).map_err(|cause| wrong(format!("privateFrom: {cause}")))
}

fn keys(name: &str, value: &Value) -> Result<Vec<RecipientKey>, RpcError> {
    let Value::Array(list) = value else {
        return Err(wrong(format!("{name}: a list of public keys in base64 is expected")));
    };
    if list.len() > PARTIES_MAX {
        let got = list.len();
        return Err(wrong(format!("{name}: {got} keys given, {PARTIES_MAX} allowed")));
    }
    let mut keys = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let key = key(value).map_err(|cause| wrong(format!("{name}[{index}]: {cause}")))?;
        if keys.contains(&key) {
            return Err(wrong(format!("{name}[{index}]: {key} is named twice")));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key(value: &Value) -> Result<RecipientKey, String> {
    let text = value.as_str().ok_or("a public key in base64 is expected")?;
    text.parse().map_err(|error: entente_chain::private::Base64Error| error.to_string())
}

fn flag(value: &Value) -> Result<PrivacyFlag, RpcError> {
    let number = match value {
        Value::String(text) => crate::params::parse_u64(text).ok(),
        other => other.as_u64(),
    };
    number
        .and_then(PrivacyFlag::from_number)
        .ok_or_else(|| wrong(format!("privacyFlag: invalid privacy flag {value}, 0 to 3 allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(byte: u8) -> String {
        RecipientKey([byte; 32]).to_string()
    }

    fn cause(object: &Value) -> String {
        PrivateRequest::parse(object).expect_err("wrong").to_string()
    }

    #[test]
    fn a_public_transaction_says_nothing_about_privacy() {
        for object in [json!({}), json!({ "privacyFlag": 0, "privateFrom": "" })] {
            assert_eq!(PrivateRequest::parse(&object), Ok(None));
        }
        assert_eq!(cause(&json!({ "privacyFlag": 3 })), "privacyFlag: only with privateFor");
    }

    #[test]
    fn a_field_in_other_capitals_is_not_overlooked() {
        let object = json!({ "privatefor": [text(1)], "PRIVACYFLAG": 1 });
        let request = PrivateRequest::parse(&object).expect("words").expect("private");
        assert_eq!(request.to, [RecipientKey([1; 32])]);
        assert_eq!(request.flag, PrivacyFlag::PartyProtection);
    }

    #[test]
    fn the_mandatory_recipient_may_be_the_sender_who_is_not_known_yet() {
        let one = json!({
            "privateFor": [text(1)], "privacyFlag": 2, "mandatoryFor": [text(2)],
        });
        assert!(PrivateRequest::parse(&one).is_ok());
    }

    #[test]
    fn every_wrong_word_is_named() {
        let many: Vec<_> = (0..300_u16).map(|number| format!("{number}")).collect();
        let cases = [
            (json!({ "privateFor": "x" }), "privateFor: a list of public keys"),
            (json!({ "privateFor": [text(1), "x"] }), "privateFor[1]: `x`: expected 32 bytes"),
            (json!({ "privateFor": ["AAAA"] }), "privateFor[0]: `AAAA`: expected 32 bytes"),
            (json!({ "privateFor": [7] }), "privateFor[0]: a public key in base64 is expected"),
            (json!({ "privateFor": [text(1), text(1)] }), "privateFor[1]: AQEB"),
            (json!({ "privateFor": many }), "privateFor: 300 keys given, 256 allowed"),
            (json!({ "privateFor": [], "privateFrom": "x" }), "privateFrom: `x`: expected"),
            (json!({ "privateFor": [], "privacyFlag": 7 }), "privacyFlag: invalid privacy flag 7"),
            (json!({ "privateFor": [], "privacyFlag": "x" }), "privacyFlag: invalid"),
            (json!({ "privateFor": [text(1)], "privacyFlag": 2 }), "mandatoryFor: missing"),
            (
                json!({ "privateFor": [text(1)], "privacyFlag": 1, "mandatoryFor": [text(1)] }),
                "mandatoryFor: mandatory recipients are only applicable",
            ),
            (
                json!({
                    "privateFrom": text(3),
                    "privateFor": [text(1)],
                    "privacyFlag": 2,
                    "mandatoryFor": [text(2)],
                }),
                "mandatoryFor[0]: is not in privateFor",
            ),
        ];
        for (object, expected) in cases {
            let cause = cause(&object);
            assert!(cause.starts_with(expected), "{object}: {cause}");
        }
    }
}
