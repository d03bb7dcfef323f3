//! Nagios Core on `packaging/nagios.cfg` and its example.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::installed::{Daemon, Installed, snippet};
use crate::pool::Pool;

#[test]
fn nagios_sees_a_backend_fail_and_recover() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let mut nagios = start(&pool, &installed);
    let status = installed.path("var/status.dat");

    for (service, target) in
        [("SMTP port", "198.18.0.7:25"), ("SMTP port IPv6", "[2001:db8:1::7]:25")]
    {
        let open = until(&mut nagios, &status, service, "0");
        assert!(
            open.output.starts_with(&format!("TCP HALF-OPEN OK - {target} open in ")),
            "{open:?}"
        );
        let limits = if service.ends_with("port") { ";1;3;0;5" } else { ";;;0;10" };
        assert!(open.data.starts_with("time=0.") && open.data.ends_with(limits), "{open:?}");
    }
    let enough = until(&mut nagios, &status, "SMTP pool", "0");
    assert!(enough.output.starts_with("TCP HALF-OPEN OK - 1 of 2 open (1 wanted)"), "{enough:?}");
    assert!(enough.data.starts_with("open=1;;1:;0;2 '198.18.0.7:25'=0."), "{enough:?}");

    pool.break_backends();
    // The cause is in the line that Nagios shows, and the evidence in its long output.
    let verdict =
        "TCP HALF-OPEN CRITICAL - 198.18.0.7:25 filtered (no answer to 3 SYNs in 5.0 s): ";
    let cause = format!("{verdict}a firewall drops this port, ");
    let broken = until_it_says(&mut nagios, &status, "SMTP port", "2", &cause);
    assert!(broken.long.starts_with("(evidence: ") && broken.long.contains("ACKs"), "{broken:?}");
    assert_eq!(broken.data, "");
    let broken = until(&mut nagios, &status, "SMTP port IPv6", "2");
    assert!(
        broken.output.contains("[2001:db8:1::7]:25 filtered (no answer to 3 SYNs"),
        "{broken:?}"
    );
    let broken = until(&mut nagios, &status, "SMTP pool", "2");
    assert!(broken.output.contains("CRITICAL - 0 of 2 open (1 wanted)"), "{broken:?}");

    pool.mend_backends();
    for service in ["SMTP port", "SMTP port IPv6", "SMTP pool"] {
        until(&mut nagios, &status, service, "0");
    }
}

/// What the status file says about a service.
#[derive(Debug)]
struct Status {
    output: String,
    /// The lines after the first.
    long: String,
    data: String,
}

fn until(nagios: &mut Daemon, file: &Path, service: &str, state: &str) -> Status {
    until_it_says(nagios, file, service, state, "")
}

/// Waits for a service in this state whose output begins with these words.
fn until_it_says(
    nagios: &mut Daemon,
    file: &Path,
    service: &str,
    state: &str,
    words: &str,
) -> Status {
    nagios.until(&format!("{service} in state {state}: {words}"), |_| {
        let text = fs::read_to_string(file).ok()?;
        let of_service: BTreeMap<_, _> = text
            .split("servicestatus {")
            .skip(1)
            .map(fields)
            .find(|fields| fields.get("service_description") == Some(&service))?;
        let checked = of_service["has_been_checked"] == "1" && of_service["current_state"] == state;
        let says = of_service["plugin_output"].starts_with(words);
        (checked && says).then(|| Status {
            output: of_service["plugin_output"].to_owned(),
            long: of_service["long_plugin_output"].to_owned(),
            data: of_service["performance_data"].to_owned(),
        })
    })
}

fn fields(block: &str) -> BTreeMap<&str, &str> {
    block
        .lines()
        .take_while(|line| line.trim() != "}")
        .filter_map(|line| line.trim().split_once('='))
        .collect()
}

#[expect(clippy::too_many_lines, reason = "a configuration file")]
fn start(pool: &Pool, installed: &Installed) -> Daemon {
    installed.write("nagios.cfg", &snippet("nagios.cfg"));
    installed.write("nagios-services.cfg", &snippet("nagios-services.cfg"));
    // Only the daemon may read Debian's file.
    installed.write("resource.cfg", "$USER1$=/usr/lib/nagios/plugins\n");
    let user = installed.user("nagios", &["var", "var/results"]);
    let group = if user == "root" { "root" } else { "nagios" };
    let here = installed.path("").display().to_string();
    let own = format!(
        "nagios_user={user}
        nagios_group={group}
        cfg_file=/etc/nagios4/objects/commands.cfg
        cfg_file=/etc/nagios4/objects/contacts.cfg
        cfg_file=/etc/nagios4/objects/timeperiods.cfg
        cfg_file=/etc/nagios4/objects/templates.cfg
        cfg_file={here}nagios.cfg
        cfg_file={here}nagios-services.cfg
        resource_file={here}resource.cfg
        log_file={here}var/nagios.log
        use_syslog=0
        status_file={here}var/status.dat
        object_cache_file={here}var/objects.cache
        precached_object_file={here}var/objects.precache
        state_retention_file={here}var/retention.dat
        command_file={here}var/nagios.cmd
        lock_file={here}var/nagios.pid
        query_socket={here}var/nagios.qh
        temp_file={here}var/nagios.tmp
        temp_path={here}var
        check_result_path={here}var/results
        interval_length=1
        status_update_interval=1
        check_for_updates=0
        enable_notifications=0
        check_external_commands=0
        "
    );
    let main = installed.write("main.cfg", &(debians_without(&own) + &own));
    let main = main.to_str().expect("plain letters");
    let checked = pool.lab.client.outcome(installed.command(&["nagios4", "-v", main]));
    for faults in ["Total Warnings: 0", "Total Errors:   0"] {
        assert!(checked.stdout.contains(faults), "{}", checked.stdout);
    }
    installed.start(&pool.lab.client, &["nagios4", main])
}

/// Debian's configuration, except for our own settings: other paths, and intervals in seconds
/// instead of minutes.
fn debians_without(own: &str) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let own: Vec<_> = own.lines().chain(["cfg_dir="]).map(name).collect();
    let debians = fs::read_to_string("/etc/nagios4/nagios.cfg").expect("needs nagios4-core");
    let kept = debians.lines().filter(|line| !line.starts_with('#') && !own.contains(&name(line)));
    kept.flat_map(|line| [line, "\n"]).collect()
}
