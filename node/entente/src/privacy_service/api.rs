//! What each resource answers.

use super::{
    failure::Failure,
    forms::{EncodedForm, ReceivedForm, RequestForm, SentForm, read, texts},
    resource::{ReadQuery, Resource},
};
use crate::private_node::PrivateDesk;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use entente_chain::private::{PayloadHash, PrivateStateId, RecipientKey};
use entente_privacy::{Privacy, PrivacyError, SendReceipt};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

/// Versions of the interface that GoQuorum may choose from.
const API_VERSIONS: [&str; 5] = ["1.0", "2.0", "2.1", "3.0", "4.0"];
/// Media types of JSON that Tessera's clients send and want.
const JSON_TYPES: [&str; 3] =
    ["application/vnd.tessera-4.0+json", "application/vnd.tessera-2.1+json", "application/json"];
const OCTETS: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// A whole answer.
pub(super) type Reply = http::Response<Full<Bytes>>;

/// A whole request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Its place among the requests under way; work that outlives the client holds it too.
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

/// Who answers.
pub(super) struct Api {
    pub(super) desk: Arc<PrivateDesk>,
    /// Names of the resident groups beside the default one.
    pub(super) groups: Vec<PrivateStateId>,
}

impl Api {
    /// Answers a request.
    pub(super) async fn answer(&self, call: Call, third_party: bool) -> Reply {
        let answered = match Resource::of(&call.path, third_party) {
            Ok(resource) => self.answer_for(resource, call).await,
            Err(failure) => Err(failure),
        };
        answered.unwrap_or_else(|failure| refusal(&failure))
    }

