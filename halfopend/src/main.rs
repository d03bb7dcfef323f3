//! Parse, open, confine, run; nothing else.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use halfopen::checker::Checker;
use halfopen::engine::OpenEngines;
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
use halfopend::egress;
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
    let mut config = Config::of_targets(arguments.targets);
    let wanted = egress::engines(&mut config)?;
    let supervisor = Supervisor::of_environment();
    let agent = Agent::listen(config.pools.iter().filter_map(|pool| pool.agent))?;
    privilege::raise();
    let engines = OpenEngines::open(&wanted, start);
    let is_enough = || engines.as_ref().ok().is_none_or(OpenEngines::has_enough_privilege);
    let kept = privilege::relinquish(is_enough)?;
    privilege::confine(kept, &[])?;
    let mut engines = engines?;
    let fleet = fill(&config)?;
    let window = engines.enable_batching();
    let mut pacer = Pacer::new(config.rate, window);
    let board = Arc::<Board>::default();
    let mut writer = Writer::new(Arc::clone(&board));
    writer.show(&config.pools);
    agent.start(board)?;
    supervisor.ready("checking");
    let journal = Journal::new(NonBlockingWriter::new(io::stdout()), engines.name());
    let mut daemon = Daemon::new(fleet, journal, writer, supervisor, &signals);
    let mut checker = Checker::new(secret()?, config.attempts());
    let mut engine = engines.into_engine(egress::engine_of);
    run(&mut checker, engine.as_mut(), &mut pacer, &mut daemon, None, None)?;
    eprintln!("halfopend: {}", daemon.lags());
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
