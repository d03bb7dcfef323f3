//! A real Icinga 2, through its API.

use lab::Namespace;

use super::{DOWN, DOWN_BUT_ADVERTISED, HOSTILE, OF_THE_POOL, Transition, UP};
use crate::icinga::Site;
use crate::icinga_satellite::certify;
use crate::installed::Installed;

const OBJECTS: &str = r#"
    const NodeName = "icinga.example"
    object Endpoint NodeName { }
    object Zone "site" { endpoints = [ NodeName ] }
    object ApiListener "api" { }
    object ApiUser "halfopend" { password = "secret"; permissions = [ "actions/process-check-result" ] }
    object Host "web" { check_command = "dummy" }
    template Service "passive" { host_name = "web"; check_command = "passive"; enable_active_checks = false }
    object Service "web 192.0.2.7:443" { import "passive" }
    object Service "web HOSTILE" { import "passive" }
"#;

#[test]
fn transitions_are_passive_check_results() {
    let (host, installed) = (Namespace::new(), Installed::new());
    let site = Site::new(&installed, "icinga");
    certify(&host, &installed, &[(&site, "icinga.example")]);
    let escaped = HOSTILE.replace('\\', r"\\").replace('"', "\\\"");
    site.configure(&[&OBJECTS.replace("HOSTILE", &escaped)]);
    let mut icinga = site.start(&host);

    let authority = site.path("data/certs/ca.crt").display().to_string();
    let login =
        installed.write("login", "machine icinga.example login halfopend password secret\n");
    let login = login.to_str().expect("plain letters");
    let folder = installed.folder("run");
    let words =
        ["https://icinga.example:5665", "web", "--resolve", "icinga.example:5665:127.0.0.1"];
    let words = [&words[..], &["--cacert", &authority, "--netrc-file", login]].concat();
    let tell = |transition: Transition| transition.tell(&host, &folder, "icinga2", &words);

    tell(UP);
    let open = site.until(&mut icinga, "web 192.0.2.7:443", "OK");
    assert_eq!(open.text, "HALFOPEN OK - 192.0.2.7:443 is up");
    assert_eq!(open.data, "pool_up=9;;;0;10");
    tell(DOWN);
    tell(OF_THE_POOL);
    tell(Transition { event: "held", ..DOWN });
    let down = site.until(&mut icinga, "web 192.0.2.7:443", "CRITICAL");
    let expected = "HALFOPEN CRITICAL - 192.0.2.7:443 is down (no answer to 3 SYNs in 1.5 s)";
    assert_eq!(down.text, expected);
    tell(Transition { event: "unknown", to: "unknown", advertised: "unknown", ..DOWN });
    site.until(&mut icinga, "web 192.0.2.7:443", "UNKNOWN");
    // A monitor hears the truth.
    tell(Transition { target: HOSTILE, reason: HOSTILE, ..DOWN_BUT_ADVERTISED });
    let hostile = site.until(&mut icinga, &format!("web {HOSTILE}"), "CRITICAL");
    let expected = format!("HALFOPEN CRITICAL - {HOSTILE} is down ({HOSTILE}), advertised as up");
    assert_eq!(hostile.text, expected);

    let absent = Transition { target: "192.0.2.99:443", ..DOWN };
    let outcome = absent.run(&host, &folder, "icinga2", &words);
    assert_ne!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("The requested URL returned error"), "{outcome:?}");
}
