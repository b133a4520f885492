//! The scenarios of geth's consensus/clique/snapshot_test.go, in a shorthand of our own: a ballot is
//! the signer, then `+` or `-` and the candidate if it votes; `*` marks a checkpoint.

use super::{attributes, sealed_genesis, signers, spec};
use alloy_primitives::{Address, B64, U256};
use entente_chain::{
    ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::clique::CliqueExtra,
    fork::Fork,
    header_hash::seal,
    signer::SealSigner,
    spec::{BlockRules, EngineKind},
    votes::VoteTally,
};
use entente_consensus::{
    BuildAttributes,
    rules::{HeaderError, HeaderRules, clique_digest, next_header, rules_for},
};
use std::sync::Arc;

/// Epoch, signers, ballots, signers in the end or what the last block is refused for.
type Scenario = (u64, &'static str, &'static str, Result<&'static str, Refused>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Stranger,
    Recent,
}

use Refused::{Recent, Stranger};

/// In the order of geth's table. One differs: geth lets the last signer leave, and stops; here it stays.
const SCENARIOS: [Scenario; 24] = [
    (0, "A", "A", Ok("A")),
    (0, "A", "A+B B A+C", Ok("AB")),
    (0, "AB", "A+C B+C A+D B+D C A+E B+E", Ok("ABCD")),
    (0, "A", "A-A", Ok("A")),
    (0, "AB", "A-B", Ok("AB")),
    (0, "AB", "A-B B-B", Ok("A")),
    (0, "ABC", "A-C B-C", Ok("AB")),
    (0, "ABCD", "A-C B-C", Ok("ABCD")),
    (0, "ABCD", "A-D B-D C-D", Ok("ABC")),
    (0, "AB", "A+C B A+C B A+C", Ok("AB")),
    (0, "AB", "A+C B A+D B A B+D A B+C", Ok("ABCD")),
    (0, "AB", "A-B B A-B B A-B", Ok("AB")),
    (0, "ABCD", "A-C B C A-D B C A B-D C-D A B-C", Ok("AB")),
    (0, "ABC", "C-B A-C B-C A-B", Ok("AB")),
    (0, "ABC", "C+D A-C B-C A+D", Ok("AB")),
    (0, "ABCD", "A-C B C A-D B-C C A B-D C-D", Ok("ABC")),
    (0, "ABCD", "A-C B C A-D B-C C A B-D C-D A C+C", Ok("AB")),
    (0, "ABCD", "A-C B C A-D B-C C A B-D C-D A B+C", Ok("ABC")),
    (0, "ABCDE", "A+F B+F C+F D-F E-F B-F C-F D+F E+F B-A C-A D-A B+F", Ok("BCDEF")),
    (3, "AB", "A+C B A* B+C", Ok("AB")),
    (0, "A", "B", Err(Stranger)),
    (0, "AB", "A A", Err(Recent)),
    (3, "ABC", "A B A* A", Err(Recent)),
    // Before a checkpoint as well: geth#17593 split a network.
    (3, "ABC", "A B C* C", Err(Recent)),
];

fn clique_spec(fork: Fork, epoch_length: u64) -> ChainSpec {
    let spec = spec(EngineKind::Clique, fork);
    let genesis_rules = BlockRules { epoch_length, ..spec.genesis_rules };
    ChainSpec { genesis_rules, ..spec }
}

fn edit_extra(header: &mut Header, edit: impl FnOnce(&mut CliqueExtra)) {
    let mut extra = CliqueExtra::decode(&header.extra_data).expect("extraData of a test");
    edit(&mut extra);
    header.extra_data = extra.encode();
}

fn seal_by(header: &mut Header, signer: &SealSigner) {
    let extra = CliqueExtra::decode(&header.extra_data).expect("extraData of a test");
    let digest = clique_digest(header, &extra);
    edit_extra(header, |extra| extra.seal = signer.sign(digest));
}

struct Run {
    rules: HeaderRules,
    /// By letter.
    keys: Vec<SealSigner>,
    tally: VoteTally,
    parent: SealedHeader,
}

impl Run {
    fn key(&self, letter: u8) -> &SealSigner {
        &self.keys[usize::from(letter - b'A')]
    }

    fn addresses(&self, letters: &str) -> Vec<Address> {
        let mut addresses: Vec<_> =
            letters.bytes().map(|letter| self.key(letter).address()).collect();
        addresses.sort_unstable();
        addresses
    }

    fn block(&self, ballot: &[u8]) -> Header {
        let (signer, vote) = ballot.split_first().expect("a signer");
        let signer = self.key(*signer);
        let number = self.parent.number + 1;
        let validators = self.tally.validators();
        let turn = usize::try_from(number).expect("small") % validators.len();
        let in_turn = validators.addresses()[turn] == signer.address();
        let wanted = BuildAttributes {
            difficulty: U256::from(1 + u64::from(in_turn)),
            ..attributes(&self.parent, Address::ZERO, CliqueExtra::default().encode())
        };
        let mut header = next_header(self.rules.spec(), &self.parent, &wanted);
        match vote {
            [b'+', candidate] => {
                header.beneficiary = self.key(*candidate).address();
                header.nonce = B64::repeat_byte(0xff);
            }
            [b'-', candidate] => header.beneficiary = self.key(*candidate).address(),
            [b'*'] => edit_extra(&mut header, |extra| {
                extra.signers = validators.addresses().to_vec();
            }),
            rest => assert!(rest.is_empty(), "not a ballot"),
        }
        seal_by(&mut header, signer);
        header
    }

    fn take(&mut self, header: Header) -> Result<(), HeaderError> {
        self.rules.check_alone(&header, u64::MAX)?;
        self.rules.check_with_parent(&header, &self.parent, &self.tally)?;
        self.rules.check_seals(&header, self.tally.validators())?;
        self.tally = self.rules.tally_after(&header, self.tally.clone())?;
        self.parent = seal(EngineKind::Clique, header).expect("extraData of a test");
        Ok(())
    }
}

fn run((epoch, first, ballots, _): Scenario) -> Result<String, Refused> {
    let rules = rules_for(Arc::new(clique_spec(Fork::London, epoch)));
    let nobody = VoteTally::unknown();
    let mut run = Run { rules, keys: signers(6), tally: nobody, parent: sealed_genesis() };
    let first = ValidatorSet::new(run.addresses(first)).expect("a set");
    run.tally = VoteTally::new(first);
    for ballot in ballots.split(' ') {
        // As geth stores it between two batches: nothing may be lost.
        run.tally = VoteTally::decode(&run.tally.encode()).expect("a stored tally");
        run.take(run.block(ballot.as_bytes())).map_err(|error| match error {
            HeaderError::UnknownProposer(_) => Stranger,
            HeaderError::SealedRecently(_) => Recent,
            other => panic!("{ballot}: {other}"),
        })?;
    }
    let is_signer = |letter: &u8| run.tally.validators().contains(run.key(*letter).address());
    Ok((b'A'..=b'F').filter(is_signer).map(char::from).collect())
}

#[test]
fn every_scenario_of_geth_ends_as_it_does_there() {
    for scenario in SCENARIOS {
        assert_eq!(run(scenario), scenario.3.map(str::to_owned), "{scenario:?}");
    }
}
