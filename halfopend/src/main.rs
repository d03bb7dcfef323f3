//! Parse, open, confine, run; nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use halfopen::checker::Checker;
use halfopen::descriptors::Descriptors;
use halfopen::engine::{EngineConfig, OpenEngines};
use halfopen::event_loop::run;
use halfopen::explain::Explainer;
use halfopen::local_error::{LocalError, in_words};
use halfopen::non_blocking_writer::Output;
use halfopen::pacer::Pacer;
use halfopen::privilege::{self, PrivilegeError};
use halfopen::probe::Secret;
use halfopen::target::Target;
use halfopend::agent::{Agent, AgentError};
use halfopend::arguments::{Arguments, Stop};
use halfopend::board::{Board, Writer};
use halfopend::config::{Config, ConfigError, PoolConfig, Settings, Summary};
use halfopend::daemon::Daemon;
use halfopend::descriptors::{Clients, divide};
use halfopend::egress;
use halfopend::fleet::Fleet;
use halfopend::hooks::{self, HelperError, Hooks};
use halfopend::http::{self, HttpError, Server};
use halfopend::inventory::{Inventory, ReadConfig};
use halfopend::journal::Journal;
use halfopend::line_output::LineOutput;
use halfopend::live::Live;
use halfopend::log::Log;
use halfopend::notify::Supervisor;
use halfopend::outputs::Outputs;
use halfopend::signals::Signals;
use jiff::Timestamp;
use nix::libc::{ENXIO, O_NONBLOCK};
use rand::TryRng;
use rand::rngs::SysRng;

