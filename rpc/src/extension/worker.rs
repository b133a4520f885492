//! What the initiator's node owes a request: its own vote, the state once all have accepted, and
//! the end once the state that was shared is known to be right. All of it is read from the chain
//! again after a restart.

use super::{ExtensionRecord, Outgoing, checks::SHARES_MAX};
use crate::{NewHead, context::Service, error::RpcError};
use alloy_primitives::Address;
use entente_chain::private::{PrivateStateId, RecipientKey};
use entente_evm::extension::{self as management, ExtensionEvent};
use jsonrpsee::server::StopHandle;
use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep},
};

/// Time after which a step that did not succeed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Time that a transaction has to be committed before the step is done once more.
const COMMIT_TIME: Duration = Duration::from_secs(60);

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Vote,
    /// Share the state, for the time after this many.
    Share(usize),
    Finish,
}

/// The next step of a request of ours; `is_current`: the shared state was right.
fn next_step(record: &ExtensionRecord, is_current: bool) -> Option<Step> {
    if record.finished {
        return None;
    }
    if !record.votes.contains_key(&record.initiator) {
        return Some(Step::Vote);
    }
    if !record.is_accepted() {
        return None;
    }
    match record.shares {
        0 => Some(Step::Share(0)),
        _ if is_current => Some(Step::Finish),
        shares => (shares < SHARES_MAX).then_some(Step::Share(shares)),
    }
}

/// A request of this node, and the key that began it.
struct Own {
    record: ExtensionRecord,
    key: RecipientKey,
    step: Step,
}

type Steps = BTreeMap<(PrivateStateId, Address), (Step, Instant)>;

