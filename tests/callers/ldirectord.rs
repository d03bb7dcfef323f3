//! ldirectord on `packaging/ldirectord.cf`: the real program, debugging, so that it runs the
//! `ipvsadm` of its folder.

use std::path::Path;

use crate::installed::{Daemon, Installed, here, replaced, snippet};
use crate::pool::Pool;

#[test]
fn ldirectord_removes_servers_that_fail_and_adds_those_that_recover() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let mut ldirectord = start(&pool, &installed);
    let table = installed.path("table");
    let open = ["198.18.0.1:25/198.18.0.7:25", "[2001:db8:1::1]:25/[2001:db8:1::7]:25"];
    let closed = ["198.18.0.1:25/198.18.0.8:25", "[2001:db8:1::1]:25/[2001:db8:1::8]:25"];

    until(&mut ldirectord, &table, &open, &closed);
    pool.break_backends();
    until(&mut ldirectord, &table, &[], &[open, closed].concat());
    pool.mend_backends();
    until(&mut ldirectord, &table, &open, &closed);
}

/// A closed server is in the table until its first check, so both are waited for at once.
fn until(ldirectord: &mut Daemon, table: &Path, there: &[&str], gone: &[&str]) {
    ldirectord.until(&format!("{there:?} in the table, not {gone:?}"), |_| {
        let is_there = |server: &&str| table.join(server).exists();
        (there.iter().all(is_there) && !gone.iter().any(is_there)).then_some(())
    });
}

fn start(pool: &Pool, installed: &Installed) -> Daemon {
    let often = replaced(&snippet("ldirectord.cf"), "checkinterval = 5", "checkinterval = 1");
    let configuration = installed.write("ldirectord.cf", &often);
    installed.copy(&here().join("ipvsadm"), "ipvsadm");
    installed.folder("table");
    let folder = format!("--chdir={}", installed.path("").display());
    let configuration = configuration.to_str().expect("plain letters");
    installed.start(&pool.lab.client, &["env", &folder, "ldirectord", "-d", configuration, "start"])
}