    async fn answer_for(&self, resource: Resource, call: Call) -> Result<Reply, Failure> {
        let method = call.method.clone();
        match (&method, resource) {
            (&Method::GET, Resource::Upcheck) => Ok(text("I'm up!")),
            (&Method::GET, Resource::Version) => Ok(text(env!("CARGO_PKG_VERSION"))),
            (&Method::GET, Resource::ApiVersions) => Ok(json(&call.headers, &API_VERSIONS)),
            (&Method::GET, Resource::Keys) => Ok(self.keys(&call, false)),
            (&Method::GET, Resource::PartyKeys) => Ok(self.keys(&call, true)),
            (&Method::GET, Resource::ResidentGroups) => Ok(self.resident_groups(&call)),
            (&Method::GET, Resource::NoGroups) => Ok(json(&call.headers, &json!([]))),
            (&Method::GET, Resource::Transaction(hash)) => self.transaction(hash, call).await,
            (&Method::GET, Resource::IsSender(hash)) => {
                let is_sender = move |privacy: &Privacy| privacy.is_sender(hash);
                Ok(text(&self.ask(&call, is_sender).await?.to_string()))
            }
            (&Method::GET, Resource::Participants(hash)) => {
                let parties = move |privacy: &Privacy| privacy.participants(hash);
                Ok(text(&texts(&self.ask(&call, parties).await?).join(",")))
            }
            (&Method::GET, Resource::Mandatory(hash)) => {
                let mandatory = move |privacy: &Privacy| privacy.mandatory(hash);
                Ok(text(&texts(&self.ask(&call, mandatory).await?).join(",")))
            }
            (&Method::DELETE, Resource::Transaction(hash)) => self.delete(hash, &call).await,
            (&Method::POST, Resource::Send) => self.send(call).await,
            (&Method::POST, Resource::StoreRaw) => self.store_raw(call).await,
            (&Method::POST, Resource::SendSigned) => self.send_signed(call).await,
            (&Method::POST, Resource::Create) => self.create(call).await,
            (&Method::POST, Resource::Decrypt) => self.decrypt(call).await,
            _ => {
                let text = format!("{method} is not a method of this resource");
                Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, text))
            }
        }
    }

    /// Asks on a thread that may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        call: &Call,
        question: impl FnOnce(&Privacy) -> Result<T, PrivacyError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (desk, permit) = (Arc::clone(&self.desk), Arc::clone(&call.permit));
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&desk.privacy);
            drop(permit);
            answer
        });
        let stopping = |_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "stopping");
        Ok(asked.await.map_err(stopping)??)
    }

    async fn send(&self, call: Call) -> Result<Reply, Failure> {
        let request = body(&call)?.send()?;
        let to = request.recipients.clone();
        let permit = Arc::clone(&call.permit);
        let begin = move |privacy: &Privacy, now| {
            let begun = privacy.send(now, &request);
            drop(permit);
            begun
        };
        let receipt = Arc::clone(&self.desk).deliver(begin).await;
        let receipt = receipt.map_err(|error| Failure::not_sent(error, &to))?;
        Ok(sent(&call.headers, &receipt))
    }

    async fn store_raw(&self, call: Call) -> Result<Reply, Failure> {
        let (plain, sender) = body(&call)?.store_raw()?;
        let hash = self.ask(&call, move |privacy| privacy.store_raw(&plain, sender)).await?;
        Ok(json(&call.headers, &json!({ "key": hash.to_string() })))
    }

    /// In JSON, or in the form from before API 2.0: the hash as it is, the recipients in a header.
    async fn send_signed(&self, call: Call) -> Result<Reply, Failure> {
        let is_legacy = content_type(&call.headers) == Some(OCTETS);
        let (hash, recipients, terms) = match is_legacy {
            true => {
                let hash = PayloadHash::from_data(&call.body);
                let hash = hash.ok_or_else(|| Failure::field("body", "64 bytes are expected"))?;
                let form = RequestForm::of_hash(hash, recipients(&call.headers)?);
                form.send_signed()?
            }
            false => body(&call)?.send_signed()?,
        };
        let (permit, to) = (Arc::clone(&call.permit), recipients.clone());
        let begin = move |privacy: &Privacy, now| {
            let begun = privacy.send_raw(now, hash, &recipients, &terms);
            drop(permit);
            begun
        };
        let receipt = Arc::clone(&self.desk).deliver(begin).await;
        let receipt = receipt.map_err(|error| Failure::not_sent(error, &to))?;
        match is_legacy {
            true => legacy_sent(&receipt),
            false => Ok(sent(&call.headers, &receipt)),
        }
    }

    async fn transaction(&self, hash: PayloadHash, call: Call) -> Result<Reply, Failure> {
        let query = ReadQuery::of(call.query.as_deref())?;
        let form = self.ask(&call, move |privacy| {
            let (form, managed) = match query.is_raw {
                true => {
                    let payload = privacy.receive_raw(hash)?;
                    (ReceivedForm::of(&payload), payload.managed)
                }
                false => {
                    let payload = privacy.receive(hash)?;
                    (ReceivedForm::of(&payload), payload.managed.clone())
                }
            };
            match query.to.is_none_or(|key| managed.contains(&key)) {
                true => Ok(form),
                false => Err(PrivacyError::Unknown(hash)),
            }
        });
        Ok(json(&call.headers, &form.await?))
    }

    async fn delete(&self, hash: PayloadHash, call: &Call) -> Result<Reply, Failure> {
        match self.ask(call, move |privacy| privacy.delete(hash)).await? {
            true => Ok(reply(StatusCode::NO_CONTENT, None, Bytes::new())),
            false => Err(Failure::not_found(hash)),
        }
    }

    async fn create(&self, call: Call) -> Result<Reply, Failure> {
        let request = body(&call)?.send()?;
        let to = request.recipients.clone();
        let sealed = self.ask(&call, move |privacy| Ok(privacy.seal_encoded(&request))).await?;
        let sealed = sealed.map_err(|error| Failure::not_sent(error.into(), &to))?;
        Ok(json(&call.headers, &EncodedForm::of(&sealed)))
    }

    async fn decrypt(&self, call: Call) -> Result<Reply, Failure> {
        json_body(&call.headers)?;
        let (bytes, sender) = read::<EncodedForm>(&call.body)?.read()?;
        let opened = self.ask(&call, move |privacy| match privacy.open_encoded(&bytes) {
            // What a client brings and does not open is no fault of ours.
            Err(PrivacyError::Open { .. }) => Ok(None),
            opened => opened.map(Some),
        });
        let opened = opened.await?.filter(|opened| opened.sender == sender);
        let opened = opened.ok_or_else(|| Failure::field("cipherText", "authentication failed"))?;
        Ok(json(&call.headers, &ReceivedForm::of(&opened)))
    }

    /// Our keys, the one that sends by default first; or those of others too.
    fn keys(&self, call: &Call, of_others: bool) -> Reply {
        let privacy = &self.desk.privacy;
        let first = privacy.default_sender();
        let mut keys = privacy.keys();
        keys.sort_by_key(|key| (Some(*key) != first, *key));
        if of_others {
            keys.extend(privacy.directory().into_iter().flat_map(|(_, keys)| keys));
        }
        let keys: Vec<_> = keys.iter().map(|key| json!({ "key": key.to_string() })).collect();
        json(&call.headers, &json!({ "keys": keys }))
    }

    /// A node with several private states takes its states from these, and decodes their ids.
    fn resident_groups(&self, call: &Call) -> Reply {
        let mut members: BTreeMap<PrivateStateId, Vec<RecipientKey>> =
            self.groups.iter().map(|id| (id.clone(), Vec::new())).collect();
        members.entry(PrivateStateId::default_state()).or_default();
        for key in self.desk.privacy.keys() {
            members.entry(self.desk.residents.state_of(key)).or_default().push(key);
        }
        let group = |(id, keys): (&PrivateStateId, &Vec<RecipientKey>)| {
            json!({
                "privacyGroupId": STANDARD.encode(id.as_str()),
                "name": id.as_str(),
                "description": "",
                "type": "RESIDENT",
                "members": texts(keys),
            })
        };
        json(&call.headers, &members.iter().map(group).collect::<Vec<_>>())
    }
}

