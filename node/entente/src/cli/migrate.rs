//! `entente migrate plan`: what a change of the engine would mean, rehearsed on a copy.

use super::init::existing_database;
use crate::migration::{
    Request, Standing,
    checks::{self, Plan},
    differences::{self, Difference},
    rehearsal::{self, Outcome},
};
use alloy_primitives::Address;
use anyhow::Context;
use entente_chain::{BlockNumber, ValidatorSet, spec::EngineKind};
use entente_storage::{Database, StorageOptions, copy_files};
use entente_testnet::BlockPeriod;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Verbs of `entente migrate`.
#[derive(clap::Subcommand)]
pub(super) enum MigrateCommand {
    /// Check a change of the engine, rehearse it on a copy, and say what differs
    Plan(PlanArgs),
}

/// Arguments of `entente migrate plan`.
#[derive(clap::Args)]
pub(super) struct PlanArgs {
    /// Data folder of a node, running or stopped; nothing in it changes
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The new engine: ibft (QBFT headers), istanbul (IBFT 1 headers), raft or clique
    #[arg(long, value_name = "ENGINE")]
    to: String,
    /// Its first block
    #[arg(long, value_name = "BLOCK")]
    at: BlockNumber,
    /// Time between its blocks: 1s or 250ms; left out: as before, or what is usual for the engine
    #[arg(long)]
    period: Option<BlockPeriod>,
    /// Who seals from then on; left out: the same as before
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    validators: Option<Vec<Address>>,
    /// Clique: tell branches of equal weight apart by EIP-3436
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    eip3436: Option<bool>,
    /// Check and compare only
    #[arg(long)]
    no_rehearsal: bool,
    /// Folder for the copy of the chain, which is removed at the end; one on the same disk needs
    /// little room [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

/// Everything that a plan says.
struct Report {
    request: Request,
    standing: Standing,
    plan: Plan,
    differences: Vec<Difference>,
    rehearsed: Option<anyhow::Result<Outcome>>,
}

pub(super) fn run(command: &MigrateCommand) -> anyhow::Result<()> {
    let MigrateCommand::Plan(args) = command;
    let report = match plan(args) {
        Ok(report) => report,
        Err(error) => {
            if args.json {
                let reason = json!({ "possible": false, "reason": format!("{error:#}") });
                println!("{reason:#}");
            }
            return Err(error);
        }
    };
    let mut out = io::stdout().lock();
    let told = match args.json {
        true => writeln!(out, "{:#}", report.json()),
        false => report.print(&mut out),
    };
    match told {
        // Whoever reads has seen enough, as `head` has: the exit code still says what came of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        told => told?,
    }
    match report.rehearsed {
        Some(Err(error)) => Err(error.context("the rehearsal failed")),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn plan(args: &PlanArgs) -> anyhow::Result<Report> {
    let request = Request {
        to: args.to.parse::<EngineKind>()?,
        at: args.at,
        period_ms: args.period.map(BlockPeriod::millis),
        validators: args.validators.clone(),
        eip3436: args.eip3436,
    };
    let origin = existing_database(&args.data)?;
    let scratch = match &args.scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.context("no temporary folder for the copy of the chain")?;
    let source = scratch.path().join("source");
    copy_files(&origin, &source)?;
    let standing = read(&source, request.at)?;
    let plan = checks::check(&request, &standing)?;
    let before = standing.validators.as_ref().map(ValidatorSet::len);
    let differences = differences::of(&plan, &request, before);
    let rehearsed = (!args.no_rehearsal)
        .then(|| rehearsal::run(&plan, &request, &standing, &source, scratch.path()));
    scratch.close().context("the copy of the chain could not be removed")?;
    Ok(Report { request, standing, plan, differences, rehearsed })
}

/// Opened for writing once, so that the logs of a running node's last seconds end in tables.
fn read(source: &Path, at: BlockNumber) -> anyhow::Result<Standing> {
    let database = Database::open(source, &StorageOptions::default())?;
    Standing::read(&database, at)
}

impl Report {
    fn from(&self) -> EngineKind {
        self.plan.sides(self.request.at).before.engine
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Request { to, at, .. } = self.request;
        writeln!(
            out,
            "from {} to {to} at block {at}; the head is block {}",
            self.from(),
            self.standing.head
        )?;
        for warning in &self.plan.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        writeln!(out, "\nentry of config.transitions, for every node (GoQuorum's form):")?;
        writeln!(out, "{}", self.plan.entry)?;
        writeln!(out, "in Besu's form: {}", besu_form(&self.plan.entry))?;
        writeln!(out, "\nwhat differs")?;
        for Difference { what, before, after } in &self.differences {
            writeln!(
                out,
                "  {what}\n    until {}: {before}\n    from {at}:  {after}",
                at.saturating_sub(1)
            )?;
        }
        print_list(
            out,
            "what clients must know",
            &differences::for_clients(&self.plan, &self.request),
        )?;
        print_list(out, "node configuration", &differences::for_nodes(&self.plan, &self.request))?;
        print_list(out, "steps", &differences::steps(&self.plan, &self.request))?;
        match &self.rehearsed {
            None => writeln!(out, "\nnot rehearsed"),
            Some(Err(error)) => writeln!(out, "\nrehearsal: FAILED: {error:#}"),
            Some(Ok(outcome)) => print_rehearsal(out, outcome, self.standing.head),
        }
    }

    fn json(&self) -> Value {
        let Request { to, at, .. } = self.request;
        let (done, failed) = match &self.rehearsed {
            None => (Value::Null, Value::Null),
            Some(Ok(outcome)) => (rehearsal_json(outcome), Value::Null),
            Some(Err(error)) => (Value::Null, json!(format!("{error:#}"))),
        };
        let rows = self
            .differences
            .iter()
            .map(|row| json!({ "what": row.what, "before": row.before, "after": row.after }));
        json!({
            "possible": failed.is_null(),
            "from": self.from().name(),
            "to": to.name(),
            "at": at,
            "head": self.standing.head,
            "entry": self.plan.entry,
            "besuTransitions": besu_form(&self.plan.entry),
            "validators": self.plan.validators.addresses(),
            "warnings": self.plan.warnings,
            "differences": rows.collect::<Vec<_>>(),
            "clients": differences::for_clients(&self.plan, &self.request),
            "configuration": differences::for_nodes(&self.plan, &self.request),
            "steps": differences::steps(&self.plan, &self.request),
            "rehearsal": done,
            "reason": failed,
        })
    }
}

/// Besu keeps transitions by engine; `algorithm` is a word of ours there.
fn besu_form(entry: &Value) -> Value {
    json!({ "transitions": { "qbft": [entry] } })
}

fn print_list(
    out: &mut impl Write,
    title: &str,
    lines: &[impl std::fmt::Display],
) -> io::Result<()> {
    writeln!(out, "\n{title}")?;
    for line in lines {
        writeln!(out, "  - {line}")?;
    }
    Ok(())
}

fn print_rehearsal(out: &mut impl Write, outcome: &Outcome, head: BlockNumber) -> io::Result<()> {
    writeln!(
        out,
        "\nrehearsal: {} throw-away validators went on from block {head} on copies of the chain, the change \
         at block {}; all agree",
        outcome.validators, outcome.switch
    )?;
    for block in &outcome.blocks {
        let header = &block.header;
        writeln!(
            out,
            "  block {} {:<8} +{} ms difficulty {} mixHash {} extraData {} bytes",
            header.number,
            block.engine,
            block.after_ms,
            header.difficulty,
            if header.mix_hash.is_zero() { "zero" } else { "BFT" },
            header.extra_data.len(),
        )?;
    }
    Ok(())
}

fn rehearsal_json(outcome: &Outcome) -> Value {
    let blocks = outcome.blocks.iter().map(|block| {
        let header = &block.header;
        json!({
            "number": header.number,
            "engine": block.engine,
            "hash": header.hash(),
            "milliseconds": block.after_ms,
            "difficulty": header.difficulty.to_string(),
            "mixHash": header.mix_hash,
            "nonce": header.nonce,
            "miner": header.beneficiary,
            "timestamp": header.timestamp,
            "extraDataBytes": header.extra_data.len(),
        })
    });
    json!({
        "validators": outcome.validators,
        "switch": outcome.switch,
        "blocks": blocks.collect::<Vec<_>>(),
    })
}
