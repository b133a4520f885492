//! Paths and queries: what is asked for. Hashes are base64, so their slashes come escaped.

use super::{failure::Failure, forms::parse};
use entente_chain::private::{PayloadHash, RecipientKey};
use http::StatusCode;

/// Longest path with its query, in bytes: a hash and a key, every byte escaped, and room beside.
const TARGET_BYTES_MAX: usize = 1024;

/// Something that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Upcheck,
    Version,
    ApiVersions,
    Send,
    StoreRaw,
    SendSigned,
    Transaction(PayloadHash),
    IsSender(PayloadHash),
    Participants(PayloadHash),
    Mandatory(PayloadHash),
    Create,
    Decrypt,
    ResidentGroups,
    /// Kinds of groups that Tessera knows and there are none of here.
    NoGroups,
    Keys,
    PartyKeys,
}

impl Resource {
    /// What a path names. Whoever may only come through the door for third parties is told of
    /// nothing else.
    pub(super) fn of(path: &str, third_party: bool) -> Result<Self, Failure> {
        let absent = || Failure::new(StatusCode::NOT_FOUND, "no such resource");
        if path.len() > TARGET_BYTES_MAX {
            return Err(absent());
        }
        let path = path.strip_prefix('/').ok_or_else(absent)?;
        let segments: Vec<String> =
            path.split('/').map(unescaped).collect::<Option<_>>().ok_or_else(absent)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let resource = match segments.as_slice() {
            ["upcheck"] => Self::Upcheck,
            ["version"] => Self::Version,
            ["version", "api"] => Self::ApiVersions,
            ["storeraw"] => Self::StoreRaw,
            ["keys"] => Self::Keys,
            ["partyinfo", "keys"] => Self::PartyKeys,
            _ if third_party => return Err(absent()),
            ["send"] => Self::Send,
            ["sendsignedtx"] => Self::SendSigned,
            ["transaction", hash] => Self::Transaction(parse("hash", hash)?),
            ["transaction", hash, "isSender"] => Self::IsSender(parse("hash", hash)?),
            ["transaction", hash, "participants"] => Self::Participants(parse("hash", hash)?),
            ["transaction", hash, "mandatory"] => Self::Mandatory(parse("hash", hash)?),
            ["encodedpayload", "create"] => Self::Create,
            ["encodedpayload", "decrypt"] => Self::Decrypt,
            ["groups", "resident"] => Self::ResidentGroups,
            ["groups", "legacy" | "pantheon" | "private_state"] => Self::NoGroups,
            _ => return Err(absent()),
        };
        Ok(resource)
    }
}

/// What the query of `/transaction/{hash}` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadQuery {
    /// Whether a payload is meant that was stored without recipients.
    pub(super) is_raw: bool,
    /// The key that shall read it.
    pub(super) to: Option<RecipientKey>,
}

impl ReadQuery {
    pub(super) fn of(query: Option<&str>) -> Result<Self, Failure> {
        let mut read = Self::default();
        let query = query.unwrap_or_default();
        if query.len() > TARGET_BYTES_MAX {
            return Err(Failure::field("query", "too long"));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = unescaped(value).ok_or_else(|| Failure::field(name, "badly escaped"))?;
            match (name, value.as_str()) {
                ("isRaw", "true") => read.is_raw = true,
                ("isRaw", "false") => read.is_raw = false,
                ("isRaw", _) => return Err(Failure::field("isRaw", "true or false is expected")),
                ("to", "") => {}
                ("to", key) => read.to = Some(parse("to", key)?),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Without its escapes (`%2F`), if they are well formed and give UTF-8. `+` stays `+`: these are
/// base64.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;
    use proptest::prelude::*;

    /// As Go's `url.PathEscape` writes it.
    fn escaped(text: &str) -> String {
        text.replace('/', "%2F")
    }

    #[test]
    fn hashes_in_paths_are_escaped_base64() {
        // All slashes: the worst there is.
        let hash = PayloadHash(B512::repeat_byte(0xff));
        let text = escaped(&hash.to_string());
        for (path, expected) in [
            (format!("/transaction/{text}"), Resource::Transaction(hash)),
            (format!("/transaction/{text}/isSender"), Resource::IsSender(hash)),
            (format!("/transaction/{text}/participants"), Resource::Participants(hash)),
            (format!("/transaction/{text}/mandatory"), Resource::Mandatory(hash)),
        ] {
            assert_eq!(Resource::of(&path, false), Ok(expected));
        }
    }

    #[test]
    fn hostile_paths_name_nothing() {
        let sixty =
            escaped(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [1; 60]));
        for (path, status) in [
            ("".to_owned(), 404),
            ("upcheck".to_owned(), 404),
            ("/".to_owned(), 404),
            ("//upcheck".to_owned(), 404),
            ("/transaction".to_owned(), 404),
            ("/transaction/".to_owned(), 400),
            (format!("/transaction/{sixty}"), 400),
            ("/transaction/not base64".to_owned(), 400),
            ("/transaction/..".to_owned(), 400),
            ("/transaction/../upcheck".to_owned(), 404),
            ("/transaction/%2e%2e%2f%2e%2e%2fkeys".to_owned(), 400),
            ("/transaction/%zz".to_owned(), 404),
            ("/transaction/%f".to_owned(), 404),
            ("/transaction/%ff".to_owned(), 404),
            (format!("/transaction/{}", "A".repeat(10_000)), 404),
            // Peers prove their keys; nobody can push some.
            ("/partyinfo".to_owned(), 404),
            ("/partyinfo/validate".to_owned(), 404),
            ("/push".to_owned(), 404),
            ("/resend".to_owned(), 404),
            ("/groups/unknown".to_owned(), 404),
        ] {
            let failure = Resource::of(&path, false).expect_err(&path);
            assert_eq!(failure.status.as_u16(), status, "{path}");
        }
    }

    #[test]
    fn third_parties_neither_read_nor_send() {
        let hash = escaped(&PayloadHash(B512::ZERO).to_string());
        for path in [
            "/send",
            "/sendsignedtx",
            "/encodedpayload/decrypt",
            "/groups/resident",
            &format!("/transaction/{hash}"),
            &format!("/transaction/{hash}/participants"),
        ] {
            assert!(Resource::of(path, false).is_ok(), "{path}");
            let failure = Resource::of(path, true).expect_err(path);
            assert_eq!(failure.status, StatusCode::NOT_FOUND);
        }
        for path in ["/upcheck", "/version", "/keys", "/partyinfo/keys", "/storeraw"] {
            assert!(Resource::of(path, true).is_ok(), "{path}");
        }
    }

    #[test]
    fn queries_are_read() {
        let key = RecipientKey([0xfb; 32]);
        let read = ReadQuery::of(Some(&format!("isRaw=true&to={key}&other=1")));
        assert_eq!(read, Ok(ReadQuery { is_raw: true, to: Some(key) }));
        assert_eq!(ReadQuery::of(None), Ok(ReadQuery::default()));
        for wrong in ["isRaw=maybe", "isRaw", "to=x", "to=%", &"a".repeat(10_000)] {
            assert!(ReadQuery::of(Some(wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/|%|[a-z]|transaction|\\PC){0,20}", third: bool) {
            drop(Resource::of(&path, third));
            drop(ReadQuery::of(Some(&path)));
        }
    }
}
