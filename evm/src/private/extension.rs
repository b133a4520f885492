//! Extension of a private contract to one more party (GoQuorum's `quorumExtension`): a management
//! contract collects votes, then the initiator shares the contract's state as a payload, and each
//! private state takes over what concerns it, in the block that says so.
//!
//! GoQuorum believes the event of any contract. Here only that of [`management`]'s code counts, a
//! party's terms change only for a payload whose sender has shown to be a party, and a state is
//! set only where its node has agreed (extension/privacyExtension/state_setter.go has the outline).

mod abi;
mod dump;
mod management;
mod take;

pub use dump::{ContractDump, DumpError};
pub use management::{
    CREATED_TOPIC, ExtensionEvent, deployment, finish, is_management_code, named_parties, share,
    vote,
};
pub(super) use take::Extending;
