//! S5, S7: whatever happened, a database holds one state: head, bodies, receipts, indices, and the
//! accounts that the head's state root says. Read from the disk itself, past ledger and caches.

use super::World;
use alloy_primitives::Address;
use entente_storage::{LogIndexQuery, check::check_disk};

/// Blocks below the head that a node is asked for.
const ASKED: u64 = 64;
/// Whose logs executions of the fast profile write.
pub(crate) const LOGS_OF: Address = Address::repeat_byte(0x10);

impl World {
    /// Looks through a node's whole disk.
    pub(super) fn check_store(&mut self, node: usize) {
        let report = match check_disk(&*self.nodes[node].disk) {
            Ok(report) => report,
            Err(error) => return self.fail("S7", format!("disk of node {node}: {error}")),
        };
        if report.blocks > 1 {
            self.coverage.saw("disk looked through");
        }
        if !report.is_sound() {
            let (count, first) = (report.problem_count, report.problems.first());
            self.fail("S7", format!("disk of node {node} has {count} problems: {first:?}"));
        }
    }

    /// S2, O4: asks a node for its newest blocks, receipts and logs, as clients do.
    pub(super) fn check_served(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        if self.nodes[node].behaviour.is_some() {
            return;
        }
        let head = process.ledger.head().header.number;
        let from = head.saturating_sub(ASKED).max(1);
        let query = LogIndexQuery { addresses: vec![LOGS_OF], ..LogIndexQuery::default() };
        let Ok(indexed) = process.reader.blocks_with_logs(&query, from, head) else {
            return self.fail("O4", format!("node {node} does not answer about logs"));
        };
        let mut findings = Vec::new();
        for number in from..=head {
            match process.reader.block_with_receipts(number) {
                Ok(Some((block, receipts))) => {
                    let found = indexed.contains(&number);
                    findings.push(self.checker.serves(node, &block, &receipts, found));
                }
                _ => return self.fail("O4", format!("node {node} has no block {number}")),
            }
        }
        findings.into_iter().for_each(|finding| self.judge(finding));
    }
}
