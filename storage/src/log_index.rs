//! Which blocks have logs of an address, or with a topic at a position. Names blocks, not logs:
//! whoever asks filters the receipts of those blocks.

use crate::{
    Batch, Column, KeyRange, KeyValue, StoreError,
    columns::{log_address_prefix, log_topic_prefix, number_at_end},
    key_value::with_number,
};
use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, Receipt};
use std::{collections::BTreeSet, ops::ControlFlow};

/// Positions of a query that are looked at: the four a log has, and one that matches nothing.
const TOPICS_READ: usize = 5;

/// Which logs are wanted. An empty list accepts anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogIndexQuery {
    /// Accepted addresses.
    pub addresses: Vec<Address>,
    /// Accepted topics per position; positions beyond the fourth match nothing.
    pub topics: Vec<Vec<B256>>,
}

impl LogIndexQuery {
    /// The alternatives of each condition, as prefixes of keys.
    fn conditions(&self) -> Vec<Vec<Vec<u8>>> {
        let addresses: Vec<Vec<u8>> =
            self.addresses.iter().copied().map(log_address_prefix).collect();
        let topics = self.topics.iter().take(TOPICS_READ).zip(0..).map(|(topics, position)| {
            topics.iter().map(|topic| log_topic_prefix(position, *topic)).collect()
        });
        let conditions = std::iter::once(addresses).chain(topics);
        conditions.filter(|alternatives: &Vec<_>| !alternatives.is_empty()).collect()
    }
}

/// The keys under which a block's logs are found, each once.
pub(crate) fn keys(number: BlockNumber, receipts: &[Receipt]) -> BTreeSet<Vec<u8>> {
    let mut prefixes = BTreeSet::new();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        prefixes.insert(log_address_prefix(log.address));
        for (topic, position) in log.data.topics().iter().zip(0..) {
            prefixes.insert(log_topic_prefix(position, *topic));
        }
    }
    prefixes.into_iter().map(|prefix| with_number(&prefix, number)).collect()
}

pub(crate) fn put(batch: &mut Batch, number: BlockNumber, receipts: &[Receipt]) {
    for key in keys(number, receipts) {
        batch.put(Column::LogIndex, &key, &[]);
    }
}

pub(crate) fn delete(batch: &mut Batch, number: BlockNumber, receipts: &[Receipt]) {
    for key in keys(number, receipts) {
        batch.delete(Column::LogIndex, &key);
    }
}

/// The blocks between `from` and `to`, both included, that may have wanted logs, ascending.
/// Without a condition these are all blocks of the range.
pub(crate) fn blocks(
    disk: &dyn KeyValue,
    query: &LogIndexQuery,
    from: BlockNumber,
    to: BlockNumber,
) -> Result<Vec<BlockNumber>, StoreError> {
    let mut found: Option<BTreeSet<BlockNumber>> = None;
    for alternatives in query.conditions() {
        let mut matching = BTreeSet::new();
        for prefix in alternatives {
            let range = KeyRange::numbers(&prefix, from, to);
            disk.scan(Column::LogIndex, &range, &mut |key, _| {
                let number = number_at_end(Column::LogIndex, key)?;
                if found.as_ref().is_none_or(|found| found.contains(&number)) {
                    matching.insert(number);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        found = Some(matching);
    }
    Ok(found.map_or_else(|| (from..=to).collect(), |found| found.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, memory::MemoryDisk};
    use alloy_primitives::{Log, LogData};

    fn receipt(address: u8, topics: &[u8]) -> Receipt {
        let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
        let data = LogData::new_unchecked(topics, Vec::new().into());
        let log = Log { address: Address::repeat_byte(address), data };
        Receipt { logs: vec![log], ..Receipt::default() }
    }

    fn indexed(blocks: &[(BlockNumber, Receipt)]) -> MemoryDisk {
        let disk = MemoryDisk::default();
        let mut batch = Batch::default();
        for (number, receipt) in blocks {
            put(&mut batch, *number, std::slice::from_ref(receipt));
        }
        disk.write(&batch, Durability::Synced).unwrap();
        disk
    }

    #[test]
    fn conditions_are_joined_and_alternatives_united() {
        let disk = indexed(&[
            (1, receipt(1, &[7])),
            (2, receipt(2, &[7, 8])),
            (3, receipt(1, &[9])),
            (4, receipt(3, &[7])),
        ]);
        let query = |addresses: &[u8], topics: &[&[u8]]| LogIndexQuery {
            addresses: addresses.iter().map(|a| Address::repeat_byte(*a)).collect(),
            topics: topics
                .iter()
                .map(|topics| topics.iter().map(|t| B256::repeat_byte(*t)).collect())
                .collect(),
        };
        let found = |query: LogIndexQuery| blocks(&disk, &query, 1, 4).unwrap();
        assert_eq!(found(query(&[1, 2], &[])), [1, 2, 3]);
        assert_eq!(found(query(&[1, 2], &[&[7]])), [1, 2]);
        assert_eq!(found(query(&[], &[&[], &[8]])), [2]);
        assert_eq!(found(query(&[], &[&[7, 9]])), [1, 2, 3, 4]);
        assert_eq!(blocks(&disk, &query(&[1], &[]), 2, 3).unwrap(), [3]);
    }

    #[test]
    fn query_without_conditions_names_all_blocks() {
        let disk = indexed(&[]);
        assert_eq!(blocks(&disk, &LogIndexQuery::default(), 3, 5).unwrap(), [3, 4, 5]);
    }
}
