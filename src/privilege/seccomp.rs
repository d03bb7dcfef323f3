//! The system calls that are left: what the loop and the name service need, as a seccomp filter.

mod bpf;

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::process;

use nix::libc;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, Lt, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use self::bpf::{Fate, by_number};

/// What may be called with any arguments. None of it gives more than the descriptors that are open
/// already, memory, threads, and time.
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

/// The older names of some of them, which glibc prefers where they exist.
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

/// The type of a socket without the flags that go along with it (socket(2)).
const SOCKET_TYPE: u64 = 0xf;

/// The netlink that tells of interfaces and addresses.
const ROUTES: u64 = libc::NETLINK_ROUTE.unsigned_abs() as u64;

/// Where the `setsockopt()` requests of netfilter and IPVS begin, which configure this machine
/// (`nf_register_sockopt()`).
const TABLES: u64 = 64;

/// The flag of `clone()` that makes a thread; it excludes those that make a namespace without
/// privilege (clone(2)).
const THREAD: u64 = libc::CLONE_THREAD.unsigned_abs() as u64;

/// Requests of `ioctl()`: terminal or not and how wide, bytes waiting, non-blocking, interface
/// names and numbers.
const REQUESTS: [libc::c_ulong; 6] = [
    libc::TCGETS,
    libc::TIOCGWINSZ,
    libc::FIONREAD,
    libc::FIONBIO,
    libc::SIOCGIFINDEX,
    libc::SIOCGIFNAME,
];

/// Instructions with which a program by seccompiler checks the architecture and loads the number of
/// the call.
const PREFACE: usize = 4;

/// Refuses from now on, with `EPERM`, every other system call of this thread and of those it
/// starts; where it is still an `administrator` of the network, also those that make use of it.
pub(super) fn apply(administrator: bool) -> Result<(), Error> {
    apply_filter(&program(administrator)?)
}

fn program(administrator: bool) -> Result<BpfProgram, Error> {
    let mut bound = bound()?;
    if administrator {
        bound.extend(bound_for_administrator()?);
    }
    let number = |call: &libc::c_long| u32::try_from(*call).expect("numbers are small");
    let free = FREE.iter().chain(OLDER).filter(|call| !bound.contains_key(call));
    let allowed = free.map(|call| (number(call), Fate::Allowed));
    let examined = bound.keys().map(|call| (number(call), Fate::Examined));
    // Its arguments are out of a filter's sight; the C library does without, as on kernels before
    // Linux 5.3.
    let denied = (number(&libc::SYS_clone3), Fate::Unknown);
    let search = by_number(allowed.chain(examined).chain([denied]).collect());
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(bound, refused, SeccompAction::Allow, ARCH.try_into()?)?;
    let mut program = BpfProgram::try_from(filter)?;
    program.splice(PREFACE..PREFACE, search);
    Ok(program)
}

/// System calls, and what each may be called with.
type Bound = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// What may be called with some arguments only.
fn bound() -> Result<Bound, Error> {
    let mut sockets = sockets()?;
    // What interfaces there are.
    sockets.push(SeccompRule::new(vec![family(libc::AF_NETLINK)?, is(2, ROUTES)?])?);
    let reading =
        |argument| SeccompRule::new(vec![masked(argument, WRITING.unsigned_abs().into(), 0)?]);
    let request = |request: &libc::c_ulong| SeccompRule::new(vec![is(1, *request)?]);
    Ok(BTreeMap::from([
        (libc::SYS_socket, sockets),
        (libc::SYS_openat, vec![reading(2)?]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, vec![reading(1)?]),
        (libc::SYS_ioctl, REQUESTS.iter().map(request).collect::<Result<_, _>>()?),
        // Threads, but neither processes nor namespaces.
        (libc::SYS_clone, vec![SeccompRule::new(vec![masked(0, THREAD, THREAD)?])?]),
        // abort() of this very process.
        (libc::SYS_tgkill, vec![SeccompRule::new(vec![is(0, process::id().into())?])?]),
        // Copies, flags and locks come before F_SETOWN: whom a descriptor sends signals to.
        (
            libc::SYS_fcntl,
            vec![
                SeccompRule::new(vec![below(1, libc::F_SETOWN.unsigned_abs().into())?])?,
                SeccompRule::new(vec![is(1, libc::F_DUPFD_CLOEXEC.unsigned_abs().into())?])?,
            ],
        ),
        // The name of a thread.
        (
            libc::SYS_prctl,
            vec![SeccompRule::new(vec![is(0, libc::PR_SET_NAME.unsigned_abs().into())?])?],
        ),
        // Our own limits.
        (libc::SYS_prlimit64, vec![SeccompRule::new(vec![is(0, 0)?])?]),
    ]))
}

/// What takes the place of that where `CAP_NET_ADMIN` is kept: without netlink, and without the
/// options that load tables. Those of IPv6 have the same numbers as some that checks need.
fn bound_for_administrator() -> Result<Bound, Error> {
    let number = |number: libc::c_int| u64::from(number.unsigned_abs());
    let traffic_class = vec![is(1, number(libc::IPPROTO_IPV6))?, is(2, number(libc::IPV6_TCLASS))?];
    let options =
        vec![SeccompRule::new(vec![below(2, TABLES)?])?, SeccompRule::new(traffic_class)?];
    Ok(BTreeMap::from([(libc::SYS_socket, sockets()?), (libc::SYS_setsockopt, options)]))
}

/// Ordinary sockets, and those to the name service's daemons.
fn sockets() -> Result<Vec<SeccompRule>, Error> {
    let mut sockets = vec![SeccompRule::new(vec![family(libc::AF_UNIX)?])?];
    for internet in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            let kind = masked(1, SOCKET_TYPE, kind.unsigned_abs().into())?;
            sockets.push(SeccompRule::new(vec![family(internet)?, kind])?);
        }
    }
    Ok(sockets)
}

fn family(family: libc::c_int) -> Result<SeccompCondition, BackendError> {
    is(0, family.unsigned_abs().into())
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, Eq, value)
}

fn below(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, Lt, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, MaskedEq(mask), value)
}
