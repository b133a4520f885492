//! How blocks, transactions, receipts and logs look in JSON. Borrowed where they can be, so that a
//! block of thousands of transactions is written without copying it.
//!
//! Field names are geth's; blocks keep `totalDifficulty`, which GoQuorum's clients read.

use alloy_consensus::{Header, Transaction as _, TxReceipt as _};
use alloy_eips::eip4844::fake_exponential;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U64, U128, U256, logs_bloom};
use alloy_rlp::Encodable as _;
use entente_chain::{
    BlockNumber, ChainSpec, Receipt, RecoveredBlock, RecoveredTransaction, SealedHeader,
    TransactionEnvelope, private::PrivateReceipt, transaction::has_private_signature,
};
use entente_evm::PRIVACY_MARKER_ADDRESS;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeSeq as _},
};

/// A header.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeaderView<'a> {
    hash: B256,
    #[serde(flatten)]
    header: &'a Header,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_difficulty: Option<U256>,
}

impl<'a> HeaderView<'a> {
    pub(crate) fn new(header: &'a SealedHeader, total_difficulty: Option<U256>) -> Self {
        Self { hash: header.hash(), header: header.header(), total_difficulty }
    }
}

/// A block with whole transactions or their hashes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockView<'a> {
    #[serde(flatten)]
    header: HeaderView<'a>,
    size: U64,
    transactions: TransactionsView<'a>,
    uncles: Vec<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals: Option<&'a Withdrawals>,
}

impl<'a> BlockView<'a> {
    pub(crate) fn new(
        block: &'a RecoveredBlock,
        total_difficulty: Option<U256>,
        whole: bool,
    ) -> Self {
        Self {
            header: HeaderView::new(&block.header, total_difficulty),
            size: U64::from(block.length()),
            transactions: TransactionsView { block, whole },
            uncles: block.body.ommers.iter().map(Header::hash_slow).collect(),
            withdrawals: block.body.withdrawals.as_ref(),
        }
    }
}

struct TransactionsView<'a> {
    block: &'a RecoveredBlock,
    whole: bool,
}

impl Serialize for TransactionsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let transactions = self.block.transactions();
        let mut list = serializer.serialize_seq(Some(transactions.len()))?;
        for (index, transaction) in transactions.iter().enumerate() {
            if self.whole {
                let view = TransactionView::included(transaction, &self.block.header, index);
                list.serialize_element(&view)?;
            } else {
                list.serialize_element(&transaction.hash())?;
            }
        }
        list.end()
    }
}

/// A transaction, in a block or waiting.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionView<'a> {
    block_hash: Option<B256>,
    block_number: Option<U64>,
    from: Address,
    /// What is paid, or would be at most while it waits. Legacy forms bring their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    gas_price: Option<U128>,
    transaction_index: Option<U64>,
    #[serde(flatten)]
    envelope: EnvelopeView<'a>,
}

/// A signed transaction. A private one has the v of chain 1 (37 or 38), which says nothing about its
/// chain, so none is named.
struct EnvelopeView<'a>(&'a TransactionEnvelope);

impl Serialize for EnvelopeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !has_private_signature(self.0) {
            return self.0.serialize(serializer);
        }
        let mut fields = serde_json::to_value(self.0).map_err(S::Error::custom)?;
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("chainId");
        }
        fields.serialize(serializer)
    }
}

impl<'a> TransactionView<'a> {
    pub(crate) fn included(
        transaction: &'a RecoveredTransaction,
        header: &SealedHeader,
        index: usize,
    ) -> Self {
        let price = transaction.effective_gas_price(header.base_fee_per_gas);
        Self {
            block_hash: Some(header.hash()),
            block_number: Some(U64::from(header.number)),
            from: transaction.sender(),
            gas_price: transaction.is_dynamic_fee().then(|| U128::from(price)),
            transaction_index: Some(U64::from(index)),
            envelope: EnvelopeView(transaction.envelope()),
        }
    }

    pub(crate) fn waiting(transaction: &'a RecoveredTransaction) -> Self {
        let price = transaction.max_fee_per_gas();
        Self {
            block_hash: None,
            block_number: None,
            from: transaction.sender(),
            gas_price: transaction.is_dynamic_fee().then(|| U128::from(price)),
            transaction_index: None,
            envelope: EnvelopeView(transaction.envelope()),
        }
    }
}

