//! TLS and passwords. The judges are openssl and curl.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, Namespace};

use crate::daemon::{Daemon, Files, PATIENCE, SERVERS, wait_until};
use crate::http::{HERE, curl, files, read_to_end, start};

/// Hashes of "right" with the cost 4 and of "expensive" with the cost 8, by crypt(3).
const USERS: &str = "basic_auth_users:\n  alice: $2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC\n  bob: $2y$08$abcdefghijklmnopqrstuuiOeKrcwY.Y77FOI9e5VhzSyTcTb3jsW\n";

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// Makes a certificate with its key, for this name. It is signed by that authority, or by itself.
fn certificate(files: &Files, name: &str, subject: &str, authority: Option<&str>) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "2", "-subj", &format!("/CN={subject}"), "-keyout"]);
    command.arg(files.path(&format!("{name}.key"))).arg("-out");
    command.arg(files.path(&format!("{name}.crt")));
    command.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    if let Some(authority) = authority {
        command.arg("-CA").arg(files.path(&format!("{authority}.crt")));
        command.arg("-CAkey").arg(files.path(&format!("{authority}.key")));
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    }
    let outcome = command.output().expect("openssl");
    assert!(outcome.status.success(), "{outcome:?}");
}

/// Returns files with a certificate for the server, and this text behind `tls_server_config`.
fn with_tls(more: &str) -> Files {
    let files = files();
    certificate(&files, "server", "server", None);
    files.write("web.yml", &format!("{TLS}{more}"));
    files
}

fn serve(lab: &Lab, files: &Files) -> Daemon {
    start(lab, files, &["--web-config", files.path("web.yml").to_str().expect("text")])
}

fn log(files: &Files) -> String {
    fs::read_to_string(files.path("log")).unwrap_or_default()
}

fn path(files: &Files, name: &str) -> String {
    files.path(name).to_str().expect("text").to_owned()
}

/// Asks for `/-/healthy` by TLS, and returns the status.
fn ask(host: &Namespace, files: &Files, words: &[&str]) -> String {
    let authority = path(files, "server.crt");
    let url = format!("https://{HERE}/-/healthy");
    curl(host, &[&["--cacert", &authority], words, &[&url]].concat()).0
}

/// Agrees on TLS with `openssl s_client`, and returns what it says.
fn handshake(host: &Namespace, words: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", HERE]).args(words).stdin(Stdio::null());
    let outcome = host.outcome(command);
    outcome.stdout + &outcome.stderr
}

#[test]
fn the_versions_and_suites_are_those_of_the_file() {
    let lab = Lab::new();
    let files = with_tls("");
    let _daemon = serve(&lab, &files);
    assert_eq!(ask(&lab.client, &files, &[]), "200");
    assert_eq!(ask(&lab.client, &files, &["--http2"]), "200");
    let agreed = |words: &[&str]| handshake(&lab.client, words);
    assert!(agreed(&["-tls1_3"]).contains("New, TLSv1.3, "));
    assert!(agreed(&["-tls1_2"]).contains("New, TLSv1.2, "));
    assert!(agreed(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).contains("New, (NONE)"));
    assert!(agreed(&["-alpn", "h2,http/1.1"]).contains("ALPN protocol: http/1.1"));
    // The files are read again.
    files.write("web.yml", &format!("{TLS}  min_version: TLS13\n"));
    wait_until("it is TLS 1.3 only", || agreed(&["-tls1_2"]).contains("New, (NONE)"));
    let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    files.write("web.yml", &format!("{TLS}  max_version: TLS12\n  cipher_suites: [{suite}]\n"));
    wait_until("it has one suite", || {
        agreed(&[]).contains("New, TLSv1.2, Cipher is ECDHE-ECDSA-CHACHA20-POLY1305")
    });
    files.write("web.yml", &format!("{TLS}  curve_preferences: [CurveP384]\n"));
    wait_until("it has one curve", || agreed(&[]).contains("secp384r1"));
}

#[test]
fn clients_without_a_certificate_are_refused_if_the_file_says_so() {
    let lab = Lab::new();
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.crt\n";
    let files = with_tls(more);
    for (name, authority) in [
        ("authority", None),
        ("client", Some("authority")),
        ("impostor", None),
        ("other", Some("impostor")),
    ] {
        certificate(&files, name, name, authority);
    }
    let _daemon = serve(&lab, &files);
    let as_client = |name: &str| {
        let (cert, key) =
            (path(&files, &format!("{name}.crt")), path(&files, &format!("{name}.key")));
        ask(&lab.client, &files, &["--cert", &cert, "--key", &key])
    };
    assert_eq!(ask(&lab.client, &files, &[]), "000");
    assert_eq!(as_client("other"), "000");
    assert_eq!(as_client("client"), "200");
}

#[test]
fn a_new_certificate_is_served_and_a_broken_one_is_not() {
    let lab = Lab::new();
    let files = with_tls("");
    let _daemon = serve(&lab, &files);
    let subject = || {
        handshake(&lab.client, &[]).lines().find(|line| line.contains("subject")).map(str::to_owned)
    };
    assert!(subject().is_some_and(|line| line.ends_with("server")));
    certificate(&files, "server", "renewed", None);
    wait_until("it is served", || subject().is_some_and(|line| line.ends_with("renewed")));
    files.write("server.key", "no key");
    wait_until("it is told", || {
        subject(); // a client makes it look
        log(&files).contains("server.key")
    });
    assert!(subject().is_some_and(|line| line.ends_with("renewed")));
}

