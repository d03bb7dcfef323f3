//! The samples in README.md and `docs/`: each command runs, and prints what its page says.
//!
//! On the pages the hosts are in 192.0.2.0/24, which RFC 5737 reserves for documentation. Here they
//! are in 198.18.0.0/24. The pages' IPv6 addresses are used as they are.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::names::Names;
use lab::{Namespace, halfopen_path, with_own_clock};

const OPEN: [&str; 4] = ["198.18.0.7:25", "198.18.0.7:80", "198.18.0.10:25", "[2001:db8::7]:25"];
/// One host is silent, another loses the first of two SYNs, and a third all SYNs to one port.
const FIREWALL: &str = "table inet t { chain in { type filter hook input priority 0; \
    ip daddr 198.18.0.9 drop; ip daddr 198.18.0.7 tcp dport 8080 tcp flags == syn drop; ip6 daddr 2001:db8::9 tcp flags == syn drop; \
    ip daddr 198.18.0.10 tcp flags == syn numgen inc mod 2 == 0 drop; }; }";
const HOSTS: &str = "198.18.0.7 web.example\n2001:db8::9 web.example\n";
const POOL: &str = "# the mail servers\n198.18.0.7:25,80\n198.18.0.9 25\n[2001:db8::7]:25\n";

#[test]
fn every_sample_prints_what_its_page_says() {
    let network = Network::new();
    let mut wrong = Vec::new();
    // The resident program runs for ever. Its page is tried with HAProxy.
    let pages = pages().into_iter().filter(|page| !page.ends_with("halfopend.md"));
    let samples: Vec<_> = pages.flat_map(|page| samples(&page)).collect();
    assert!(samples.len() > 10, "{samples:#?}");
    for Sample { command, output } in samples {
        let actual = network.run(&command);
        if masked(&output) != masked(&actual) {
            wrong.push(format!("$ {command}\n{actual}\nis not what the page says:\n{output}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_between_pages_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        let targets = text.split("](").skip(1).chain(text.split("src=\"").skip(1));
        for target in targets.map(|rest| rest.split([')', '"', '#']).next().unwrap()) {
            let elsewhere = target.is_empty() || target.contains("://");
            assert!(elsewhere || folder.join(target).exists(), "{}: {target}", page.display());
        }
    }
}

/// A command and what it prints.
#[derive(Debug)]
struct Sample {
    command: String,
    output: String,
}

/// Returns the samples of the `console` blocks of a page.
fn samples(page: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(page).unwrap().replace("192.0.2.", "198.18.0.");
    let mut samples: Vec<Sample> = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').unwrap();
        let is_command = |line: &str| line.starts_with("$ ") || line.starts_with("# halfopen");
        if language != "console" {
            assert!(!block.lines().any(is_command), "{}: not a console: {block}", page.display());
            continue;
        }
        for line in block.lines() {
            if is_command(line) {
                samples.push(Sample { command: line[2..].to_owned(), output: String::new() });
            } else {
                let sample = samples.last_mut().expect("a command before its output");
                sample.output += line;
                sample.output += "\n";
            }
        }
    }
    samples
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs"), root.join("packaging")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let pages: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(pages.contains(&root.join("README.md")) && pages.len() > 8, "{pages:?}");
    pages
}

/// Replaces what differs between runs: decimals with more than one fractional digit, zero, numbers
/// of five digits and more (ports and sequence numbers), and the spaces of columns.
fn masked(text: &str) -> Vec<String> {
    let words = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(masked_word).collect();
        words.join(" ")
    };
    text.lines().map(words).collect()
}

fn masked_word(word: &str) -> String {
    let mut masked = String::new();
    let mut rest = word;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[begin..].find(|c: char| !c.is_ascii_digit() && !".e-".contains(c));
        let end = end.map_or(rest.len(), |length| begin + length);
        let number = &rest[begin..end];
        let varies = match number.split_once('.') {
            None => number.len() > 4 || number.contains("e-"),
            Some((_, fraction)) => {
                number == "0.0" || (fraction.len() > 1 && !fraction.contains('.'))
            }
        };
        masked += &rest[..begin];
        masked += if varies { "N" } else { number };
        rest = &rest[end..];
    }
    masked + rest
}

/// The hosts of the samples, and the folder that the commands run in.
struct Network {
    client: Namespace,
    _server: Namespace,
    _listeners: Vec<TcpListener>,
    names: Names,
    folder: TempDir,
}

impl Network {
    fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        client.cable("client0", &server, "server0");
        client.address("client0", &["198.18.0.1/24", "2001:db8::1/64"]);
        let addresses = ["198.18.0.7/24", "198.18.0.8/24", "198.18.0.9/24", "198.18.0.10/24"];
        server.address("server0", &addresses);
        server.address("server0", &["2001:db8::7/64", "2001:db8::9/64"]);
        server.nft(FIREWALL);
        let listen = |at: &str| server.listen(at.parse::<SocketAddr>().expect("an endpoint"));
        let listeners = OPEN.map(listen).into();
        let folder = tempfile::tempdir().expect("a scratch directory");
        for name in ["halfopen", "check_tcp_half_open"] {
            symlink(halfopen_path(), folder.path().join(name)).expect("a link");
        }
        fs::write(folder.path().join("pool.txt"), POOL).expect("a scratch file");
        let names = Names::with_hosts(HOSTS);
        Self { client, _server: server, _listeners: listeners, names, folder }
    }

    fn run(&self, command: &str) -> String {
        let folder = self.folder.path().display();
        let script = format!("cd {folder} && PATH={folder}:$PATH && {command}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        let outcome = self.client.outcome(self.names.shown_to(&with_own_clock(shell)));
        assert_eq!(outcome.stderr, "", "{command}");
        outcome.stdout
    }
}
