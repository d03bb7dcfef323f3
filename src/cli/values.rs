//! The values of options.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::attempt::Attempts;
use crate::number::whole;

/// A value that cannot be read. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("write seconds, such as 2 or 1.5, or 500ms; from 1ms to a day")]
    Timeout,
    #[error("write a number from {0} to {1}")]
    Number(u32, u32),
    #[error("write it without leading zeros, which are octal to some programs")]
    Padded,
    #[error("write a number, such as 7 or 0x7")]
    Mark,
    #[error("write an IPv4 address such as 192.0.2.7, or an IPv6 one such as 2001:db8::7")]
    Address,
}

/// Reads seconds, or milliseconds with `ms`.
pub(super) fn timeout(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| ValueError::Timeout)? * unit;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(ValueError::Timeout);
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads a number within `range`.
pub(super) fn number<T: Copy + FromStr + Into<u32> + PartialOrd + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, ValueError> + Clone {
    move |text| {
        let number = whole(text).filter(|number| range.contains(number));
        let (first, last) = ((*range.start()).into(), (*range.end()).into());
        number.ok_or_else(|| padded_or(text, ValueError::Number(first, last)))
    }
}

/// Reads a number of retransmissions, and returns the number of SYNs.
pub(super) fn attempts(text: &str) -> Result<Attempts, ValueError> {
    let last = u32::try_from(Attempts::MAX.last()).expect("a small number");
    let attempts = whole(text).and_then(Attempts::with_retries);
    attempts.ok_or_else(|| padded_or(text, ValueError::Number(0, last)))
}

/// Reads a firewall mark, decimal or hexadecimal.
pub(super) fn mark(text: &str) -> Result<u32, ValueError> {
    let Some(digits) = text.strip_prefix("0x") else {
        return whole(text).ok_or_else(|| padded_or(text, ValueError::Mark));
    };
    let unsigned = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| unsigned).ok_or(ValueError::Mark)
}

fn padded_or(text: &str, error: ValueError) -> ValueError {
    let number = whole::<u32>(text.trim_start_matches('0')).is_some();
    if number && text.starts_with('0') { ValueError::Padded } else { error }
}

/// Reads an IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Address)
}
