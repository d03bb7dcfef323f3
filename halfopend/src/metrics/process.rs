//! The metrics of a process that Prometheus' own clients have, under the same names.

use std::fs;

use jiff::Timestamp;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::text::{Kind, Text};

/// Writes those that can be had, of a program that started at that time.
pub(super) fn write(started: Timestamp, text: &mut Text) {
    let mut one = |name: &str, kind, help: &str, value: Option<String>| {
        if let Some(value) = value {
            text.plain_head(name, kind, help);
            text.plain_line(name, value);
        }
    };
    let cpu = getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    });
    one("process_cpu_seconds_total", Kind::Counter, "User and system time in seconds.", cpu);
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().to_string());
    one("process_open_fds", Kind::Gauge, "Open descriptors.", open);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft.to_string());
    one("process_max_fds", Kind::Gauge, "The most open descriptors.", limit);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some((kilobytes * 1024).to_string())
    };
    one("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory in bytes.", bytes("VmSize:"));
    one("process_resident_memory_bytes", Kind::Gauge, "Resident memory in bytes.", bytes("VmRSS:"));
    let start = Some(started.as_second().to_string());
    one("process_start_time_seconds", Kind::Gauge, "When the program started.", start);
}
