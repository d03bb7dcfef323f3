//! What the kernels of Debian have and others may lack: IPVS, netem, VRFs, SYN proxies, signed TCP
//! and Landlock. `scripts/kernels` boots these kernels and runs the tests inside, as root of a
//! virtual machine. Elsewhere they are ignored, because they load modules and set parameters of the
//! whole machine.

mod conntrack;
mod ipvs;
mod landlock;
mod netem;
mod signatures;
mod support;
mod synproxy;
mod vrf;

#[path = "../callers/installed.rs"]
#[expect(dead_code, reason = "the tests of callers use the rest")]
mod installed;
