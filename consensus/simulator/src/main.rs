//! `entente-simulator --engine ibft --seeds 0..1000`: tries seeds, prints what failed and how to see it
//! again, and exits with 1 if any did.

use clap::Parser;
use entente_simulator::{Coverage, Engine, Failure, Outcome, Profile, run};
use std::{
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

/// Tries an engine under faults, from seeds.
#[derive(Parser)]
struct Arguments {
    /// What to try
    #[arg(long, value_enum)]
    engine: Engine,
    /// Seeds from A up to, but not with, B
    #[arg(long, value_name = "A..B")]
    seeds: String,
    /// How much is real; `private` is always full
    #[arg(long, value_enum, default_value = "fast")]
    profile: Profile,
    /// Seeds that run side by side; 0: as many as there are cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print a line for every seed
    #[arg(long)]
    verbose: bool,
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "the command line around the simulated world: real threads, real time, real output"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some((first, last)) = range(&arguments.seeds) else {
        println!("--seeds {}: expected A..B with A below B", arguments.seeds);
        return ExitCode::from(2);
    };
    let started = std::time::Instant::now();
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let next = AtomicU64::new(first);
    let (sender, outcomes) = mpsc::sync_channel::<Outcome>(64);
    let (mut failures, mut simulated, mut coverage) = (0_u64, 0, Coverage::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, arguments) = (sender.clone(), &next, &arguments);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    let outcome = run(arguments.engine, arguments.profile, seed);
                    if sender.send(outcome).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in outcomes {
            simulated += outcome.simulated_ms;
            coverage.add(&outcome.coverage);
            if arguments.verbose {
                println!(
                    "seed {}: {} s simulated, event hash {:016x}",
                    outcome.seed,
                    outcome.simulated_ms / 1000,
                    outcome.event_hash
                );
            }
            if let Some(failure) = &outcome.failure {
                failures += 1;
                println!("{}", report(&arguments, outcome.seed, failure));
            }
        }
    });
    let seconds = started.elapsed().as_secs_f64().max(0.001);
    let blind = show(&coverage, arguments.engine, last - first);
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    let (seeds, simulated) = ((last - first) as f64, simulated as f64 / 1000.0);
    println!(
        "{:.0} simulated seconds in {seconds:.1} s ({:.0} a second), {:.0} seeds a minute",
        simulated,
        simulated / seconds,
        seeds / seconds * 60.0
    );
    println!("{} seeds, {failures} failures", last - first);
    if failures > 0 || blind { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints what was seen; whether something was not that should have been.
#[expect(clippy::print_stdout, reason = "output of the command line")]
fn show(coverage: &Coverage, engine: Engine, seeds: u64) -> bool {
    println!("\nseen:");
    for (what, count) in coverage.iter() {
        println!("  {count:>8}  {what}");
    }
    // Rare things need some seeds to occur at all.
    let required = Coverage::required(engine).iter().filter(|_| seeds >= 200);
    let missing: Vec<_> = required.filter(|what| coverage.count(what) == 0).collect();
    for what in &missing {
        println!("blind: never saw `{what}`");
    }
    !missing.is_empty()
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once("..")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first < last).then_some((first, last))
}

fn report(arguments: &Arguments, seed: u64, failure: &Failure) -> String {
    let Failure { checker, what, step, events, scenario } = failure;
    let engine = format!("{:?}", arguments.engine).to_lowercase();
    let profile = format!("{:?}", arguments.profile).to_lowercase();
    let last = seed.saturating_add(1);
    format!(
        "\nFAILURE seed {seed}, step {step}, checker {checker}: {what}\n  {scenario}\n  last events:\n    {}\n  \
         commit {}\n  again: cargo run --release -p entente-simulator -- --engine {engine} --profile {profile} \
         --seeds {seed}..{last} --verbose",
        events.join("\n    "),
        option_env!("GIT_COMMIT").unwrap_or("of this checkout"),
    )
}
