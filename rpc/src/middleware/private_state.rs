//! Which private state a connection or a request chooses (GoQuorum's private state identifier):
//! by header `PSI`, by query `?PSI=`, or by a token that opens one.

use crate::StateAccess;
use alloy_primitives::keccak256;
use entente_chain::private::PrivateStateId;
use http::{HeaderMap, StatusCode, Uri, header};

const HEADER: &str = "PSI";

/// Why no private state was chosen.
type Refusal = (StatusCode, &'static str);

const UNKNOWN: Refusal =
    (StatusCode::FORBIDDEN, "PSI not found: this node has no such private state\n");
const NO_TOKEN: Refusal =
    (StatusCode::UNAUTHORIZED, "this private state needs its token: Authorization: Bearer TOKEN\n");

/// The private state that a request names, if it may see it.
pub(crate) fn choose(
    states: &[StateAccess],
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<PrivateStateId, Refusal> {
    let named = named(headers, uri)?;
    let opened = match bearer(headers) {
        Some(token) => {
            let hash = keccak256(token);
            states.iter().find(|state| state.token == Some(hash))
        }
        None => None,
    };
    let wanted = match (named, opened) {
        (Some(named), _) => named,
        (None, Some(opened)) => opened.id.clone(),
        (None, None) => PrivateStateId::default_state(),
    };
    if opened.is_some_and(|opened| opened.id == wanted) {
        return Ok(wanted);
    }
    match states.iter().find(|state| state.id == wanted) {
        Some(state) if state.token.is_some() => Err(NO_TOKEN),
        Some(_) => Ok(wanted),
        // Without private states there is nothing to see in the default one.
        None if wanted == PrivateStateId::default_state() => Ok(wanted),
        None => Err(UNKNOWN),
    }
}

fn named(headers: &HeaderMap, uri: &Uri) -> Result<Option<PrivateStateId>, Refusal> {
    let header = headers.get(HEADER).map(|value| value.to_str().unwrap_or_default());
    let pairs = uri.query().unwrap_or_default().split('&');
    let query = pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == HEADER);
    match header.or_else(|| query.map(|(_, value)| value)) {
        Some(name) => PrivateStateId::new(name).map(Some).ok_or(UNKNOWN),
        None => Ok(None),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PrivateStateId {
        PrivateStateId::new(name).expect("a name")
    }

    fn states() -> Vec<StateAccess> {
        vec![
            StateAccess { id: id("PS1"), token: None },
            StateAccess { id: id("PS2"), token: Some(keccak256("opens two")) },
        ]
    }

    fn chosen(uri: &str, headers: &[(&'static str, &str)]) -> Result<PrivateStateId, StatusCode> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect();
        choose(&states(), &headers, &uri.parse().expect("uri")).map_err(|(status, _)| status)
    }

    #[test]
    fn a_private_state_is_named_by_header_query_or_token() {
        let bearer = ("authorization", "Bearer opens two");
        let cases: [(&str, &[_], _); 9] = [
            ("/", &[], Ok(PrivateStateId::default_state())),
            ("/?PSI=PS1", &[], Ok(id("PS1"))),
            ("/", &[("psi", "PS1")], Ok(id("PS1"))),
            ("/", &[bearer], Ok(id("PS2"))),
            ("/?PSI=PS2", &[bearer], Ok(id("PS2"))),
            ("/?PSI=PS2", &[], Err(StatusCode::UNAUTHORIZED)),
            ("/?PSI=PS2", &[("authorization", "Bearer other")], Err(StatusCode::UNAUTHORIZED)),
            ("/?PSI=PS3", &[], Err(StatusCode::FORBIDDEN)),
            ("/?PSI=%20", &[], Err(StatusCode::FORBIDDEN)),
        ];
        for (uri, headers, expected) in cases {
            assert_eq!(chosen(uri, headers), expected, "{uri} {headers:?}");
        }
    }
}
