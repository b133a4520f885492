//! What one or more inputs ask of the host, in an order that cannot be got wrong.

use super::{Action, Recipients, Record};
use crate::message::Message;

/// Records and actions of one or more inputs. Fields are private: engines add, hosts can only
/// [`perform`](Step::perform).
#[derive(Debug, Default)]
#[must_use]
pub struct Step {
    ahead: Vec<Action>,
    persist: Vec<Record>,
    then: Vec<Action>,
}

impl Step {
    /// Requires a record to be durable before any action of this step.
    pub fn persist(&mut self, record: Record) {
        self.persist.push(record);
    }

    /// Adds an action.
    pub fn then(&mut self, action: Action) {
        self.then.push(action);
    }

    /// Sends a message while the records of this step are still being written.
    ///
    /// Only for words that promise nothing which these records must keep. There is one such: the
    /// new block of a Raft leader (Ongaro 10.2.1). It binds those who accept it; its author counts
    /// itself in actions that come after the records, and the term in which it may say it was
    /// durable before the step began.
    pub fn send_ahead(&mut self, to: Recipients, message: Message) {
        self.ahead.push(Action::Send { to, message });
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.persist.is_empty() && self.then.is_empty()
    }

    /// The one place where a step meets the world: `act` is called for what may be said ahead, then
    /// `write` makes all records durable in one go, then `act` is called for every other action in
    /// order.
    ///
    /// # Errors
    /// Passes on what `write` says; then no action was taken but what was said ahead, and the host
    /// must stop.
    pub fn perform<E>(
        &mut self,
        write: impl FnOnce(&[Record]) -> Result<(), E>,
        mut act: impl FnMut(Action),
    ) -> Result<(), E> {
        self.ahead.drain(..).for_each(&mut act);
        if !self.persist.is_empty() {
            write(&self.persist)?;
            self.persist.clear();
        }
        self.then.drain(..).for_each(act);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::BuildId,
        raft::{Body, Message as RaftMessage},
    };
    use alloy_primitives::{Address, B256};
    use entente_chain::transaction::Signing;
    use entente_chain::{EnvironmentId, NodeId};
    use std::cell::RefCell;

    fn step() -> Step {
        let mut step = Step::default();
        let environment = EnvironmentId(B256::ZERO);
        let body = Body::TimeoutNow;
        let message = RaftMessage { environment, author: Address::ZERO, term: 1, body };
        let message = Message::Raft(Box::new(message));
        step.then(Action::Penalize { node: NodeId([1; 32]), reason: "afterwards" });
        step.persist(
            Record::decode(&[1, 2, 0xc3, 0x80, 0x80, 0xc0], environment, Signing::Ethereum)
                .unwrap(),
        );
        step.send_ahead(Recipients::Everyone, message);
        step
    }

    fn perform(written: Result<(), BuildId>) -> (Result<(), BuildId>, Vec<&'static str>) {
        let order = RefCell::new(Vec::new());
        let result = step().perform(
            |_| {
                order.borrow_mut().push("write");
                written
            },
            |action| {
                let name = if matches!(action, Action::Send { .. }) { "ahead" } else { "then" };
                order.borrow_mut().push(name);
            },
        );
        (result, order.into_inner())
    }

    #[test]
    fn only_what_may_be_said_ahead_comes_before_the_records() {
        assert_eq!(perform(Ok(())), (Ok(()), vec!["ahead", "write", "then"]));
    }

    #[test]
    fn nothing_else_happens_when_the_records_cannot_be_written() {
        assert_eq!(perform(Err(BuildId(1))), (Err(BuildId(1)), vec!["ahead", "write"]));
    }
}
