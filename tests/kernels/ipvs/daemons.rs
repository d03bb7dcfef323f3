//! keepalived and ldirectord with the configuration of `packaging/`: by the checks of this program
//! they take dead servers out of the kernel's table and put them back.

use std::net::{IpAddr, SocketAddr};

use super::{Cluster, Method, REAL_V4, REAL_V6, VIRTUAL_V4, VIRTUAL_V6};
use crate::installed::{Daemon, Installed, replaced, snippet};
use crate::support::client::seen_by_a_client;

#[test]
#[ignore = "for scripts/kernels"]
fn keepalived_takes_dead_servers_out_of_the_kernels_table_and_puts_them_back() {
    for method in Method::ALL {
        let (cluster, installed) = (cluster(method), Installed::new());
        let [_, name, _] = method.names();
        let configuration = replaced(&snippet("keepalived.conf"), "delay_loop 5", "delay_loop 1");
        let configuration =
            replaced(&configuration, "lvs_method NAT", &format!("lvs_method {name}"));
        // In emulation, a program may take seconds to start.
        let configuration = replaced(&configuration, "misc_timeout 3", "misc_timeout 60");
        let configuration = replaced(&configuration, "-t 2", "-t 20");
        let configuration = installed.write("keepalived.conf", &configuration);
        let configuration = configuration.to_str().expect("plain letters");
        installed.user("nobody", &[]);
        let mut keepalived = installed.start(
            &cluster.director,
            &["keepalived", "--check", "--use-file", configuration, "--dont-fork", "--log-console"],
        );
        assert_follows(&cluster, &mut keepalived, &[REAL_V4]);
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn ldirectord_takes_dead_servers_out_of_the_kernels_table_and_puts_them_back() {
    for method in Method::ALL {
        let (cluster, installed) = (cluster(method), Installed::new());
        let [.., name] = method.names();
        let configuration =
            replaced(&snippet("ldirectord.cf"), "checkinterval = 5", "checkinterval = 1");
        let configuration = replaced(&configuration, "25 masq", &format!("25 {name}"));
        let configuration = replaced(&configuration, "checktimeout = 3", "checktimeout = 60");
        let configuration = installed.write("ldirectord.cf", &configuration);
        let configuration = configuration.to_str().expect("plain letters");
        let mut ldirectord =
            installed.start(&cluster.director, &["ldirectord", "-d", configuration, "start"]);
        assert_follows(&cluster, &mut ldirectord, &[REAL_V4, REAL_V6]);
    }
}

/// Returns a cluster in which .8 refuses connections from the director.
fn cluster(method: Method) -> Cluster {
    let cluster = Cluster::new(method);
    cluster.servers.nft(
        "table inet closed { chain in { type filter hook input priority 0;
           ip daddr 198.18.0.8 tcp dport 25 reject with tcp reset;
           ip6 daddr 2001:db8:1::8 tcp dport 25 reject with tcp reset; }; }",
    );
    cluster
}

/// Asserts that these servers, and no others, are in the table while they are alive, and that
/// clients see that.
#[track_caller]
fn assert_follows(cluster: &Cluster, daemon: &mut Daemon, alive: &[IpAddr]) {
    let services = [VIRTUAL_V4, VIRTUAL_V6].map(|address| SocketAddr::new(address, 25));
    let alive: Vec<_> = alive.iter().map(|address| SocketAddr::new(*address, 25)).collect();
    let mut until = |expected: &[SocketAddr], seen: &str| {
        daemon.until(&format!("{expected:?} in the table"), |_| {
            (cluster.table() == expected).then_some(())
        });
        for service in &services[..alive.len()] {
            assert_eq!(seen_by_a_client(&cluster.client, *service), seen, "{service}");
        }
    };
    until(&alive, "open");
    cluster.cut_off();
    until(&[], "closed");
    cluster.reconnect();
    until(&alive, "open");
}
