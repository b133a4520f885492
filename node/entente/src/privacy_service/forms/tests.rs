use super::*;
use serde_json::{Value, json};

fn key(number: u8) -> String {
    RecipientKey([number; 32]).to_string()
}

fn refused(body: &Value) -> String {
    let form = read::<RequestForm>(body.to_string().as_bytes());
    let failure = form.and_then(RequestForm::send).map(|_| ()).expect_err("must be refused");
    assert_eq!(failure.status, http::StatusCode::BAD_REQUEST, "{}", failure.text);
    failure.text
}

/// What GoQuorum's client writes for a plain `eth_sendTransaction`: lists that are not there are
/// `null`, texts that are not there are left out.
#[test]
fn a_request_of_goquorum_is_read() {
    let body = json!({
        "payload": "AQI=", "to": [key(1), key(2)], "affectedContractTransactions": [],
        "privacyFlag": 0, "mandatoryRecipients": null,
    });
    let request = read::<RequestForm>(body.to_string().as_bytes()).and_then(RequestForm::send);
    let request = request.expect("valid");
    assert_eq!(*request.plain, [1, 2]);
    assert_eq!(request.recipients, [RecipientKey([1; 32]), RecipientKey([2; 32])]);
    assert_eq!((request.sender, request.terms), (None, PrivacyTerms::default()));
}

#[test]
fn the_root_travels_as_the_text_that_goquorum_wrote() {
    let root = STANDARD.encode([7; 32]);
    let body = json!({ "payload": "AQ==", "to": [], "execHash": root, "privacyFlag": 3 });
    let request = read::<RequestForm>(body.to_string().as_bytes()).and_then(RequestForm::send);
    let terms = request.expect("valid").terms;
    assert_eq!(terms.execution_root, Some(B256::repeat_byte(7)));
    let payload = PrivatePayload {
        plain: Zeroizing::new(vec![1]),
        sender: RecipientKey([1; 32]),
        managed: Vec::new(),
        parties: Vec::new(),
        terms,
    };
    assert_eq!(serde_json::to_value(ReceivedForm::of(&payload)).expect("JSON")["execHash"], root);
}

#[test]
fn what_is_wrong_is_told_with_its_field() {
    let many: Vec<_> = (0..10_000).map(|_| key(1)).collect();
    for (body, text) in [
        (json!([]), "body: "),
        (json!({}), "payload: missing"),
        (json!({ "payload": 1 }), "payload: invalid type"),
        (json!({ "payload": "?" }), "payload: not base64"),
        (json!({ "payload": "", "from": "x" }), "from: `x`: expected 32 bytes in base64"),
        (json!({ "payload": "", "to": "x" }), "to: invalid type"),
        (json!({ "payload": "", "to": [""] }), "to[0]: ``: expected 32 bytes"),
        (json!({ "payload": "", "to": [key(1), "AAAA"] }), "to[1]: `AAAA`: expected 32 bytes"),
        (json!({ "payload": "", "to": [key(1), 1] }), "to[1]: invalid type"),
        (json!({ "payload": "", "to": many }), "to: 10000 given, at most 256"),
        (json!({ "payload": "", "privacyFlag": 7 }), "privacyFlag: 7, 0 to 3 is expected"),
        (json!({ "payload": "", "privacyFlag": -1 }), "privacyFlag: invalid value"),
        (json!({ "payload": "", "execHash": "AQ==" }), "execHash: 32 bytes in base64"),
        (
            json!({ "payload": "", "affectedContractTransactions": [key(1)] }),
            "affectedContractTransactions[0]: ",
        ),
        (json!({ "payload": "", "privacyGroupId": "x" }), "privacyGroupId: "),
        (json!({ "payload": "", "hash": "x" }), "hash: not a field of this request"),
        (json!({ "payload": "", "mandatoryRecipient": [] }), "mandatoryRecipient: unknown field"),
    ] {
        let told = refused(&body);
        assert!(told.starts_with(text), "{told} does not begin with {text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for body in ["", "{", "{}{}", "\u{0}", &"[".repeat(10_000)] {
        let failure = read::<RequestForm>(body.as_bytes()).map(|_| ()).expect_err(body);
        assert_eq!(failure.status, http::StatusCode::BAD_REQUEST);
    }
}