#[test]
fn a_key_that_only_root_may_read_is_read_at_the_start() {
    let lab = Lab::new();
    let files = with_tls("");
    let _daemon = serve(&lab, &files);
    fs::set_permissions(files.path("server.key"), Permissions::from_mode(0o000)).expect("its own");
    wait_until("it is told", || {
        assert_eq!(ask(&lab.client, &files, &[]), "200");
        log(&files).contains("server.key: Permission denied")
    });
    assert_eq!(ask(&lab.client, &files, &[]), "200");
}

#[test]
fn what_is_no_tls_is_given_up() {
    let lab = Lab::new();
    let files = with_tls("");
    let mut listener = Some(lab.server.listen(SERVERS[0].parse().unwrap()));
    let mut daemon = serve(&lab, &files);
    let seen = daemon.until(0, "up", SERVERS[0]);
    let garbage: [Vec<u8>; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        [vec![0x16, 3, 1, 0xff, 0xff], vec![1; 100_000]].concat(),
        vec![0x16, 3, 1],
        vec![],
    ];
    lab.client.enter(|| {
        let mut streams: Vec<_> = garbage
            .iter()
            .map(|bytes| {
                let mut stream = TcpStream::connect(HERE).expect("it listens");
                let _ = stream.write_all(bytes); // it may have been refused meanwhile
                stream.set_read_timeout(Some(PATIENCE)).expect("a time");
                stream
            })
            .collect();
        assert_eq!(ask(&lab.client, &files, &[]), "200");
        for stream in &mut streams {
            read_to_end(stream); // or the test would hang
        }
    });
    drop(listener.take());
    daemon.until(seen, "down", SERVERS[0]);
}

#[test]
fn only_users_of_the_file_are_answered() {
    let lab = Lab::new();
    let files = files();
    files.write("web.yml", USERS);
    let _daemon = serve(&lab, &files);
    let ask = |words: &[&str], path: &str| {
        curl(&lab.client, &[words, &["--include", &format!("http://{HERE}{path}")]].concat())
    };
    for path in ["/", "/-/healthy", "/-/ready", "/config", "/metrics", "/no", "/-/reload"] {
        let (status, answer) = ask(&[], path);
        assert_eq!(status, "401", "{path}");
        assert!(answer.contains("\r\nwww-authenticate: Basic\r\n"), "{answer}");
    }
    for (user, status) in [
        ("alice:right", "200"),
        ("alice:right", "200"),
        ("alice:wrong", "401"),
        ("alice:", "401"),
        ("alice:expensive", "401"),
        ("carol:right", "401"),
        ("bob:expensive", "200"),
        (":", "401"),
    ] {
        assert_eq!(ask(&["--user", user], "/-/healthy").0, status, "{user}");
    }
    // A hash that changes takes the old password out of use.
    files.write("web.yml", &USERS.replace("alice", "dora"));
    wait_until("alice is forgotten", || ask(&["--user", "alice:right"], "/-/healthy").0 == "401");
    assert_eq!(ask(&["--user", "dora:right"], "/-/healthy").0, "200");
}

/// Returns the time of the processor that a process has had.
fn processor_time(daemon: &Daemon) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).expect("it runs");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn wrong_passwords_cost_a_bounded_part_of_a_processor_and_delay_no_user() {
    let lab = Lab::new();
    let files = files();
    files.write("web.yml", USERS);
    let mut listener = Some(lab.server.listen(SERVERS[0].parse().unwrap()));
    let mut daemon = serve(&lab, &files);
    let seen = daemon.until(0, "up", SERVERS[0]);
    let url = format!("http://{HERE}/-/healthy");
    let elsewhere = "http://198.19.0.1:10115/-/healthy";
    let (start, before) = (Instant::now(), processor_time(&daemon));
    std::thread::scope(|scope| {
        for index in 0..16 {
            let attack = move |lab: &Lab| {
                for turn in 0..2 {
                    let guess = format!("bob:{index}-{turn}");
                    let answer = curl(&lab.server, &["--user", &guess, elsewhere]);
                    assert_eq!(answer.0, "401");
                }
            };
            let lab = &lab;
            scope.spawn(move || attack(lab));
        }
        // Another client waits for one of those comparisons at most, and then for none.
        for _ in 0..20 {
            assert_eq!(curl(&lab.client, &["--user", "alice:right", &url]).0, "200");
        }
        drop(listener.take());
        daemon.until(seen, "down", SERVERS[0]);
    });
    let share = processor_time(&daemon).saturating_sub(before).as_secs_f64()
        / start.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a processor");
}

#[test]
fn a_mistake_is_a_mistake_of_the_configuration() {
    let lab = Lab::new();
    let files = files();
    for (text, words) in [
        ("basic_auth_users:\n  alice: plain\n", "web.yml:2:"),
        ("tls_server_config:\n  cert_file: no.crt\n  key_file: no.key\n", "no.crt: No such file"),
    ] {
        files.write("web.yml", text);
        let mut command = files.command(&[]);
        command.arg("--web-config").arg(files.path("web.yml")).arg("--check");
        let outcome = lab.client.outcome(command);
        assert_eq!(outcome.code, 2, "{outcome:#?}");
        assert!(outcome.stderr.contains(words), "{outcome:#?}");
    }
}
