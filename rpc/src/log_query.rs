//! Which logs a client wants, and how they are found: through the exact index of addresses and
//! topics, never by reading every block, unless the filter names neither.

use crate::{
    RpcLimits,
    context::Service,
    error::RpcError,
    methods::finalized,
    params::{BlockSpec, parse_address, parse_block, parse_hash},
    types::{LogView, place_receipts},
};
use alloy_primitives::{Address, B256, Log};
use entente_chain::{
    BlockNumber, Receipt, RecoveredBlock,
    private::{PrivateReceipt, PrivateStateId},
};
use entente_storage::LogIndexQuery;
use serde_json::Value;
use std::time::Instant;

/// A log has at most four topics.
const TOPIC_POSITIONS: usize = 4;

/// What a log must look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogCriteria {
    /// One of these; empty is any.
    pub(crate) addresses: Vec<Address>,
    /// Per position one of these; empty is any.
    pub(crate) topics: Vec<Vec<B256>>,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogRange {
    /// One block.
    Block(B256),
    /// From and to, both included; left out: the head.
    Span(Option<BlockSpec>, Option<BlockSpec>),
}

/// A filter object as clients send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter {
    pub(crate) criteria: LogCriteria,
    pub(crate) range: LogRange,
    /// The private state whose logs the caller sees beside public ones.
    pub(crate) private_state: PrivateStateId,
}

impl LogFilter {
    /// Takes a filter object; sizes are checked before anything is parsed or read.
    pub(crate) fn parse(
        value: &Value,
        limits: &RpcLimits,
        argument: usize,
        private_state: PrivateStateId,
    ) -> Result<Self, RpcError> {
        let wrong = |cause: String| RpcError::argument(argument, cause);
        let Value::Object(fields) = value else { return Err(wrong("not a filter object".into())) };
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let block = |name: &str| {
            let parse =
                |value| parse_block(value).map_err(|cause| wrong(format!("{name}: {cause}")));
            given(name).map(parse).transpose()
        };
        let range = match given("blockHash") {
            None => LogRange::Span(block("fromBlock")?, block("toBlock")?),
            Some(_) if given("fromBlock").is_some() || given("toBlock").is_some() => {
                let text =
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other";
                return Err(wrong(text.into()));
            }
            Some(hash) => LogRange::Block(
                parse_text(hash, parse_hash)
                    .map_err(|cause| wrong(format!("blockHash: {cause}")))?,
            ),
        };
        let addresses = match given("address") {
            None => Vec::new(),
            Some(value) => alternatives(value, "addresses", limits.log_addresses, parse_address)?,
        };
        let topics = match given("topics") {
            None => Vec::new(),
            Some(Value::Array(positions)) => parse_topics(positions, limits)?,
            Some(_) => return Err(wrong("topics: not a list".into())),
        };
        Ok(Self { criteria: LogCriteria { addresses, topics }, range, private_state })
    }
}

fn parse_topics(positions: &[Value], limits: &RpcLimits) -> Result<Vec<Vec<B256>>, RpcError> {
    check_count("topics", positions.len(), TOPIC_POSITIONS)?;
    positions
        .iter()
        .map(|position| match position {
            Value::Null => Ok(Vec::new()),
            // An alternative of null makes the whole position match anything.
            Value::Array(list) if list.iter().any(Value::is_null) => Ok(Vec::new()),
            value => alternatives(value, "topics in one position", limits.log_topics, parse_hash),
        })
        .collect()
}

/// One value or a list of them.
fn alternatives<T>(
    value: &Value,
    what: &str,
    allowed: usize,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, RpcError> {
    let wrong = |cause| RpcError::InvalidParams(format!("{what}: {cause}"));
    match value {
        Value::Array(list) => {
            check_count(what, list.len(), allowed)?;
            list.iter().map(|entry| parse_text(entry, parse).map_err(wrong)).collect()
        }
        single => Ok(vec![parse_text(single, parse).map_err(wrong)?]),
    }
}

fn parse_text<T>(value: &Value, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    value.as_str().ok_or_else(|| "not a hex string".to_owned()).and_then(parse)
}

fn check_count(what: &str, got: usize, allowed: usize) -> Result<(), RpcError> {
    match got > allowed {
        true => Err(RpcError::InvalidParams(format!("{what}: {got} given, {allowed} allowed"))),
        false => Ok(()),
    }
}

impl LogCriteria {
    /// Whether a log is wanted. Positions beyond the filter's match anything; a position that the
    /// log does not have matches nothing, not even "any".
    pub(crate) fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        let address_fits = self.addresses.is_empty() || self.addresses.contains(&log.address);
        address_fits
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }

    fn is_unfiltered(&self) -> bool {
        self.addresses.is_empty() && self.topics.iter().all(Vec::is_empty)
    }

    /// The wanted logs of one block.
    pub(crate) fn select(
        &self,
        block: &RecoveredBlock,
        receipts: &[Receipt],
        private: &[PrivateReceipt],
    ) -> Vec<LogView> {
        let mut found = Vec::new();
        for placed in place_receipts(block, receipts, private) {
            found.extend(placed.logs(|log| self.matches(log)));
        }
        found
    }
}

