//! Simple command lines, read without clap.
//!
//! Load balancers and monitors run a new process for each check, and reading these command lines by
//! clap would make it 0.06 ms longer (`docs/measurements.md`).

use std::ffi::OsString;

use super::arguments::Arguments;
use super::values::timeout;

/// Reads targets and the options of `check_tcp`, each with its value in the next word. The first
/// word is the program's name.
///
/// Returns `None` for everything else, also if a value is wrong: clap reads that, or says what is
/// wrong with it.
pub(super) fn parse(words: &[OsString]) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    let mut words = words.iter().skip(1).map(|word| word.to_str());
    while let Some(word) = words.next() {
        let word = word?;
        if !word.starts_with('-') {
            arguments.words.extend((!word.is_empty()).then(|| word.to_owned()));
            continue;
        }
        match (word, words.next()??) {
            (_, value) if value.starts_with('-') => return None,
            ("-H" | "-p" | "-t" | "-w" | "-c", "") => {}
            ("-H", host) => arguments.hostname = Some(host.to_owned()),
            ("-p", port) => arguments.port = Some(port.to_owned()),
            ("-t", value) => arguments.time.timeout = timeout(value).ok()?,
            ("-w", range) => arguments.warning = Some(range.parse().ok()?),
            ("-c", range) => arguments.critical = Some(range.parse().ok()?),
            _ => return None,
        }
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::cli::by_clap;

    const TARGETS: &[&str] = &[
        "192.0.2.7",
        "2001:db8::7",
        "[2001:db8::7]:443",
        "::ffff:192.0.2.7",
        "fe80::1%eth0",
        "mail",
        "mail:25",
        "198.18.0.0/24:80",
        "25",
        "25,80",
        "8000-8010",
        "0x50",
        "=",
        "help",
        "1 2",
        "\u{e9}",
    ];

    const VALUES: &[&str] =
        &["2", "0.5", "500ms", "2s", "1e1", "0", "nan", "+2", "10:", "@1:2", "2:1", "~:1", " 2"];

    const OPTIONS: &[&str] = &["-H", "-p", "-t", "-w", "-c"];

    const UNUSUAL: &[&str] = &[
        "-",
        "--",
        "-1",
        "-1:",
        "-h",
        "-V",
        "-v",
        "-vv",
        "-4",
        "-6",
        "-46",
        "-4t",
        "-t2",
        "-t=2",
        "-H=mail",
        "-pt",
        "-x",
        "-r",
        "-o",
        "-S",
        "--timeout",
        "--timeout=2",
        "--time",
        "--hostname",
        "--port=25",
        "--targets",
        "--retries",
        "--rate",
        "--self-test",
        "--engine",
        "--",
        "---",
        "-\u{e9}",
    ];

    fn word() -> impl Strategy<Value = OsString> {
        let text = |words: &'static [&str]| select(words).prop_map(OsString::from);
        prop_oneof![
            8 => text(TARGETS),
            8 => text(OPTIONS),
            6 => text(VALUES),
            2 => Just(OsString::new()),
            1 => text(UNUSUAL),
            1 => "[-=:.,a-z0-9]{0,4}".prop_map(OsString::from),
            1 => vec(any::<u8>(), 0..3).prop_map(OsString::from_vec),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn clap_agrees_with_what_is_read_here(words in vec(word(), 0..9)) {
            if let Some(arguments) = parse(&words) {
                let by_clap = by_clap(words).map_err(|error| TestCaseError::fail(error.to_string()));
                prop_assert_eq!(arguments, by_clap?);
            }
        }
    }

    #[test]
    fn the_calls_of_load_balancers_and_monitors_are_read_here() {
        for line in [
            "halfopen 192.0.2.7 25",
            "halfopen -t 2 192.0.2.7 25",
            "halfopen 2001:db8::7 25 -t 500ms",
            "halfopen -H mail -p 25",
            "halfopen -H mail -p 25 -t 2 -w 0.1 -c 0.5",
            "halfopen mail:25 [2001:db8::7]:443",
        ] {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            let arguments = parse(&words).expect(line);
            assert_eq!(arguments, by_clap(words).unwrap(), "{line}");
        }
        let unset =
            ["halfopen", "-H", "mail", "-p", "25", "-w", "", "-c", "", ""].map(OsString::from);
        assert_eq!(parse(&unset).unwrap(), by_clap(unset.into()).unwrap());
    }

    #[test]
    fn what_only_clap_can_read_is_left_to_it() {
        for line in [
            "halfopen -t -1 mail 25",
            "halfopen -t 0 mail 25",
            "halfopen -w -5:5 mail 25",
            "halfopen mail 25 -t",
            "halfopen -- mail 25",
            "halfopen -t2 mail 25",
            "halfopen -v mail 25",
            "halfopen --help",
            "halfopen --self-test",
        ] {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(parse(&words), None, "{line}");
        }
    }
}
