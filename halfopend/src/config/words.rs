//! The values of the file, as people write them.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::engine::EngineKind;
use halfopen::target::{Target, is_interface};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::Addresses;
use crate::fleet::fail_open::Limit;

/// A value that is written as a string.
pub(super) trait Word: Sized {
    /// What it looks like, for messages.
    const FORM: &'static str;

    /// Reads the string.
    fn read(text: &str) -> Option<Self>;
}

/// A [`Word`] of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quoted<T>(pub(super) T);

impl<'de, T: Word> Deserialize<'de> for Quoted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<T: Word> Visitor<'_> for Reader<T> {
            type Value = Quoted<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::FORM)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Quoted<T>, E> {
                let value = T::read(text).map(Quoted);
                value.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// The shortest duration that can be written, and the longest.
const DURATIONS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_hours(24));

impl Word for Duration {
    const FORM: &'static str =
        "a time with its unit, such as \"250ms\", \"1.5s\", \"5m\" or \"1h\", from 1ms to 24h";

    fn read(text: &str) -> Option<Self> {
        let unit = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, unit) = text.split_at(unit);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let duration = Self::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        (DURATIONS.0..=DURATIONS.1).contains(&duration).then_some(duration)
    }
}

impl Word for IpAddr {
    const FORM: &'static str = "an IP address, such as \"192.0.2.7\" or \"2001:db8::7\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Word for SocketAddr {
    const FORM: &'static str =
        "an address with a port, such as \"127.0.0.1:10116\" or \"[::1]:10116\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|address: &Self| address.port() != 0)
    }
}

impl Word for EngineKind {
    const FORM: &'static str = "\"auto\", \"raw\" or \"connect\"";

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "auto" => Self::Auto,
            "raw" => Self::Raw,
            "connect" => Self::Connect,
            _ => return None,
        })
    }
}

impl Word for Addresses {
    const FORM: &'static str = "\"first\" or \"all\"";

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "first" => Self::First,
            "all" => Self::All,
            _ => return None,
        })
    }
}

/// Whether states stand while nothing at all answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Isolation {
    Hold,
    Ignore,
}

impl Word for Isolation {
    const FORM: &'static str = "\"hold\" or \"ignore\"";

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "hold" => Self::Hold,
            "ignore" => Self::Ignore,
            _ => return None,
        })
    }
}

/// The name of a network interface.
#[derive(Debug, Clone)]
pub(super) struct Interface(pub(super) String);

impl Word for Interface {
    const FORM: &'static str = "the name of a network interface, such as \"eth0\"";

    fn read(text: &str) -> Option<Self> {
        is_interface(text).then(|| Self(text.to_owned()))
    }
}

/// The name of a pool or of a module. It appears in events, metrics and addresses of pages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Box<str>);

impl Word for Name {
    const FORM: &'static str = "a name of 1 to 64 letters, digits, '.', '-' and '_'";

    fn read(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_name = (1..=64).contains(&text.len()) && text.chars().all(fits);
        is_name.then(|| Self(text.into()))
    }
}

/// An argument of a program.
#[derive(Debug, Clone)]
pub(super) struct Argument(pub(super) String);

impl Word for Argument {
    const FORM: &'static str = "an argument without a zero byte";

    fn read(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| Self(text.to_owned()))
    }
}

/// A fraction that is written as a percentage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percentage(pub(super) f64);

impl Word for Percentage {
    const FORM: &'static str = "a percentage, such as \"10%\", from \"0%\" to \"100%\"";

    fn read(text: &str) -> Option<Self> {
        percentage(text).map(|percentage| Self(percentage / 100.0))
    }
}

fn percentage(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percentage = number.parse().ok().filter(|_| is_plain)?;
    (0.0..=100.0).contains(&percentage).then_some(percentage)
}

/// A target, whose error says what is wrong with it.
#[derive(Debug)]
pub(super) struct Written(pub(super) Target);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target, such as \"192.0.2.7:443\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
                text.parse().map(Written).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(u32);

/// A number of 8 bits that is not 0.
pub(super) type Small = Whole<1, 255>;

impl<const MIN: u32, const MAX: u32> Whole<MIN, MAX> {
    /// Returns the number.
    pub(super) fn get<T: TryFrom<u32>>(self) -> T {
        T::try_from(self.0).unwrap_or_else(|_| unreachable!("the limit is that of the type"))
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for Reader<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number from {MIN} to {MAX}")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                let inside = u32::try_from(number).ok().filter(|n| (MIN..=MAX).contains(n));
                inside.map(Whole).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
            }
        }

        deserializer.deserialize_i64(Reader)
    }
}

/// The number of SYNs of a check, written as the number of retransmissions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries(Attempts);

impl Retries {
    /// Returns the number of SYNs.
    pub(super) fn attempts(self) -> Attempts {
        self.0
    }
}

impl<'de> Deserialize<'de> for Retries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let retries = Whole::<0, 10>::deserialize(deserializer)?.get();
        Ok(Self(Attempts::with_retries(retries).expect("at most 10")))
    }
}

/// When silent targets are advertised as up.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailOpen(pub(super) Limit);

impl<'de> Deserialize<'de> for FailOpen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = FailOpen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"off\", a number of targets such as 1, or a percentage such as \"20%\"",
                )
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<FailOpen, E> {
                let limit = number.try_into().map(Limit::Number);
                limit.map(FailOpen).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FailOpen, E> {
                let limit = match text {
                    "off" => Some(Limit::Off),
                    text => percentage(text).map(Limit::Percentage),
                };
                limit.map(FailOpen).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
