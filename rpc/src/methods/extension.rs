//! `quorumExtension_*`: GoQuorum's methods to extend a private contract to one more party.

use super::{Method, heavy, waits};
use crate::{
    backend::BoxFuture,
    context::Service,
    error::Answer,
    extension::{Outgoing, check_cancel},
    params::Params,
};
use entente_evm::extension as management;
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    heavy("quorumExtension_activeExtensionContracts", 0, |service, params| {
        service.answer(&service.active_extensions(&params.private_state)?)
    }),
    heavy("quorumExtension_getExtensionStatus", 1, |service, params| {
        let record = service.extension(&params.private_state, params.address(0)?)?;
        service.answer(if record.finished { "DONE" } else { "ACTIVE" })
    }),
    waits("quorumExtension_extendContract", 4, extend),
    waits("quorumExtension_approveExtension", 3, approve),
    waits("quorumExtension_cancelExtension", 2, cancel),
    waits("quorumExtension_generateExtensionApprovalUuid", 3, approval_uuid),
];

fn extend(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (contract, key) = (params.address(0)?, params.text(1)?);
        let recipient = params.address(2)?;
        let outgoing = Outgoing::read(&service, &params, 3)?;
        let (outgoing, code) = Arc::clone(&service)
            .run_heavy(move |service| service.begin(outgoing, contract, (&key, recipient)))
            .await?;
        service.answer(&outgoing.send(&service, None, code).await?)
    })
}

/// A vote against ends the request, so it needs no payload that agrees.
fn approve(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (address, accept) = (params.address(0)?, params.json::<bool>(1)?);
        let outgoing = Outgoing::read(&service, &params, 2)?;
        outgoing.check_account(&service)?;
        let voter = outgoing.from;
        let outgoing = Arc::clone(&service)
            .run_heavy(move |service| service.prepare_vote(outgoing, address, voter))
            .await?;
        let uuid = match accept {
            true => outgoing.uuid(&service, address).await?,
            false => String::new(),
        };
        let vote = management::vote(accept, &uuid);
        service.answer(&outgoing.send(&service, Some(address), vote).await?)
    })
}

/// For an account whose key is elsewhere: it calls `doVote` itself, with what is answered.
fn approval_uuid(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (address, signer) = (params.address(0)?, params.address(1)?);
        let outgoing = Outgoing::read(&service, &params, 2)?;
        let outgoing = Arc::clone(&service)
            .run_heavy(move |service| service.prepare_vote(outgoing, address, signer))
            .await?;
        service.answer(&outgoing.uuid(&service, address).await?)
    })
}

fn cancel(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let address = params.address(0)?;
        let mut outgoing = Outgoing::read(&service, &params, 1)?;
        outgoing.check_account(&service)?;
        let outgoing = Arc::clone(&service)
            .run_heavy(move |service| {
                let record = service.extension(&outgoing.state, address)?;
                check_cancel(&record, outgoing.from)?;
                outgoing.parties.extend(service.parties_of(record.creation_data)?);
                Ok(outgoing)
            })
            .await?;
        service.answer(&outgoing.send(&service, Some(address), management::finish()).await?)
    })
}
