//! Raises what is needed.

use caps::{CapSet, Capability};

/// Makes `CAP_NET_RAW` effective where this process is permitted to.
///
/// A file capability set with `+p` leaves that to the program. (With `+ep`, execve itself fails where the bounding
/// set lacks the capability, as in many containers.) Whether it worked is seen when a raw socket is opened.
pub fn raise() {
    let has = |set| matches!(caps::has_cap(None, set, Capability::CAP_NET_RAW), Ok(true));
    if !has(CapSet::Effective) && has(CapSet::Permitted) {
        let _ = caps::raise(None, CapSet::Effective, Capability::CAP_NET_RAW);
    }
}
