//! Icinga 2 on `packaging/icinga2.conf` and its example.

use std::fs;
use std::path::PathBuf;

use crate::installed::{Daemon, Installed, replaced, snippet};
use crate::pool::Pool;
use lab::Namespace;

/// Begins a result in Icinga's output. The text of a result may have several lines.
const RESULT: char = '\u{1e}';

#[test]
fn icinga_sees_a_backend_fail_and_recover() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let site = Site::new(&installed, "icinga");
    let seconds = |text: String| replaced(&replaced(&text, "= 1m", "= 1s"), "= 15s", "= 1s");
    site.configure(&[&snippet("icinga2.conf"), &seconds(snippet("icinga2-services.conf"))]);
    let mut icinga = site.start(&pool.lab.client);

    let open = site.until(&mut icinga, "tcp-25", "OK");
    assert!(open.text.starts_with("TCP HALF-OPEN OK - 198.18.0.7:25 open in "), "{open:?}");
    assert!(open.data.starts_with("time=0.") && open.data.ends_with(";1;3;0;10"), "{open:?}");
    let open = site.until(&mut icinga, "tcp6-25", "OK");
    assert!(open.text.contains("[2001:db8:1::7]:25 open in "), "{open:?}");
    let closed = site.until(&mut icinga, "tcp-587", "CRITICAL");
    assert!(closed.text.contains("198.18.0.7:587 closed (RST+ACK in "), "{closed:?}");
    let enough = site.until(&mut icinga, "pool", "OK");
    assert!(enough.text.contains("1 of 2 open (1 wanted)"), "{enough:?}");
    assert!(enough.data.starts_with("open=1;;1:;0;2 198.18.0.7:25=0."), "{enough:?}");

    pool.break_backends();
    // The cause is in the first line, and the evidence in the next.
    let verdict =
        "TCP HALF-OPEN CRITICAL - 198.18.0.7:25 filtered (no answer to 3 SYNs in 7.0 s): ";
    let cause = format!("{verdict}a firewall drops this port, ");
    let broken = site.until_it_says(&mut icinga, "tcp-25", "CRITICAL", &cause);
    let lines: Vec<_> = broken.text.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("(evidence: "), "{broken:?}");
    assert_eq!(broken.data, "");
    let broken = site.until(&mut icinga, "tcp6-25", "CRITICAL");
    assert!(broken.text.contains("[2001:db8:1::7]:25 filtered (no answer to 3 SYNs"), "{broken:?}");
    let broken = site.until(&mut icinga, "pool", "CRITICAL");
    assert!(broken.text.contains("CRITICAL - 0 of 2 open (1 wanted)"), "{broken:?}");

    pool.mend_backends();
    for service in ["tcp-25", "tcp6-25", "pool"] {
        site.until(&mut icinga, service, "OK");
    }
}

/// The program understands them as words of a command line, and follows them.
#[test]
fn every_custom_variable_reaches_the_program() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let site = Site::new(&installed, "icinga");
    let host = r#"
        object Host "mail" { check_command = "dummy" }
        template Service "often" { host_name = "mail"; check_interval = 1s; retry_interval = 1s }
        object Service "one" {
            import "often"
            check_command = "tcp_half_open"
            vars.half_open_address = "198.18.0.8"
            vars.half_open_port = 25
            vars.half_open_refuse = "warn"
            vars.half_open_ipv4 = true
            vars.half_open_timeout = 1.5
            vars.half_open_retries = 1
            vars.half_open_source = "198.19.0.1"
            vars.half_open_interface = "client0"
            vars.half_open_mark = 7
            vars.half_open_engine = "raw"
            vars.half_open_explain = true
        }
        object Service "silent" {
            import "often"
            check_command = "tcp_half_open_pool"
            vars.half_open_targets = "198.18.0.9:25"
            vars.half_open_expect = "filtered"
            vars.half_open_timeout = 1.5
        }
    "#;
    site.configure(&[&snippet("icinga2.conf"), host]);
    // Only packets sent with the requested options get through.
    pool.lab.client.nft("table inet t { chain out { type filter hook output priority 0; ip daddr 198.18.0.8 meta mark != 7 drop; ip daddr 198.18.0.8 oifname != client0 drop; }; }");
    let mut icinga = site.start(&pool.lab.client);
    let closed = site.until(&mut icinga, "one", "WARNING");
    assert!(closed.text.contains("WARNING - 198.18.0.8:25 closed (RST+ACK in "), "{closed:?}");
    assert!(closed.text.contains("\n(evidence: "), "{closed:?}");
    let silent = site.until(&mut icinga, "silent", "OK");
    assert!(
        silent.text.contains("OK - 198.18.0.9:25 filtered (no answer to 3 SYNs in 1.5 s)"),
        "{silent:?}"
    );
}

