//! Why a target is not open (`--explain`): the built program between real kernels.

mod explained;
mod full_queue;
mod hosts;

mod answered;
mod firewalls;
mod listeners;
mod lossy;
mod nmap;
mod output;
mod peer;
mod pools;
mod refusals;
mod silence;
mod translation;
mod unchanged;
mod wire;

const ENGINES: [&str; 2] = ["raw", "connect"];