/// A log in a block.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogView {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: U64,
    transaction_hash: B256,
    transaction_index: U64,
    block_hash: B256,
    block_timestamp: U64,
    log_index: U64,
    /// Whether its block is canonical no more; only chains that fork have such.
    removed: bool,
}

impl LogView {
    /// Marks the log as one of a block that was left.
    pub(crate) fn remove(&mut self) {
        self.removed = true;
    }
}

/// The receipt of a transaction.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptView {
    block_hash: B256,
    block_number: U64,
    contract_address: Option<Address>,
    cumulative_gas_used: U64,
    effective_gas_price: U128,
    from: Address,
    gas_used: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_price: Option<U128>,
    /// GoQuorum's field: its clients expect it on its networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_privacy_marker_transaction: Option<bool>,
    logs: Vec<LogView>,
    logs_bloom: Bloom,
    /// What a private transaction returned when it reverted.
    #[serde(skip_serializing_if = "Option::is_none")]
    revert_reason: Option<Bytes>,
    status: U64,
    to: Option<Address>,
    transaction_hash: B256,
    transaction_index: U64,
    #[serde(rename = "type")]
    kind: U64,
}

/// A receipt together with where it stands in its block.
pub(crate) struct PlacedReceipt<'a> {
    pub(crate) block: &'a RecoveredBlock,
    pub(crate) transaction: &'a RecoveredTransaction,
    pub(crate) receipt: &'a Receipt,
    pub(crate) index: usize,
    /// Cumulative gas of the transactions before it.
    gas_before: u64,
    /// Logs of the transactions before it.
    logs_before: usize,
    /// What it did in the caller's private state.
    private: Option<&'a PrivateReceipt>,
    /// Private logs of the transactions before it: GoQuorum counts them for themselves.
    private_logs_before: usize,
}

/// The receipts of a block in order, with what its private transactions did in one private state.
pub(crate) fn place_receipts<'a>(
    block: &'a RecoveredBlock,
    receipts: &'a [Receipt],
    private: &'a [PrivateReceipt],
) -> impl Iterator<Item = PlacedReceipt<'a>> {
    let (mut gas_before, mut logs_before, mut private_logs_before) = (0, 0, 0);
    let mut rest = private.iter().peekable();
    block.transactions().iter().zip(receipts).enumerate().map(
        move |(index, (transaction, receipt))| {
            let private = rest.next_if(|private| usize::try_from(private.index) == Ok(index));
            let placed = PlacedReceipt {
                block,
                transaction,
                receipt,
                index,
                gas_before,
                logs_before,
                private,
                private_logs_before,
            };
            gas_before = receipt.cumulative_gas_used;
            logs_before += receipt.logs.len();
            private_logs_before += private.map_or(0, |private| private.logs.len());
            placed
        },
    )
}