/// What Icinga wrote of a check.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) data: String,
    /// The endpoint that ran the check.
    pub(crate) source: String,
}

/// An Icinga 2 with files of its own.
pub(crate) struct Site<'a> {
    installed: &'a Installed,
    name: &'a str,
    /// The user that it changes to, and the group.
    pub(crate) user: String,
}

impl<'a> Site<'a> {
    pub(crate) fn new(installed: &'a Installed, name: &'a str) -> Self {
        let folders = ["data", "data/certs", "log", "cache", "spool", "run"];
        let folders: Vec<_> = folders.iter().map(|folder| format!("{name}/{folder}")).collect();
        let folders: Vec<_> = folders.iter().map(String::as_str).collect();
        Self { installed, name, user: installed.user("nagios", &folders) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.installed.path(self.name).join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.installed.write(&format!("{}/{name}", self.name), text);
    }

    /// The relevant part of Debian's configuration, and a line for each check result.
    pub(crate) fn configure(&self, parts: &[&str]) {
        let own = format!(
            r#"
            const PluginDir = "/usr/lib/nagios/plugins"
            include <itl>
            include <plugins>
            object CheckerComponent "checker" {{ }}
            object PerfdataWriter "results" {{
                service_perfdata_path = SpoolDir + "/service"
                service_temp_path = SpoolDir + "/service.tmp"
                host_perfdata_path = SpoolDir + "/host"
                host_temp_path = SpoolDir + "/host.tmp"
                service_format_template = "{RESULT}$service.name$\t$service.state$\t$service.check_source$\t$service.output$\t$service.perfdata$"
                rotation_interval = 1s
            }}
            "#
        );
        self.write("icinga2.conf", &[&own, &*parts.join("\n")].concat());
    }

    pub(crate) fn words(&self) -> Vec<String> {
        let here = self.path("").display().to_string();
        let mut words = vec![
            "icinga2".to_owned(),
            "daemon".to_owned(),
            "-c".to_owned(),
            format!("{here}icinga2.conf"),
            format!("-DConfiguration.ZonesDir={here}zones.d"),
        ];
        for (folder, place) in [
            ("Config", "."),
            ("Data", "data"),
            ("Log", "log"),
            ("Cache", "cache"),
            ("Spool", "spool"),
            ("InitRun", "run"),
        ] {
            words.push(format!("-DConfiguration.{folder}Dir={here}{place}"));
        }
        words.push(format!("-DConfiguration.PidPath={here}run/icinga2.pid"));
        words.push(format!("-DConfiguration.RunAsUser={}", self.user));
        words.push(format!("-DConfiguration.RunAsGroup={}", self.user));
        words
    }

    /// Has Icinga validate the configuration, and starts it.
    pub(crate) fn start(&self, host: &Namespace) -> Daemon {
        let words = self.words();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let checked = host.outcome(self.installed.command(&[&words[..], &["-C"]].concat()));
        assert_eq!(checked.code, 0, "{}", checked.stdout);
        assert!(!checked.stdout.contains("warning/"), "{}", checked.stdout);
        let mut icinga = self.installed.start(host, &words);
        icinga.until_it_says("Activated all objects.");
        icinga
    }

    /// The last result of a service, once that has this state.
    pub(crate) fn until(&self, icinga: &mut Daemon, service: &str, state: &str) -> Written {
        self.until_it_says(icinga, service, state, "")
    }

    /// The last result of a service, once that has this state and begins with these words.
    pub(crate) fn until_it_says(
        &self,
        icinga: &mut Daemon,
        service: &str,
        state: &str,
        words: &str,
    ) -> Written {
        icinga.until(&format!("{service} is {state}: {words}"), |_| {
            let results = self.results();
            let last = results
                .split(RESULT)
                .map(|result| result.trim_end().split('\t').collect::<Vec<_>>())
                .rfind(|fields| fields[0] == service)?;
            let [_, now, source, text, ..] = last[..] else { return None };
            (now == state && text.starts_with(words)).then(|| Written {
                text: text.to_owned(),
                data: last.get(4).copied().unwrap_or_default().to_owned(),
                source: source.to_owned(),
            })
        })
    }

    /// Everything that was written, oldest first: the files are named after the second in which
    /// they were closed.
    fn results(&self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.path("spool"))
            .expect("its own directory")
            .map(|entry| entry.expect("a readable directory").path())
            .filter(|path| path.to_string_lossy().contains("/service."))
            .filter(|path| path.extension().is_some_and(|extension| extension != "tmp"))
            .collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).expect("its own file")).collect()
    }
}