/// Works until the server stops.
pub(crate) async fn run(
    service: Arc<Service>,
    mut heads: Receiver<Arc<NewHead>>,
    stopped: StopHandle,
) {
    let work = async {
        let mut sent = Steps::new();
        loop {
            let retry = work(&service, &mut sent).await.then_some(RETRY);
            if !wake(&mut heads, |head| concerns(head), retry).await {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopped.shutdown() => {}
    }
}

/// Waits for a block that says something about a request, and at most for the time after which a
/// step is tried again; false once no more blocks come.
async fn wake<H: Clone>(
    heads: &mut Receiver<H>,
    concerns: impl Fn(&H) -> bool,
    retry: Option<Duration>,
) -> bool {
    // One deadline for all blocks: a wait that began anew with each of them would never end.
    let retried = async {
        match retry {
            Some(retry) => sleep(retry).await,
            None => pending().await,
        }
    };
    tokio::pin!(retried);
    loop {
        tokio::select! {
            head = heads.recv() => match head {
                Ok(head) if !concerns(&head) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            },
            () = &mut retried => return true,
        }
    }
}

/// Whether a block says anything about a request.
fn concerns(head: &NewHead) -> bool {
    let receipts = head.private.iter().flat_map(|(_, receipts)| receipts);
    let mut logs = receipts.flat_map(|receipt| &receipt.logs);
    head.removed || logs.any(|log| ExtensionEvent::read(&log.data).is_some())
}

/// Does what is to be done; whether anything is under way that may have to be done again.
async fn work(service: &Arc<Service>, sent: &mut Steps) -> bool {
    let found = Arc::clone(service).run_heavy(own_requests).await;
    let requests = match found {
        Ok(requests) => requests,
        Err(cause) => {
            tracing::warn!(%cause, "requests to extend contracts cannot be read");
            return true;
        }
    };
    sent.retain(|(state, management), _| {
        requests
            .iter()
            .any(|(of, own)| of == state && own.record.management_contract_address == *management)
    });
    for (state, own) in &requests {
        let place = (state.clone(), own.record.management_contract_address);
        let is_sent =
            |(step, at): &(Step, Instant)| *step == own.step && at.elapsed() < COMMIT_TIME;
        if sent.get(&place).is_some_and(is_sent) {
            continue;
        }
        let (step, contract) = (own.step, own.record.contract_extended);
        match perform(service, state, own).await {
            Ok(()) => drop(sent.insert(place, (step, Instant::now()))),
            Err(cause) => {
                tracing::warn!(%contract, ?step, %cause, "extension of a contract has to wait");
            }
        }
    }
    !requests.is_empty()
}

/// Requests of accounts and keys of this node that have a next step.
fn own_requests(service: &Service) -> Result<Vec<(PrivateStateId, Own)>, RpcError> {
    let private = service.private()?;
    let mut own = Vec::new();
    for state in private.states.ids() {
        for record in service.active_extensions(&state)? {
            if service.context.accounts.signer(record.initiator).is_none() {
                continue;
            }
            let creation = private.backend.payload(record.creation_data);
            let creation = creation.map_err(crate::private_sending::refused)?;
            let Some(key) = creation.map(|creation| creation.sender) else { continue };
            if !private.backend.keys().contains(&key) || private.backend.state_of(key) != state {
                continue;
            }
            // A past state may be gone; then it is shared again.
            let is_current = service.is_current(&state, &record).unwrap_or(false);
            if record.shares >= SHARES_MAX && !is_current {
                tracing::error!(
                    contract = %record.contract_extended,
                    management = %record.management_contract_address,
                    "contract changes in every block, its extension is given up: cancel it, and \
                     try again when it is quiet"
                );
            }
            if let Some(step) = next_step(&record, is_current) {
                own.push((state.clone(), Own { record, key, step }));
            }
        }
    }
    Ok(own)
}

async fn perform(
    service: &Arc<Service>,
    state: &PrivateStateId,
    own: &Own,
) -> Result<(), RpcError> {
    let Own { record, key, step } = own;
    let to = Some(record.management_contract_address);
    let parties = service.parties_of(record.creation_data)?;
    let mut outgoing = Outgoing::new(record.initiator, state.clone(), *key, parties);
    let data = match step {
        Step::Vote => {
            let uuid = outgoing.uuid(service, record.management_contract_address).await?;
            management::vote(true, &uuid)
        }
        Step::Share(_) => {
            let (state, record) = (state.clone(), record.clone());
            let shared = Arc::clone(service)
                .run_heavy(move |service| service.state_to_share(&state, &record))
                .await?;
            outgoing.parties.extend(shared.parties);
            let hash = outgoing.distribute(service, shared.plain, shared.terms).await?;
            management::share(&hash.to_string())
        }
        Step::Finish => management::finish(),
    };
    outgoing.send(service, to, data).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::record::record, *};
    use tokio::sync::broadcast;

    /// With blocks closer together than [`RETRY`] a step that had failed was never tried again.
    #[tokio::test]
    async fn blocks_that_concern_nobody_do_not_put_a_retry_off() {
        let (blocks, mut heads) = broadcast::channel(8);
        let chain = async move {
            for number in 0..2_000 {
                // Nobody listens any more once the retry is due.
                let _ = blocks.send(number);
                sleep(Duration::from_millis(5)).await;
            }
        };
        let retry = Duration::from_millis(50);
        let woken = tokio::select! {
            () = chain => false,
            woken = wake(&mut heads, |_: &i32| false, Some(retry)) => woken,
        };
        assert!(woken, "the retry never came");
    }

    #[tokio::test]
    async fn a_block_that_concerns_a_request_wakes_and_the_end_of_blocks_ends_it() {
        let (blocks, mut heads) = broadcast::channel(8);
        for number in [1, 2] {
            blocks.send(number).expect("a listener");
        }
        assert!(wake(&mut heads, |number| *number == 2, None).await);
        drop(blocks);
        assert!(!wake(&mut heads, |_| true, None).await);
    }

    #[test]
    fn each_step_follows_from_what_the_chain_says() {
        let mut record = record();
        let (initiator, recipient) = (record.initiator, record.recipient);
        assert_eq!(next_step(&record, false), Some(Step::Vote));
        record.votes.insert(recipient, true);
        assert_eq!(next_step(&record, false), Some(Step::Vote));
        record.votes.insert(initiator, true);
        assert_eq!(next_step(&record, false), Some(Step::Share(0)));
        record.shares = 1;
        assert_eq!(next_step(&record, false), Some(Step::Share(1)));
        assert_eq!(next_step(&record, true), Some(Step::Finish));
        record.finished = true;
        assert_eq!(next_step(&record, true), None);
    }

    #[test]
    fn nothing_is_shared_before_all_have_accepted() {
        let mut record = record();
        record.votes.insert(record.initiator, true);
        assert_eq!(next_step(&record, false), None);
        record.votes.insert(record.recipient, false);
        assert_eq!(next_step(&record, false), None);
    }

    #[test]
    fn a_contract_that_always_changes_is_given_up() {
        let mut record = record();
        record.votes = [(record.initiator, true), (record.recipient, true)].into();
        record.shares = SHARES_MAX;
        assert_eq!(next_step(&record, false), None);
        assert_eq!(next_step(&record, true), Some(Step::Finish));
    }
}