impl PlacedReceipt<'_> {
    /// Gas of this transaction alone.
    pub(crate) const fn gas_used(&self) -> u64 {
        self.receipt.cumulative_gas_used.saturating_sub(self.gas_before)
    }

    /// The logs that `wanted` holds for, private ones of the caller included.
    pub(crate) fn logs<'b>(
        &'b self,
        wanted: impl Fn(&Log) -> bool + Copy + 'b,
    ) -> impl Iterator<Item = LogView> + 'b {
        self.public_logs(wanted).chain(self.private_logs(wanted))
    }

    fn public_logs<'b>(
        &'b self,
        wanted: impl Fn(&Log) -> bool + 'b,
    ) -> impl Iterator<Item = LogView> + 'b {
        self.number_logs(&self.receipt.logs, self.logs_before, wanted)
    }

    fn private_logs<'b>(
        &'b self,
        wanted: impl Fn(&Log) -> bool + 'b,
    ) -> impl Iterator<Item = LogView> + 'b {
        let logs = self.private.map_or(&[][..], |private| &private.logs);
        self.number_logs(logs, self.private_logs_before, wanted)
    }

    fn number_logs<'b>(
        &'b self,
        logs: &'b [Log],
        before: usize,
        wanted: impl Fn(&Log) -> bool + 'b,
    ) -> impl Iterator<Item = LogView> + 'b {
        let header = &self.block.header;
        let logs = logs.iter().enumerate().filter(move |(_, log)| wanted(log));
        logs.map(move |(position, log)| LogView {
            address: log.address,
            topics: log.topics().to_vec(),
            data: log.data.data.clone(),
            block_number: U64::from(header.number),
            transaction_hash: self.transaction.hash(),
            transaction_index: U64::from(self.index),
            block_hash: header.hash(),
            block_timestamp: U64::from(header.timestamp),
            log_index: U64::from(before + position),
            removed: false,
        })
    }

    /// The receipt as the caller sees it: of a private transaction what it did in the caller's
    /// private state, of a privacy marker only what it did in public.
    pub(crate) fn view(&self, spec: &ChainSpec) -> ReceiptView {
        let private = self.private.filter(|private| private.inner.is_empty());
        let (success, logs, bloom): (_, Vec<_>, _) = match private {
            None => {
                (self.receipt.success, self.public_logs(|_| true).collect(), self.receipt.bloom())
            }
            Some(private) => {
                (private.success, self.private_logs(|_| true).collect(), logs_bloom(&private.logs))
            }
        };
        let transaction = self.transaction;
        let is_marker = transaction.to() == Some(PRIVACY_MARKER_ADDRESS);
        ReceiptView {
            is_privacy_marker_transaction: spec.is_quorum.then_some(is_marker),
            logs,
            logs_bloom: bloom,
            revert_reason: private.and_then(reverted),
            status: U64::from(u8::from(success)),
            ..self.frame(spec, transaction)
        }
    }

    /// The receipt of the private transaction inside a privacy marker, or of a private transaction;
    /// `None`: the caller is no party.
    pub(crate) fn private_view(
        &self,
        spec: &ChainSpec,
        inner: Option<&RecoveredTransaction>,
    ) -> Option<ReceiptView> {
        let private = self.private?;
        let frame = self.frame(spec, inner.unwrap_or(self.transaction));
        Some(ReceiptView {
            cumulative_gas_used: U64::ZERO,
            gas_used: U64::ZERO,
            is_privacy_marker_transaction: Some(false),
            logs: self.private_logs(|_| true).collect(),
            logs_bloom: logs_bloom(&private.logs),
            revert_reason: reverted(private),
            status: U64::from(u8::from(private.success)),
            transaction_hash: self.transaction.hash(),
            ..frame
        })
    }

    /// What the block and the transaction alone say.
    fn frame(&self, spec: &ChainSpec, transaction: &RecoveredTransaction) -> ReceiptView {
        let header = &self.block.header;
        let created = transaction.to().is_none();
        ReceiptView {
            block_hash: header.hash(),
            block_number: U64::from(header.number),
            // geth names the address also when the creation failed.
            contract_address: created.then(|| transaction.sender().create(transaction.nonce())),
            cumulative_gas_used: U64::from(self.receipt.cumulative_gas_used),
            effective_gas_price: U128::from(
                transaction.effective_gas_price(header.base_fee_per_gas),
            ),
            from: transaction.sender(),
            gas_used: U64::from(self.gas_used()),
            blob_gas_used: transaction.blob_gas_used().map(U64::from),
            blob_gas_price: transaction
                .blob_gas_used()
                .and_then(|_| blob_base_fee(spec, header.header()))
                .map(U128::from),
            is_privacy_marker_transaction: None,
            logs: Vec::new(),
            logs_bloom: Bloom::ZERO,
            revert_reason: None,
            status: U64::ZERO,
            to: transaction.to(),
            transaction_hash: transaction.hash(),
            transaction_index: U64::from(self.index),
            kind: U64::from(u8::from(transaction.tx_type())),
        }
    }
}

fn reverted(private: &PrivateReceipt) -> Option<Bytes> {
    Some(&private.revert_output).filter(|output| !output.is_empty()).cloned()
}

/// Base fee of blob gas in a block, in wei (EIP-4844).
pub(crate) fn blob_base_fee(spec: &ChainSpec, header: &Header) -> Option<u128> {
    let parameters = spec.blob_parameters_at(spec.seconds(header.timestamp))?;
    let excess = u128::from(header.excess_blob_gas?);
    Some(fake_exponential(1, excess, u128::from(parameters.update_fraction)))
}

/// A height as a quantity.
pub(crate) fn quantity(number: BlockNumber) -> U64 {
    U64::from(number)
}
