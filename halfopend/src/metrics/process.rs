//! The metrics of a process that Prometheus' own clients have, under the same names.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::encoder::{Encoder, Kind, Value};

/// Writes those that can be had, of a program that started at that time.
pub(super) fn write(started: Timestamp, encoder: &mut dyn Encoder) {
    let mut one = |name: &str, kind, help: &str, value: Option<Value>| {
        if let Some(value) = value {
            encoder.begin(name, kind, help, false);
            encoder.plain(value);
            encoder.end();
        }
    };
    let cpu = getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(Duration::from_micros(micros.try_into().ok()?).into())
    });
    one("process_cpu_seconds_total", Kind::Counter, "User and system time in seconds.", cpu);
    let open = fs::read_dir("/proc/self/fd").ok().map(|it| Value::Number(it.count() as u64));
    one("process_open_fds", Kind::Gauge, "Open descriptors.", open);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft.into());
    one("process_max_fds", Kind::Gauge, "The most open descriptors.", limit);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Value::Number(kilobytes * 1024))
    };
    one("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory in bytes.", bytes("VmSize:"));
    one("process_resident_memory_bytes", Kind::Gauge, "Resident memory in bytes.", bytes("VmRSS:"));
    let start = Some(started.into());
    one("process_start_time_seconds", Kind::Gauge, "When the program started.", start);
}