/// Answers `eth_getLogs` and its like.
pub(crate) fn find_logs(service: &Service, filter: &LogFilter) -> Result<Vec<LogView>, RpcError> {
    let head = service.context.reader.head().header.number;
    let resolve = |spec: Option<BlockSpec>| match spec {
        None | Some(BlockSpec::Latest | BlockSpec::Pending) => Ok(head),
        Some(BlockSpec::Finalized) => finalized(service),
        Some(BlockSpec::Earliest) => Ok(0),
        Some(BlockSpec::Number(number)) => Ok(number),
        Some(BlockSpec::Hash(_)) => {
            Err(RpcError::InvalidParams("fromBlock and toBlock are numbers or tags".into()))
        }
    };
    match filter.range {
        LogRange::Block(hash) => {
            let number = service.context.reader.number(hash)?;
            let number = number.ok_or_else(|| RpcError::Refused("unknown block".into()))?;
            let mut search = Search::new(service, filter);
            search.look_into(BlockSpec::Hash(hash), number)?;
            Ok(search.found)
        }
        LogRange::Span(from, to) => {
            let (from, to) = (resolve(from)?, resolve(to)?);
            if from > to {
                return Err(RpcError::InvalidParams(format!("from {from} is after to {to}")));
            }
            find_in_span(service, filter, from, to.min(head))
        }
    }
}

/// The wanted logs of `from..=to`; `to` is at most the head.
pub(crate) fn find_in_span(
    service: &Service,
    filter: &LogFilter,
    from: BlockNumber,
    to: BlockNumber,
) -> Result<Vec<LogView>, RpcError> {
    if from > to {
        return Ok(Vec::new());
    }
    let mut search = Search::new(service, filter);
    let criteria = &filter.criteria;
    if criteria.is_unfiltered() {
        check_span(&service.limits, from, to)?;
        for number in from..=to {
            search.look_into(BlockSpec::Number(number), number)?;
        }
    } else {
        let query = LogIndexQuery {
            addresses: criteria.addresses.clone(),
            topics: criteria.topics.clone(),
        };
        let mut blocks = service.context.reader.blocks_with_logs(&query, from, to)?;
        if let Some(states) = service.private_states() {
            blocks.extend(states.blocks_with_logs(&filter.private_state, &query, from, to)?);
            blocks.sort_unstable();
            blocks.dedup();
        }
        for number in blocks {
            search.look_into(BlockSpec::Number(number), number)?;
        }
    }
    Ok(search.found)
}

fn check_span(limits: &RpcLimits, from: BlockNumber, to: BlockNumber) -> Result<(), RpcError> {
    let blocks = (to - from).saturating_add(1);
    match limits.unfiltered_log_blocks {
        Some(allowed) if blocks > allowed => Err(RpcError::Limit(format!(
            "{blocks} blocks asked for without address or topic, {allowed} allowed"
        ))),
        _ => Ok(()),
    }
}

struct Search<'a> {
    service: &'a Service,
    filter: &'a LogFilter,
    deadline: Instant,
    found: Vec<LogView>,
}

impl<'a> Search<'a> {
    fn new(service: &'a Service, filter: &'a LogFilter) -> Self {
        let deadline = Instant::now() + service.limits.logs_time;
        Self { service, filter, deadline, found: Vec::new() }
    }

    /// Adds the wanted logs of the block at a height, when it is the one that is meant.
    fn look_into(&mut self, meant: BlockSpec, number: BlockNumber) -> Result<(), RpcError> {
        if Instant::now() > self.deadline {
            return Err(RpcError::Timeout(format!(
                "request timed out at block {number}, ask for fewer blocks"
            )));
        }
        let reader = &self.service.context.reader;
        let private = self.service.private_receipts(&self.filter.private_state, number)?;
        let privately = private.iter().any(|receipt| !receipt.logs.is_empty());
        // A header without bloom bits has no public logs: its body is not read.
        let unknown = || RpcError::Refused("unknown block".into());
        match reader.header(number)? {
            Some(header) if !meant.may_be(header.hash()) => return Err(unknown()),
            Some(header) if privately || !header.logs_bloom.is_zero() => {}
            _ => return Ok(()),
        }
        let Some((block, receipts)) = reader.block_with_receipts(number)? else { return Ok(()) };
        if !meant.may_be(block.hash()) {
            return Err(unknown());
        }
        let allowed = self.service.limits.logs;
        for placed in place_receipts(&block, &receipts, &private) {
            self.found.extend(placed.logs(|log| self.filter.criteria.matches(log)));
            if self.found.len() > allowed {
                return Err(RpcError::Limit(format!("query returns more than {allowed} logs")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: &Value) -> Result<LogFilter, RpcError> {
        LogFilter::parse(value, &RpcLimits::default(), 0, PrivateStateId::default_state())
    }

    #[test]
    fn sizes_are_limited() {
        let address = Address::repeat_byte(1).to_string();
        let many = json!({ "address": vec![address; 200_000] });
        let error = parse(&many).expect_err("too many");
        assert_eq!(error.to_string(), "addresses: 200000 given, 1000 allowed");
        let error = parse(&json!({ "topics": [null, null, null, null, null] })).expect_err("five");
        assert_eq!(error.to_string(), "topics: 5 given, 4 allowed");
        let topics = json!({ "topics": [vec![B256::ZERO.to_string(); 10_000]] });
        let error = parse(&topics).expect_err("too many");
        assert_eq!(error.to_string(), "topics in one position: 10000 given, 1000 allowed");
    }

    #[test]
    fn a_position_that_a_log_does_not_have_matches_nothing() {
        let log = Log::new_unchecked(Address::ZERO, vec![B256::ZERO], Default::default());
        let any = |positions| LogCriteria { addresses: vec![], topics: vec![vec![]; positions] };
        assert!(any(0).matches(&log));
        assert!(any(1).matches(&log));
        assert!(!any(2).matches(&log));
    }
}
