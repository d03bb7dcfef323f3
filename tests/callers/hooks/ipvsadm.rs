//! The calls of ipvsadm: of the stand-in of these tests. `tests/kernels` has the real one.

use std::fs;
use std::os::unix::fs::symlink;

use lab::Namespace;
use tempfile::TempDir;

use super::{DOWN, DOWN_BUT_ADVERTISED, OF_THE_POOL, Transition, UP};
use crate::installed::here;

#[test]
fn the_weight_is_0_while_a_server_is_advertised_as_down() {
    let (host, folder) = (Namespace::new(), TempDir::new().expect("a place for temporary files"));
    symlink(here().join("ipvsadm"), folder.path().join("ipvsadm")).expect("its own folder");
    for server in ["192.0.2.7:443", "[2001:db8::7]:443"] {
        let table = folder.path().join("table/192.0.2.80:443");
        fs::create_dir_all(&table).expect("its own folder");
        fs::write(table.join(server), "1\n").expect("its own folder");
    }
    let weight = |server: &str| {
        let file = folder.path().join("table/192.0.2.80:443").join(server);
        fs::read_to_string(file).expect("see above").trim().to_owned()
    };
    let words = ["5", "-t", "192.0.2.80:443", "-m"];
    let v6 = Transition { address: "2001:db8::7", ..DOWN };
    let unknown = Transition { event: "unknown", to: "unknown", advertised: "unknown", ..DOWN };
    let removed = Transition { event: "removed", ..DOWN };
    for (transition, v4_weight, v6_weight) in [
        (UP, "5", "1"),
        (v6, "5", "0"),
        (DOWN, "0", "0"),
        (unknown, "0", "0"),
        (DOWN_BUT_ADVERTISED, "5", "0"),
        (OF_THE_POOL, "5", "0"),
        (removed, "5", "0"),
    ] {
        transition.tell(&host, folder.path(), "ipvsadm", &words);
        assert_eq!(
            (weight("192.0.2.7:443"), weight("[2001:db8::7]:443")),
            (v4_weight.into(), v6_weight.into())
        );
    }
}
