//! What one block did in a private state: a row for each block that did anything.

use alloy_primitives::{Address, B256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use entente_chain::private::{
    ContractTerms, PayloadHash, PrivacyFlag, PrivateReceipt, RecipientKey,
};

/// What one block did in a private state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateBlock {
    /// Root of the private state after it.
    pub state_root: B256,
    /// One receipt per private transaction, ascending by its place in the block.
    pub receipts: Vec<PrivateReceipt>,
    /// Contracts that came into being under terms, or got others.
    pub terms: Vec<Address>,
    /// Terms that were replaced when a contract was extended.
    pub replaced: Vec<(Address, ContractTerms)>,
}

#[derive(RlpDecodable, RlpEncodable)]
#[rlp(trailing)]
struct Row {
    state_root: B256,
    receipts: Vec<PrivateReceipt>,
    terms: Vec<Address>,
    replaced: Option<Vec<ReplacedRow>>,
}

#[derive(RlpDecodable, RlpEncodable)]
struct ReplacedRow {
    contract: Address,
    terms: TermsRow,
}

impl PrivateBlock {
    pub(super) fn encode(self) -> Vec<u8> {
        let Self { state_root, receipts, terms, replaced } = self;
        let replaced = replaced.iter().map(|(contract, terms)| ReplacedRow {
            contract: *contract,
            terms: TermsRow::from(terms),
        });
        let replaced = Some(replaced.collect()).filter(|list: &Vec<_>| !list.is_empty());
        alloy_rlp::encode(Row { state_root, receipts, terms, replaced })
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Row { state_root, receipts, terms, replaced } = alloy_rlp::decode_exact(bytes).ok()?;
        let replaced = replaced.unwrap_or_default().into_iter();
        let replaced = replaced.map(|row| Some((row.contract, row.terms.read()?)));
        Some(Self { state_root, receipts, terms, replaced: replaced.collect::<Option<_>>()? })
    }
}

#[derive(RlpDecodable, RlpEncodable)]
struct TermsRow {
    creation: PayloadHash,
    flag: u8,
    mandatory: Vec<RecipientKey>,
}

impl From<&ContractTerms> for TermsRow {
    fn from(terms: &ContractTerms) -> Self {
        Self {
            creation: terms.creation,
            flag: terms.flag.number(),
            mandatory: terms.mandatory.clone(),
        }
    }
}

impl TermsRow {
    fn read(self) -> Option<ContractTerms> {
        let Self { creation, flag, mandatory } = self;
        Some(ContractTerms { creation, flag: PrivacyFlag::from_number(flag.into())?, mandatory })
    }
}

pub(super) fn encode_terms(terms: &ContractTerms) -> Vec<u8> {
    alloy_rlp::encode(TermsRow::from(terms))
}

pub(super) fn decode_terms(bytes: &[u8]) -> Option<ContractTerms> {
    alloy_rlp::decode_exact::<TermsRow>(bytes).ok()?.read()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B512, Bytes, Log, LogData};

    #[test]
    fn a_block_is_read_back_and_every_cut_refused() {
        let data = LogData::new_unchecked(vec![B256::repeat_byte(1)], Bytes::from_static(b"x"));
        let receipt = PrivateReceipt {
            index: 3,
            success: true,
            logs: vec![Log { address: Address::repeat_byte(2), data }],
            affected: vec![Address::repeat_byte(4)],
            ..PrivateReceipt::default()
        };
        let block = PrivateBlock {
            state_root: B256::repeat_byte(9),
            receipts: vec![receipt],
            terms: vec![Address::repeat_byte(4)],
            replaced: Vec::new(),
        };
        let terms = ContractTerms {
            creation: PayloadHash(B512::repeat_byte(1)),
            flag: PrivacyFlag::PartyProtection,
            mandatory: Vec::new(),
        };
        let extended =
            PrivateBlock { replaced: vec![(Address::repeat_byte(4), terms)], ..block.clone() };
        for block in [block, extended] {
            let bytes = block.clone().encode();
            assert_eq!(PrivateBlock::decode(&bytes), Some(block));
            for end in 0..bytes.len() {
                assert_eq!(PrivateBlock::decode(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn a_block_from_before_contracts_could_be_extended_is_read() {
        #[derive(RlpEncodable)]
        struct Before {
            state_root: B256,
            receipts: Vec<PrivateReceipt>,
            terms: Vec<Address>,
        }
        let (state_root, receipts, terms) = (B256::ZERO, Vec::new(), vec![Address::ZERO]);
        let bytes = alloy_rlp::encode(Before { state_root, receipts, terms });
        let block = PrivateBlock { terms: vec![Address::ZERO], ..PrivateBlock::default() };
        assert_eq!(PrivateBlock::decode(&bytes), Some(block));
    }

    #[test]
    fn terms_are_read_back() {
        let terms = ContractTerms {
            creation: PayloadHash(B512::repeat_byte(1)),
            flag: PrivacyFlag::MandatoryRecipients,
            mandatory: vec![RecipientKey([7; 32])],
        };
        assert_eq!(decode_terms(&encode_terms(&terms)), Some(terms));
        assert_eq!(decode_terms(b""), None);
    }
}