fn main() -> ExitCode {
    let start = Instant::now();
    // Before all else: a helper for hooks runs what its caller wants.
    if let Err(error) = privilege::become_caller() {
        eprintln!("halfopend: {error}");
        return ExitCode::FAILURE;
    }
    if let Some(code) = hooks::serve() {
        return code;
    }
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(Stop::Answer(text)) => {
            let _ = write!(io::stdout(), "{text}"); // the reader may have read enough
            return ExitCode::SUCCESS;
        }
        Err(Stop::Usage(mistake)) => {
            let _ = write!(io::stderr(), "halfopend: {mistake}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let Ok(messages) = LineOutput::new(io::stderr()) else { return ExitCode::FAILURE };
    let mut log = Log::new(messages, arguments.log);
    let result = if arguments.check { check(arguments) } else { serve(arguments, start, &mut log) };
    let Err(failure) = result else { return ExitCode::SUCCESS };
    log.error(&failure.to_string());
    match failure {
        Failure::Config(_)
        | Failure::Egress(_)
        | Failure::Http(HttpError::WebConfig(_))
        | Failure::LentRate(_) => ExitCode::from(WRONG_CONFIGURATION),
        _ => ExitCode::FAILURE,
    }
}

/// The exit code for mistakes in the configuration or on the command line.
const WRONG_CONFIGURATION: u8 = 2;

/// The highest rate, in SYNs per second, for callers without privilege of their own: the default.
const LENT_RATE: u32 = 10_000;

/// Why the program ends, if not by a signal.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Egress(#[from] egress::TooMany),
    #[error("rate {0} is only for root and callers with CAP_NET_RAW: use 1 to {LENT_RATE}")]
    LentRate(u32),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Hooks(#[from] HelperError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("cannot write to {}: nothing reads it; start its reader first", .0.display())]
    NoReader(PathBuf),
    #[error("cannot write to {}: {}", file.display(), in_words(source))]
    Output { file: PathBuf, source: io::Error },
}

/// Reads the settings that the arguments name.
fn settings(config: Option<&Path>, targets: Vec<Target>) -> Result<Settings, ConfigError> {
    config.map_or_else(|| Ok(Settings::of_targets(targets)), Settings::read)
}

/// Says what is understood.
fn check(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = settings(arguments.config.as_deref(), arguments.targets)?;
    check_rate(settings.config.rate)?;
    egress::engines(&mut settings.config)?;
    Server::open(&[], arguments.web_config.as_deref())?;
    privilege::relinquish(|| true)?; // files of targets are read without
    let config = settings.read_targets()?;
    let _ = writeln!(io::stdout(), "{}", Summary(&config)); // the reader may have read enough
    Ok(())
}

fn serve(arguments: Arguments, start: Instant, log: &mut Log<impl Output>) -> Result<(), Failure> {
    let signals = Signals::watch()?;
    let addresses = arguments.addresses();
    let Arguments { config: file, targets, events, web_config, .. } = arguments;
    let read = move || settings(file.as_deref(), targets.clone());
    let mut settings = read()?;
    check_rate(settings.config.rate)?;
    let wanted = egress::engines(&mut settings.config)?;
    let mut hooks = Hooks::start("/proc/self/exe", hooks::commands(&settings.config.pools))?;
    let supervisor = Supervisor::of_environment();
    let mut agent = Agent::listen(settings.config.pools.iter().filter_map(|pool| pool.agent))?;
    let mut server = Server::open(&addresses, web_config.as_deref())?;
    let events = open_events(&events)?;
    let mut engines = open_engines(&wanted, (&mut agent, &mut server), start)?;
    let config = settings.read_targets()?;
    let mut fleet = create_fleet(&config, &engines, log)?;
    let window = engines.enable_batching();
    let mut pacer = Pacer::new(config.rate, window);
    let writer = start_agent(agent, &config.pools)?;
    let has_target_metrics = config.target_metrics;
    let total = Summary(&config).total();
    supervisor.ready(&total);
    log.info(&format!("checking {total}"));
    hooks.set_engine(engines.name());
    let (mut checker, mut explainer) = checker(&config)?;
    let read: ReadConfig = Arc::new(move || {
        read().and_then(Settings::read_targets).map_err(|error| error.to_string())
    });
    let inventory = Inventory::new(config, read, &mut fleet, Duration::ZERO);
    let (publisher, live) = Live::new(Timestamp::now(), fleet.views());
    let http =
        server.start(live, has_target_metrics, (inventory.text(), inventory.terms()), log)?;
    let journal = Journal::new(events, engines.name());
    let outputs = Outputs::new(journal, writer, hooks, publisher);
    let mut daemon = Daemon::new((fleet, inventory), outputs, http, supervisor, log, &signals);
    let mut engine = engines.into_engine(egress::engine_of);
    run(&mut checker, engine.as_mut(), &mut pacer, &mut daemon, explainer.as_mut(), None)?;
    let lags = daemon.lags().to_string();
    daemon.finish();
    log.info(&lags);
    Ok(())
}

/// Creates what decides about targets, and what explains them if that is wanted.
fn checker(config: &Config) -> Result<(Checker, Option<Explainer>), LocalError> {
    let (secret, attempts) = (secret()?, config.attempts());
    let checker = Checker::new(secret.clone(), attempts);
    let explainer = config.explain.then(|| Explainer::new(secret, attempts, Duration::MAX));
    Ok((checker, explainer))
}

/// Creates a fleet without pools, and says which pools there are too few descriptors for.
fn create_fleet(
    config: &Config,
    engines: &OpenEngines,
    log: &mut Log<impl Output>,
) -> Result<Fleet, LocalError> {
    let mut fleet = Fleet::new(config.rate, seed()?);
    let capacities = engines.capacities();
    fleet.limit_checks(&capacities);
    for line in egress::shortages(config, &capacities) {
        log.warn(&line);
    }
    Ok(fleet)
}

/// Starts the agent, and returns what tells it about these pools.
fn start_agent(agent: Agent, pools: &[PoolConfig]) -> Result<Writer, AgentError> {
    let board = Arc::<Board>::default();
    let mut writer = Writer::new(Arc::clone(&board));
    writer.show(pools);
    agent.start(board)?;
    Ok(writer)
}

/// Refuses a rate that the caller could not reach without the privilege of this program.
fn check_rate(rate: u32) -> Result<(), Failure> {
    let is_allowed = !privilege::is_lent() || (1..=LENT_RATE).contains(&rate);
    is_allowed.then_some(()).ok_or(Failure::LentRate(rate))
}

/// Opens the engines, and gives up all privilege that they do not need. Divides the descriptors
/// that are left between checks and clients.
fn open_engines(
    wanted: &[EngineConfig],
    (agent, server): (&mut Agent, &mut Server),
    start: Instant,
) -> Result<OpenEngines, Failure> {
    privilege::raise();
    let engines = OpenEngines::open(wanted, start);
    let is_enough = || engines.as_ref().ok().is_none_or(OpenEngines::has_enough_privilege);
    let kept = privilege::relinquish(is_enough)?;
    privilege::confine(kept, &http::SYSTEM_CALLS)?;
    let mut engines = engines?;
    share_descriptors(&mut engines, agent, server);
    Ok(engines)
}

fn share_descriptors(engines: &mut OpenEngines, agent: &mut Agent, server: &mut Server) {
    let (http, lookups) = server.descriptors();
    let wanted = Clients { http, agent: agent.clients(), lookups };
    // Each engine asks about routes by a socket that it opens later.
    let left = Descriptors::raise().left().saturating_sub(engines.capacities().len());
    let (checks, clients) = divide(left, wanted);
    engines.limit_checks(checks);
    agent.limit_clients(clients.agent);
    server.limit_descriptors(clients.http, clients.lookups);
}

/// Opens the file for events. `-` is standard output. A FIFO must have a reader already.
fn open_events(file: &Path) -> Result<LineOutput, Failure> {
    let opened = if file == "-" {
        LineOutput::new(io::stdout())
    } else {
        let mut options = File::options();
        options.append(true).create(true).custom_flags(O_NONBLOCK);
        options.open(file).and_then(LineOutput::new)
    };
    opened.map_err(|source| match source.raw_os_error() {
        Some(ENXIO) => Failure::NoReader(file.to_owned()),
        _ => Failure::Output { file: file.to_owned(), source },
    })
}

fn secret() -> Result<Secret, LocalError> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| LocalError::Random)?;
    Ok(Secret::new(key))
}

fn seed() -> Result<u64, LocalError> {
    SysRng.try_next_u64().map_err(|_| LocalError::Random)
}
