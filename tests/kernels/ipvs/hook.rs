//! The hook of halfopend that sets weights, with the real ipvsadm.

use std::fs;
use std::process::Command;

use super::methods::ipvsadm;
use super::{Cluster, Method, REAL_V4, REAL_V6, VIRTUAL_V4, VIRTUAL_V6};

#[test]
#[ignore = "for scripts/kernels"]
fn the_weight_of_a_real_server_follows_what_is_advertised() {
    let cluster = Cluster::new(Method::Nat);
    for (service, server) in [(VIRTUAL_V4, REAL_V4), (VIRTUAL_V6, REAL_V6)] {
        let [service, server] = [service, server].map(|address| endpoint(&address.to_string()));
        ipvsadm(&cluster, &["--add-service", "--tcp-service", &service, "-s", "rr"]);
        let words = ["--add-server", "--tcp-service", &service, "--real-server", &server];
        ipvsadm(&cluster, &[&words[..], &["--masquerading", "--weight", "5"]].concat());
        assert!(cluster.table().contains(&server.parse().expect("an endpoint")));
        for (advertised, weight) in [("down", "0"), ("unknown", "0"), ("up", "5"), ("down", "0")] {
            run_hook(&cluster, &service, &server, advertised);
            let table =
                cluster.director.enter(|| fs::read_to_string("/proc/thread-self/net/ip_vs"));
            let table = table.expect("ip_vs is loaded");
            let is_so = |line: &str| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.len() > 3 && words[0] == "->" && words[2..4] == ["Masq", weight]
            };
            assert!(table.lines().any(is_so), "{advertised}: {table}");
        }
        ipvsadm(&cluster, &["--delete-service", "--tcp-service", &service]);
    }
}

/// Port 25 of an address.
fn endpoint(address: &str) -> String {
    if address.contains(':') { format!("[{address}]:25") } else { format!("{address}:25") }
}

fn run_hook(cluster: &Cluster, service: &str, server: &str, advertised: &str) {
    let hook = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/hooks/ipvsadm");
    let (address, port) = server.rsplit_once(':').expect("a port");
    let mut command = Command::new(hook);
    command.args(["5", "-t", service, "-m"]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HALFOPEN_EVENT", "down");
    command.env("HALFOPEN_ADDRESS", address.trim_matches(['[', ']'])).env("HALFOPEN_PORT", port);
    command.env("HALFOPEN_ADVERTISED", advertised);
    let outcome = cluster.director.outcome(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}