fn body(call: &Call) -> Result<RequestForm, Failure> {
    json_body(&call.headers)?;
    read(&call.body)
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(value.split(';').next().unwrap_or_default().trim())
}

fn json_body(headers: &HeaderMap) -> Result<(), Failure> {
    match content_type(headers) {
        Some(given) if !JSON_TYPES.contains(&given) => {
            let expected = JSON_TYPES.join(", ");
            let text = format!("Content-Type: `{given}`, one of {expected} is expected");
            Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
        _ => Ok(()),
    }
}

/// `c11n-to`: keys with commas between them.
fn recipients(headers: &HeaderMap) -> Result<Vec<String>, Failure> {
    let Some(value) = headers.get("c11n-to") else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|cause| Failure::field("c11n-to", cause))?;
    let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
    Ok(keys.map(ToOwned::to_owned).collect())
}

fn sent(headers: &HeaderMap, receipt: &SendReceipt) -> Reply {
    let mut reply = json(headers, &SentForm::of(receipt));
    *reply.status_mut() = StatusCode::CREATED;
    let hash = receipt.hash.to_string().replace('/', "%2F").replace('+', "%2B");
    if let Ok(location) = format!("transaction/{}", hash.replace('=', "%3D")).parse() {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    reply
}

/// GoQuorum wants 200 here, and one header for each of our parties.
fn legacy_sent(receipt: &SendReceipt) -> Result<Reply, Failure> {
    let form = SentForm::of(receipt);
    let mut reply = text(&form.key);
    let value = |text: &str| {
        let broken = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "not a header");
        http::HeaderValue::from_str(text).map_err(broken)
    };
    reply.headers_mut().insert("tesserasender", value(&form.sender_key)?);
    for party in &form.managed_parties {
        reply.headers_mut().append("tesseramanagedparties", value(party)?);
    }
    Ok(reply)
}

/// In the media type that the client wants, when it is one of ours.
fn json(headers: &HeaderMap, value: &(impl Serialize + ?Sized)) -> Reply {
    let wanted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wanted = wanted.unwrap_or_default();
    let kind = JSON_TYPES.into_iter().find(|kind| wanted.contains(kind));
    match serde_json::to_vec(value) {
        Ok(body) => reply(StatusCode::OK, Some(kind.unwrap_or("application/json")), body.into()),
        Err(error) => refusal(&Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn text(text: &str) -> Reply {
    reply(StatusCode::OK, Some(TEXT), Bytes::copy_from_slice(text.as_bytes()))
}

/// The answer to a request that is refused.
pub(super) fn refusal(failure: &Failure) -> Reply {
    tracing::debug!(status = failure.status.as_u16(), text = failure.text, "request refused");
    reply(failure.status, Some(TEXT), Bytes::copy_from_slice(failure.text.as_bytes()))
}

fn reply(status: StatusCode, kind: Option<&'static str>, body: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = status;
    if let Some(kind) = kind {
        let kind = http::HeaderValue::from_static(kind);
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    reply
}
