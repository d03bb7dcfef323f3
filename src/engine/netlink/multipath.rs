//! How the kernel chooses between several next hops.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use socket2::Domain;

/// The files of `fib_multipath_hash_policy`, for IPv4 and for IPv6. They are kept open, because
/// opening them takes longer than all else.
#[derive(Default)]
pub(super) struct HashPolicies([OnceCell<File>; 2]);

impl HashPolicies {
    /// Returns true if the choice depends on addresses only, as it does by default. Without `/proc`
    /// that is not known.
    pub(super) fn is_default(&self, domain: Domain) -> bool {
        self.read(domain).is_ok_and(|policy| policy == *b"0\n")
    }

    fn read(&self, domain: Domain) -> io::Result<[u8; 2]> {
        let (index, name) = if domain == Domain::IPV4 { (0, "ipv4") } else { (1, "ipv6") };
        let file = if let Some(file) = self.0[index].get() {
            file
        } else {
            let opened = File::open(format!("/proc/sys/net/{name}/fib_multipath_hash_policy"))?;
            self.0[index].get_or_init(|| opened)
        };
        let mut policy = [0; 2];
        file.read_exact_at(&mut policy, 0)?;
        Ok(policy)
    }
}
