//! keepalived on `packaging/keepalived.conf`: the real program and its real checks. Only the
//! kernel's IPVS, which many machines lack, is replaced by a preloaded library, which prints what
//! the kernel would have done.

use crate::installed::{Daemon, Installed, replaced, snippet};
use crate::pool::Pool;

const PLAIN: &str = "/usr/bin/halfopen -t 2 198.18.0.7 25";
const DYNAMIC: &str = "/usr/lib/halfopen/keepalived-dynamic 1 -t 2 -w 0.1 198.18.0.8 25";

#[test]
fn keepalived_removes_a_server_that_fails_and_adds_one_that_recovers() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let mut keepalived = start(&pool, &installed, &configuration());
    // A closed port, checked by the wrapper.
    keepalived.until_it_says("ipvs: removed 198.18.0.8:25 weight 10");
    pool.break_backends();
    keepalived.until_it_says("ipvs: removed 198.18.0.7:25 weight 10");
    pool.mend_backends();
    keepalived.until("the server is back", |said| {
        (said.matches("ipvs: added 198.18.0.7:25 weight 10").count() == 2).then_some(())
    });
}

#[test]
fn a_slow_server_has_less_weight_by_the_wrapper() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let slow = replaced(DYNAMIC, "-w 0.1 198.18.0.8", "-w 0.0000001 198.18.0.7");
    let mut keepalived = start(&pool, &installed, &replaced(&configuration(), DYNAMIC, &slow));
    keepalived.until_it_says("ipvs: changed 198.18.0.8:25 weight 1\n");
}

#[test]
fn an_open_server_keeps_its_weight_by_the_wrapper() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let open = replaced(DYNAMIC, "-w 0.1 198.18.0.8", "-w 5 198.18.0.7");
    let mut keepalived = start(&pool, &installed, &replaced(&configuration(), DYNAMIC, &open));
    let said = keepalived.until_it_says("by [/usr/lib/halfopen/keepalived-dynamic] succeeded");
    assert!(!said.contains("ipvs: changed"), "{said}");
}

/// Why the wrapper is there.
#[test]
fn misc_dynamic_takes_critical_for_weight_0_and_warning_for_down() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let critical = replaced(PLAIN, "198.18.0.7", "198.18.0.8");
    let warning = replaced(PLAIN, "-t 2", "-t 2 -w 0.0000001");
    let configuration =
        replaced(&configuration(), "misc_timeout 3\n        }", "misc_dynamic\n        }");
    let configuration = replaced(&configuration, PLAIN, &critical);
    let configuration = replaced(&configuration, DYNAMIC, &warning);
    let mut keepalived = start(&pool, &installed, &configuration);
    keepalived.until_it_says("ipvs: changed 198.18.0.7:25 weight 0\n");
    keepalived.until_it_says("ipvs: removed 198.18.0.8:25 weight 10");
}

/// The example, with a check every second.
fn configuration() -> String {
    replaced(&snippet("keepalived.conf"), "delay_loop 5", "delay_loop 1")
}

fn start(pool: &Pool, installed: &Installed, configuration: &str) -> Daemon {
    let preload = format!("LD_PRELOAD={}", installed.library("ipvs"));
    // If scripts run as another user, keepalived 2.2.7 mistakes its own check of the configuration
    // for an orphan, and ends it.
    let as_root = replaced(configuration, "script_user nobody", "script_user root");
    let checked = installed.write("as_root.conf", &as_root);
    let words =
        ["env", &preload, "keepalived", "-t", "-f", checked.to_str().expect("plain letters")];
    let checked = pool.lab.client.outcome(installed.command(&words));
    assert_eq!((checked.code, &*checked.stdout), (0, ""));

    let nobody = installed.user("nobody", &[]) == "nobody";
    let configuration =
        installed.write("keepalived.conf", if nobody { configuration } else { &as_root });
    let configuration = configuration.to_str().expect("plain letters");
    let keepalived = ["env", &preload, "keepalived", "--check", "--use-file", configuration];
    let here = ["--dont-fork", "--log-console", "--log-detail", "--no-syslog"];
    installed.start(&pool.lab.client, &[&keepalived[..], &here].concat())
}
