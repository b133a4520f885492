//! `eth_subscribe`: new heads, logs, pending transactions, over WebSocket.
//!
//! A subscription reads from the shared ring of events; whoever falls behind the ring or does not
//! read its socket loses the subscription with a notice, and nothing piles up for it.

use crate::{
    Context, NewHead,
    context::Service,
    error::RpcError,
    log_query::LogFilter,
    methods::chosen_state,
    params::Params,
    types::{HeaderView, LogView, TransactionView},
};
use entente_chain::{RecoveredTransaction, private::PrivateStateId};
use jsonrpsee::{
    RpcModule,
    core::{server::SubscriptionCloseResponse, traits::IdProvider},
    server::{PendingSubscriptionSink, RegisterMethodError, SubscriptionSink},
    types::SubscriptionId,
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// geth's form of subscription ids.
#[derive(Debug)]
pub(crate) struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        // Every RandomState has keys of its own, drawn from the system's randomness.
        let (high, low) = (RandomState::new().hash_one(0), RandomState::new().hash_one(1));
        format!("0x{:x}", u128::from(high) << 64 | u128::from(low)).into()
    }
}

/// Adds `eth_subscribe` and `eth_unsubscribe`.
pub(crate) fn register(module: &mut RpcModule<Service>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, service, caller| {
            let wanted = Wanted::parse(params.as_str(), &service, chosen_state(&caller));
            serve(wanted, pending, service)
        },
    )?;
    Ok(())
}

/// What a client subscribed to.
enum Wanted {
    Heads,
    Logs(Box<LogFilter>),
    Pending {
        whole: bool,
    },
    /// A committed head is all there is to say about syncing while the node serves requests.
    Syncing,
}

impl Wanted {
    fn parse(
        raw: Option<&str>,
        service: &Service,
        private_state: PrivateStateId,
    ) -> Result<Self, RpcError> {
        let params = Params::parse(raw)?;
        params.at_most(2)?;
        match params.text(0)?.as_str() {
            "newHeads" => Ok(Self::Heads),
            "newPendingTransactions" => Ok(Self::Pending { whole: params.boolean(1)? }),
            "syncing" => Ok(Self::Syncing),
            "logs" => {
                let filter =
                    params.optional(1)?.unwrap_or_else(|| Value::Object(Default::default()));
                let filter = LogFilter::parse(&filter, &service.limits, 1, private_state)?;
                Ok(Self::Logs(Box::new(filter)))
            }
            other => {
                let other: String = other.chars().take(64).collect();
                Err(RpcError::InvalidParams(format!(
                    "no \"{other}\" subscription in eth namespace"
                )))
            }
        }
    }
}

async fn serve(
    wanted: Result<Wanted, RpcError>,
    pending: PendingSubscriptionSink,
    service: Arc<Service>,
) -> SubscriptionCloseResponse {
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => {
            pending.reject(error).await;
            return SubscriptionCloseResponse::None;
        }
    };
    // Listens before the client hears that it is subscribed, so that it misses nothing after.
    let Context { events, reader, .. } = &service.context;
    let (heads, transactions) = (events.heads.subscribe(), events.pending.subscribe());
    let reader = reader.clone();
    let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
    let feed = Feed { sink, service };
    let ended = match wanted {
        Wanted::Heads => {
            drop(transactions);
            feed.run(heads, move |head: &NewHead, out| {
                if head.removed {
                    return Ok(());
                }
                let header = &head.block.header;
                let total = reader.total_difficulty(header).ok().flatten();
                out.push(&HeaderView::new(header, total))
            })
            .await
        }
        Wanted::Logs(filter) => {
            drop(transactions);
            feed.run(heads, move |head: &NewHead, out| {
                let private = head.private_of(&filter.private_state);
                let mut logs = filter.criteria.select(&head.block, &head.receipts, private);
                if head.removed {
                    logs.iter_mut().for_each(LogView::remove);
                }
                logs.iter().try_for_each(|log| out.push(log))
            })
            .await
        }
        Wanted::Pending { whole } => {
            drop(heads);
            feed.run(transactions, move |transaction: &RecoveredTransaction, out| match whole {
                true => out.push(&TransactionView::waiting(transaction)),
                false => out.push(&transaction.hash()),
            })
            .await
        }
        Wanted::Syncing => {
            drop((heads, transactions));
            feed.sink.closed().await;
            Ended::Quietly
        }
    };
    match ended {
        Ended::Quietly => SubscriptionCloseResponse::None,
        Ended::Because(reason) => SubscriptionCloseResponse::NotifErr(reason.to_owned().into()),
    }
}

enum Ended {
    Quietly,
    Because(&'static str),
}

/// Messages of one event.
#[derive(Default)]
struct Messages(Vec<Box<RawValue>>);

impl Messages {
    fn push<T: Serialize>(&mut self, message: &T) -> Result<(), serde_json::Error> {
        self.0.push(serde_json::value::to_raw_value(message)?);
        Ok(())
    }
}

struct Feed {
    sink: SubscriptionSink,
    service: Arc<Service>,
}

impl Feed {
    async fn run<E>(
        &self,
        mut events: Receiver<Arc<E>>,
        write: impl Fn(&E, &mut Messages) -> Result<(), serde_json::Error>,
    ) -> Ended
    where
        E: Send + Sync,
    {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = self.sink.closed() => return Ended::Quietly,
            };
            let event = match event {
                Ok(event) => event,
                Err(RecvError::Closed) => return Ended::Because("the node is shutting down"),
                Err(RecvError::Lagged(_)) => {
                    return Ended::Because("subscription closed: the client reads too slowly");
                }
            };
            let mut messages = Messages::default();
            if let Err(cause) = write(&event, &mut messages) {
                tracing::error!(%cause, "a notification could not be written");
                return Ended::Because("internal error");
            }
            for message in messages.0 {
                let time = self.service.limits.subscriber_time;
                if self.sink.send_timeout(message, time).await.is_err() {
                    // Gone, or its socket took nothing for too long.
                    return Ended::Quietly;
                }
            }
        }
    }
}
