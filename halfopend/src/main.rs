//! Parse, open, confine, run; nothing else.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use halfopen::attempt::Attempts;
use halfopen::checker::Checker;
use halfopen::engine::{Egress, EngineConfig, OpenEngine};
use halfopen::event_loop::run;
use halfopen::local_error::LocalError;
use halfopen::non_blocking_writer::NonBlockingWriter;
use halfopen::pacer::Pacer;
use halfopen::privilege;
use halfopen::probe::Secret;
use halfopen::target::Hosts;
use halfopend::agent::Agent;
use halfopend::arguments::Arguments;
use halfopend::board::{Board, Writer};
use halfopend::config::{Config, PoolConfig};
use halfopend::daemon::Daemon;
use halfopend::fleet::{Fleet, Member, Place};
use halfopend::journal::Journal;
use halfopend::notify::Supervisor;
use halfopend::signals::Signals;
use rand::TryRng;
use rand::rngs::SysRng;

fn main() -> ExitCode {
    let start = Instant::now();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match serve(arguments, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("halfopend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments, start: Instant) -> Result<(), Box<dyn std::error::Error>> {
    let signals = Signals::watch()?;
    let config = Config::of_targets(arguments.targets);
    let supervisor = Supervisor::of_environment();
    let agent = Agent::listen(config.pools.iter().filter_map(|pool| pool.agent))?;
    let attempts = Attempts::MAX;
    let wanted = EngineConfig {
        kind: config.engine,
        egress: Egress::default(),
        attempts,
        v4: true,
        v6: true,
        explain: false,
    };
    privilege::raise();
    let engine = wanted.open(start);
    let is_enough = || engine.as_ref().ok().is_none_or(OpenEngine::has_enough_privilege);
    let kept = privilege::relinquish(is_enough)?;
    privilege::confine(kept, &[])?;
    let mut engine = engine?;
    let fleet = fill(&config)?;
    let window = engine.enable_batching();
    let mut pacer = Pacer::new(config.rate, window);
    let board = Arc::<Board>::default();
    let mut writer = Writer::new(Arc::clone(&board));
    writer.show(&config.pools);
    agent.start(board)?;
    supervisor.ready("checking");
    let journal = Journal::new(NonBlockingWriter::new(io::stdout()), engine.name());
    let mut daemon = Daemon::new(fleet, journal, writer, supervisor, &signals);
    let mut checker = Checker::new(secret()?, attempts);
    run(&mut checker, engine.as_engine(), &mut pacer, &mut daemon, None, None)?;
    Ok(())
}

/// Returns the pools of a configuration with those targets that need no look-up.
fn fill(config: &Config) -> Result<Fleet, LocalError> {
    let mut fleet = Fleet::new(config.rate, seed()?);
    for PoolConfig { settings, targets, .. } in &config.pools {
        let pool = fleet.add_pool(settings.clone());
        for target in targets {
            let Hosts::Block(block) = target.hosts else { continue };
            for (address, port) in
                block.iter().flat_map(|a| target.ports.iter().map(move |p| (a, p)))
            {
                let place = Place::Endpoint((address, port).into());
                fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
            }
        }
    }
    Ok(fleet)
}

fn secret() -> Result<Secret, LocalError> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| LocalError::Random)?;
    Ok(Secret::new(key))
}

fn seed() -> Result<u64, LocalError> {
    SysRng.try_next_u64().map_err(|_| LocalError::Random)
}
