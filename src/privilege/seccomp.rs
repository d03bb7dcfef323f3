//! A filter that allows only the system calls of the loop and of the name service (seccomp(2)).

mod bpf;

use std::process;

use nix::libc;
use seccompiler::{Error, apply_filter};

use self::bpf::{Condition, Fate, Rule, Test, filter};

/// Calls that are allowed with any arguments. They give access only to descriptors that are open
/// already, to memory, threads and time.
const FREE: &[libc::c_long] = &[
    // The loop.
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_clock_gettime,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_accept4, // the self-test's
    // Memory and threads.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    // Files that may be read, and what glibc and its name services ask of them.
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_pselect6,
    libc::SYS_getdents64,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_socketpair,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
];

/// The older names of some of them, which glibc prefers if they exist.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// `openat()` flags that do more than read.
const WRITING: libc::c_int =
    libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// The bits of a socket's type without its flags (socket(2)).
const SOCKET_TYPE: u32 = 0xf;

/// The first `setsockopt()` request of netfilter and IPVS, which configure this machine
/// (`nf_register_sockopt()`).
const TABLES: u32 = 64;

/// `AUDIT_ARCH_X86_64` or that of another architecture: the machine of ELF, 64 bits, little-endian
/// (`linux/audit.h`).
const ARCHITECTURE: u32 = 0xc000_0000 | MACHINE as u32;
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = libc::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = libc::EM_AARCH64;
#[cfg(target_arch = "riscv64")]
const MACHINE: u16 = libc::EM_RISCV;

/// Installs the filter for this thread and those that it starts. System calls that are neither
/// needed nor in `more` fail with `EPERM` from now on. If the process is still an `administrator`
/// of the network, calls that could configure it fail even if they are in `more`.
pub(super) fn apply(administrator: bool, more: &[libc::c_long]) -> Result<(), Error> {
    apply_filter(&filter(ARCHITECTURE, calls(administrator, more)))
}

/// Returns the system calls that are not refused, by number, each once.
fn calls(administrator: bool, more: &[libc::c_long]) -> Vec<(u32, Fate)> {
    let mut bound = bound();
    bound.retain(|(call, _)| !more.contains(call));
    if administrator {
        bound.retain(|(call, _)| *call != libc::SYS_socket);
        bound.extend(bound_for_administrator());
    }
    let is_bound = |call: &libc::c_long| bound.iter().any(|(number, _)| number == call);
    let mut more = more.to_vec();
    more.sort_unstable();
    more.dedup();
    more.retain(|call| !FREE.contains(call) && !OLDER.contains(call));
    let free = FREE.iter().chain(OLDER).chain(&more).filter(|call| !is_bound(call));
    let mut calls: Vec<_> = free.map(|call| (number(*call), Fate::Allowed)).collect();
    calls.extend(bound.into_iter().map(|(call, rules)| (number(call), Fate::Examined(rules))));
    // A filter cannot read its arguments. The C library does without it, as on kernels before Linux
    // 5.3.
    if !more.contains(&libc::SYS_clone3) {
        calls.push((number(libc::SYS_clone3), Fate::Unknown));
    }
    calls
}

/// A system call, and the arguments with which it is allowed.
type Bound = (libc::c_long, Vec<Rule>);

/// Returns the calls that are allowed with some arguments only.
fn bound() -> Vec<Bound> {
    let mut sockets = sockets();
    // For the list of interfaces.
    sockets.push(vec![is(0, libc::AF_NETLINK), is(2, libc::NETLINK_ROUTE)]);
    let reading = |argument| vec![vec![masked(argument, number(WRITING), &[0])]];
    vec![
        (libc::SYS_socket, sockets),
        (libc::SYS_openat, reading(2)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, reading(1)),
        (libc::SYS_ioctl, vec![vec![one_of(1, &requests())]]),
        // Threads, but neither processes nor namespaces: this flag excludes those that make a
        // namespace without privilege (clone(2)).
        (libc::SYS_clone, vec![vec![masked(0, number(libc::CLONE_THREAD), &[libc::CLONE_THREAD])]]),
        // abort() of this process.
        (libc::SYS_tgkill, vec![vec![is(0, process::id())]]),
        #[cfg(target_env = "musl")]
        (libc::SYS_tkill, vec![vec![is(0, process::id())]]),
        // Copies, flags and locks have lower numbers than F_SETOWN, which chooses whom a descriptor
        // sends signals to.
        (
            libc::SYS_fcntl,
            vec![vec![below(1, number(libc::F_SETOWN))], vec![is(1, libc::F_DUPFD_CLOEXEC)]],
        ),
        // The name of a thread.
        (libc::SYS_prctl, vec![vec![is(0, libc::PR_SET_NAME)]]),
        // Our own limits.
        (libc::SYS_prlimit64, vec![vec![is(0, 0)]]),
    ]
}

/// Returns the requests of `ioctl()` that are allowed: whether something is a terminal and its
/// width, waiting bytes, non-blocking mode, interface names and numbers.
fn requests() -> [u32; 6] {
    [
        number(libc::TCGETS),
        number(libc::TIOCGWINSZ),
        number(libc::FIONREAD),
        number(libc::FIONBIO),
        number(libc::SIOCGIFINDEX),
        number(libc::SIOCGIFNAME),
    ]
}

/// Returns what replaces that if `CAP_NET_ADMIN` is kept: sockets without netlink, and options
/// without those that load tables. The latter have the same numbers as some IPv6 options that
/// checks need.
fn bound_for_administrator() -> [Bound; 2] {
    let traffic_class = vec![is(1, libc::IPPROTO_IPV6), is(2, libc::IPV6_TCLASS)];
    let options = vec![vec![below(2, TABLES)], traffic_class];
    [(libc::SYS_socket, sockets()), (libc::SYS_setsockopt, options)]
}

/// Returns the rules for ordinary sockets, and for those to the daemons of the name service.
fn sockets() -> Vec<Rule> {
    let kinds = masked(1, SOCKET_TYPE, &[libc::SOCK_STREAM, libc::SOCK_DGRAM]);
    vec![vec![is(0, libc::AF_UNIX)], vec![one_of(0, &[libc::AF_INET, libc::AF_INET6]), kinds]]
}

fn is(argument: u8, value: impl TryInto<u32> + Copy) -> Condition {
    one_of(argument, &[value])
}

fn one_of(argument: u8, values: &[impl TryInto<u32> + Copy]) -> Condition {
    masked(argument, u32::MAX, values)
}

fn masked(argument: u8, mask: u32, values: &[impl TryInto<u32> + Copy]) -> Condition {
    let values = values.iter().map(|value| number(*value)).collect();
    Condition { argument, mask, test: Test::OneOf(values) }
}

fn below(argument: u8, limit: u32) -> Condition {
    Condition { argument, mask: u32::MAX, test: Test::Below(limit) }
}

/// Returns a number of the kernel's interface, whatever its type in the C library.
fn number(value: impl TryInto<u32>) -> u32 {
    value.try_into().ok().expect("numbers fit into 32 bits and have no sign")
}

#[cfg(test)]
mod tests;
