//! A running server and everything around it.

use crate::{
    backend::TestBackend,
    chain::{TestChain, Wallet},
    client::{post, request},
};
use alloy_primitives::Address;
use entente_chain::RecoveredTransaction;
use entente_rpc::{Context, Events, Namespace, NewHead, RpcConfig, RpcServer};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};

pub(crate) struct World {
    pub(crate) chain: TestChain,
    pub(crate) rich: Wallet,
    pub(crate) contract: Address,
    pub(crate) backend: Arc<TestBackend>,
    pub(crate) events: Events,
    pub(crate) address: SocketAddr,
    pub(crate) server: RpcServer,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut RpcConfig)) -> Self {
        let rich = Wallet::new(7);
        let mut chain = TestChain::new(&rich);
        let contract = chain.grow(&rich);
        Self::over(chain, rich, contract, change).await
    }

    pub(crate) async fn over(
        chain: TestChain,
        rich: Wallet,
        contract: Address,
        change: impl FnOnce(&mut RpcConfig),
    ) -> Self {
        let mut config = RpcConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            namespaces: Namespace::ALL.to_vec(),
            ..RpcConfig::default()
        };
        change(&mut config);
        let backend = Arc::new(TestBackend::new(chain.validator));
        let events = Events::new(64, 64);
        let context = Context {
            spec: Arc::clone(&chain.spec),
            reader: chain.reader.clone(),
            states: chain.states.clone(),
            executor: chain.executor.clone(),
            senders: Arc::clone(&chain.senders),
            backend: Arc::clone(&backend) as _,
            accounts: Arc::default(),
            private: None,
            events: events.clone(),
        };
        let server = RpcServer::start(config, context).await.expect("server");
        let address = server.local_addr();
        Self { chain, rich, contract, backend, events, address, server }
    }

    /// Commits a block and tells it to the subscribers.
    pub(crate) fn commit(&mut self, transactions: Vec<Arc<RecoveredTransaction>>) {
        let (block, receipts) = self.chain.extend(transactions);
        let head =
            NewHead { block, receipts: Arc::new(receipts), private: Vec::new(), removed: false };
        // Nobody may be listening.
        drop(self.events.heads.send(Arc::new(head)));
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        post(self.address, &request(method, &params)).await
    }

    /// The result of a call that must have one.
    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Code and text of a call that must fail.
    pub(crate) async fn error(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.ask(method, params).await;
        let code = answer["error"]["code"].as_i64();
        let text = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
        (code.unwrap_or_else(|| panic!("{method}: {answer}")), text)
    }
}
