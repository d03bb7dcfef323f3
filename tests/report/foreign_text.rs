//! Text from outside, such as names of interfaces, in each format.

use halfopen::local_error::LocalError;
use halfopen::plan::Format;
use halfopen::report::Report;
use halfopen::verdict::Reason;
use serde_json::Value;

use crate::pool_reports::open;
use crate::reports::{answered, at_verbosity, pool, render};

/// Names of interfaces may contain almost any character (`dev_valid_name()`), and other text comes
/// from outside, too.
#[test]
fn foreign_text_breaks_neither_lines_nor_performance_data() {
    let hostile = "a|b'c=d;e f\ng\r\u{1b}[31m\u{7f}\u{85}\u{202e}\u{2028}\u{feff}";
    for (hostile, harmless) in kinds(hostile).into_iter().zip(kinds("eth0")) {
        for (format, verbosity) in
            [(Format::Nagios, 0), (Format::Nagios, 3), (Format::Text, 0), (Format::Text, 3)]
        {
            let text =
                |report: &Report| render(&at_verbosity(verbosity, report.clone()), format, false).0;
            let (out, like) = (text(&hostile), text(&harmless));
            for special in
                ['\n', '|', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{202e}', '\u{2028}', '\u{feff}']
            {
                let count = |text: &str| text.matches(special).count();
                assert_eq!(count(&out), count(&like), "{special:?} in {out:?}");
            }
        }
    }
}

/// The guidelines want quotes around the label, doubled quotes within it, and no equals sign.
#[test]
fn a_label_of_performance_data_is_read_as_one() {
    let [.., pool] = &kinds("a|b'c=d;e f")[..] else { panic!("no pool") };
    let (out, _) = render(pool, Format::Nagios, false);
    let data = out.lines().next().unwrap().split_once('|').unwrap().1;
    let (open, rest) = data.split_once(' ').unwrap();
    assert_eq!(open, "open=1;;;0;3");
    let quoted = rest.strip_prefix('\'').unwrap().replace("\'\'", "\"");
    let (label, value) = quoted.split_once('\'').unwrap();
    assert_eq!((label, value), ("[fe80::1%a/b\"c_d;e f]:25", "=0.000360s;;;0;10"));
}

#[test]
fn json_has_names_as_they_are() {
    let name = "a|b'c=d;e\"f\ng\u{1b}\u{202e}";
    let (out, _) = render(&kinds(name)[0], Format::Json, false);
    let line: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(line["target"], format!("[fe80::1%{name}]:25"));
}

/// Reports of a target on this interface, open, closed and unknown, and of a pool of all three.
fn kinds(interface: &str) -> Vec<Report> {
    let of =
        |outcome| (format!("[fe80::1%{interface}]:25"), Some("fe80::1".parse().unwrap()), outcome);
    let (value, errno) = (interface.to_owned(), nix::errno::Errno::ENODEV);
    let error = LocalError::Option { option: "interface", value, errno };
    let found = [open(360), Ok(answered(Reason::RstAck, 360)), Err(error.into())].map(of).to_vec();
    let singles = found.iter().map(|found| pool(vec![found.clone()]));
    singles.chain([pool(found.clone())]).collect()
}
