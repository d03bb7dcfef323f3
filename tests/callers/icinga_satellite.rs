//! Icinga 2 on two machines: the master has the configuration, the satellite checks.

use crate::icinga::Site;
use crate::installed::{Installed, replaced, snippet};
use crate::pool::Pool;
use lab::{Namespace, SERVER_V4};

#[test]
fn a_satellite_checks_for_its_master() {
    let (pool, installed) = (Pool::new(), Installed::new());
    // The master is in the server's namespace, the satellite in the client's.
    let zones = replaced(&snippet("icinga2-satellite.conf"), "198.18.0.20", &SERVER_V4.to_string());
    let (master, satellite) = (Site::new(&installed, "master"), Site::new(&installed, "satellite"));
    certify(
        &pool.lab.client,
        &installed,
        &[(&master, "master.example"), (&satellite, "satellite.example")],
    );
    for (site, name, rights) in [
        (&master, "master.example", ""),
        (&satellite, "satellite.example", "accept_config = true; accept_commands = true"),
    ] {
        let node =
            format!("const NodeName = \"{name}\"\nobject ApiListener \"api\" {{ {rights} }}\n");
        site.configure(&[&node, &zones]);
    }
    let services = snippet("icinga2-services.conf");
    let services = replaced(&replaced(&services, "= 1m", "= 1s"), "= 15s", "= 1s");
    master.write("zones.d/global-templates/half-open.conf", &snippet("icinga2.conf"));
    master.write("zones.d/site/services.conf", &services);

    let mut icinga = master.start(&pool.lab.server);
    let _satellite = satellite.start(&pool.lab.client);
    let open = master.until(&mut icinga, "tcp-25", "OK");
    assert!(open.text.starts_with("TCP HALF-OPEN OK - 198.18.0.7:25 open in "), "{open:?}");
    pool.break_backends();
    let broken = master.until(&mut icinga, "tcp-25", "CRITICAL");
    assert!(broken.text.contains("198.18.0.7:25 filtered (no answer to 3 SYNs in "), "{broken:?}");
    pool.mend_backends();
    let fixed = master.until(&mut icinga, "tcp-25", "OK");
    for written in [open, broken, fixed] {
        assert_eq!(written.source, "satellite.example", "{written:?}");
    }
}

/// What `icinga2 node wizard` does between two machines that reach each other: a certificate for
/// each, from one authority.
pub(crate) fn certify(host: &Namespace, installed: &Installed, sites: &[(&Site, &str)]) {
    let path = |site: &Site, name: &str| site.path(name).display().to_string();
    let (authority, _) = sites[0];
    let data = format!("-DConfiguration.DataDir={}", path(authority, "data"));
    let (user, group) =
        (format!("ICINGA2_USER={}", authority.user), format!("ICINGA2_GROUP={}", authority.user));
    let pki = |words: &[&str]| {
        let words = [&["env", &user, &group, "icinga2", "pki"], words, &[&*data]].concat();
        let outcome = host.outcome(installed.command(&words));
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.stdout);
    };
    pki(&["new-ca"]);
    for (site, name) in sites {
        let file = |ending: &str| path(site, &format!("data/certs/{name}.{ending}"));
        let (key, csr, crt) = (file("key"), file("csr"), file("crt"));
        pki(&["new-cert", "--cn", name, "--key", &key, "--csr", &csr]);
        pki(&["sign-csr", "--csr", &csr, "--cert", &crt]);
        std::fs::copy(authority.path("data/ca/ca.crt"), site.path("data/certs/ca.crt"))
            .expect("the authority is there");
    }
}
