//! `cargo bench -p entente-bench`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark that cannot run says so"
)]

use alloy_primitives::{Address, B256, U256};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use entente_bench::{genesis, signer, transfer, transfers};
use entente_chain::{RecoveredTransaction, StateChanges, transaction};
use entente_consensus::{BuildAttributes, rules};
use entente_evm::{BuildRequest, Executor, Room, SkipReason, TransactionSource};
use entente_storage::{Database, StorageOptions};
use std::{sync::Arc, time::Duration};

fn recover(criterion: &mut Criterion) {
    let signed = transfer(&signer(0), 0, Address::repeat_byte(9));
    criterion.bench_function("senders::recover/transactions=1", |bencher| {
        bencher.iter(|| transaction::recover_sender(&signed, transaction::Signing::Ethereum));
    });
}

fn seal(criterion: &mut Criterion) {
    let signer = signer(0);
    criterion.bench_function("seal::sign/seals=1", |bencher| {
        bencher.iter(|| signer.sign(B256::repeat_byte(7)));
    });
}

struct Source(std::vec::IntoIter<Arc<RecoveredTransaction>>);

impl TransactionSource for Source {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.next()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        panic!("{hash} was skipped: {reason}");
    }
}

/// A block of transfers: execution alone, then the state root on a trie of many accounts.
fn block(criterion: &mut Criterion) {
    const COUNT: u32 = 1000;
    let folder = tempfile::tempdir().expect("folder");
    let options = StorageOptions { sync: false, ..StorageOptions::default() };
    let database = Database::open(folder.path(), &options).expect("database");
    let (genesis, json) = genesis(COUNT, 100_000);
    database.initialise(&genesis, json.as_bytes()).expect("genesis");
    let spec = Arc::new(genesis.spec.clone());
    let executor = Executor::new(Arc::clone(&spec));
    let parent = genesis.header;
    let attributes = BuildAttributes {
        parent: parent.hash(),
        number: 1,
        timestamp: parent.timestamp + 1,
        beneficiary: Address::repeat_byte(1),
        extra_data: parent.extra_data.clone(),
        nonce: 0,
        difficulty: U256::ONE,
        time_limit: Duration::from_secs(60),
    };
    let template = rules::next_header(&spec, &parent, &attributes);
    let transactions = transfers(COUNT);
    let state = database.states().at(0).expect("state");
    let build = || {
        let request = BuildRequest {
            template: template.clone(),
            parent: &parent,
            author: attributes.beneficiary,
            time_limit: attributes.time_limit,
        };
        let mut source = Source(transactions.clone().into_iter());
        executor.build(request, &state, &mut source).expect("built")
    };
    let mut group = criterion.benchmark_group("block");
    group.throughput(Throughput::Elements(COUNT.into()));
    group.sample_size(20);
    group.bench_function("execute/transfers=1000", |bencher| bencher.iter(build));
    let changes: Arc<StateChanges> = Arc::new(build().executed.changes);
    let trie = database.states().trie_at_head().expect("trie");
    group.bench_function("root/changed=2000,accounts=100000", |bencher| {
        bencher.iter_batched(
            || Arc::clone(&changes),
            |changes| database.states().root_after(&trie, changes).expect("root").root(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, recover, seal, block);
criterion_main!(benches);
