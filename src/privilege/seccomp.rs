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

/// The requests of `ioctl()` that are allowed: whether something is a terminal and its width,
/// waiting bytes, non-blocking mode, interface names and numbers.
const REQUESTS: [libc::c_ulong; 6] = [
    libc::TCGETS,
    libc::TIOCGWINSZ,
    libc::FIONREAD,
    libc::FIONBIO,
    libc::SIOCGIFINDEX,
    libc::SIOCGIFNAME,
];

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
        (libc::SYS_ioctl, vec![vec![one_of(1, &REQUESTS)]]),
        // Threads, but neither processes nor namespaces: this flag excludes those that make a
        // namespace without privilege (clone(2)).
        (libc::SYS_clone, vec![vec![masked(0, number(libc::CLONE_THREAD), &[libc::CLONE_THREAD])]]),
        // abort() of this process.
        (libc::SYS_tgkill, vec![vec![is(0, process::id())]]),
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
mod tests {
    use std::collections::BTreeSet;
    use std::env::consts::ARCH;
    use std::slice;

    use seccompiler::SeccompCmpArgLen::Dword;
    use seccompiler::SeccompCmpOp::{Lt, MaskedEq};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, sock_filter,
    };

    use super::*;

    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

    /// Ours, and those of Linux on 32-bit x86, x86-64, 64-bit ARM, RISC-V, and none.
    const ARCHITECTURES: [u32; 6] =
        [ARCHITECTURE, 0x4000_0003, 0xc000_003e, 0xc000_00b7, 0xc000_00f3, 0];

    /// The kernel is asked, on a thread of its own.
    #[test]
    fn a_program_can_have_more_calls() {
        const PARENT: libc::c_long = libc::SYS_getppid;
        let parent = nix::unistd::getppid();
        let asked = |more: &'static [libc::c_long]| {
            let confined = move || {
                apply(false, more).unwrap();
                nix::unistd::getppid()
            };
            std::thread::spawn(confined).join().unwrap()
        };
        assert_ne!(asked(&[]), parent);
        assert_eq!(asked(&[PARENT, libc::SYS_read, PARENT]), parent);
    }

    /// Such a list does not allow again what `CAP_NET_ADMIN` could be used for.
    #[test]
    fn more_calls_are_allowed_with_any_arguments_unless_they_configure_the_network() {
        let more = [libc::SYS_openat, libc::SYS_socket, libc::SYS_setsockopt];
        let is_free = |administrator, call| {
            let calls = calls(administrator, &more);
            let fates: Vec<_> =
                calls.iter().filter(|(listed, _)| *listed == number(call)).collect();
            matches!(fates[..], [(_, Fate::Allowed)])
        };
        assert_eq!(more.map(|call| is_free(false, call)), [true, true, true]);
        assert_eq!(more.map(|call| is_free(true, call)), [true, false, false]);
    }

    /// The verdicts are those of a filter that seccompiler builds from the same rules, one
    /// comparison after the other.
    #[test]
    fn each_call_has_the_verdict_of_its_rules() {
        for administrator in [false, true] {
            let calls = calls(administrator, &[]);
            let (ours, reference) = (filter(ARCHITECTURE, calls.clone()), reference(&calls));
            for number in (0..700).chain([1023, 0x4000_0000, 0x4000_0029, u32::MAX]) {
                let fate = calls.iter().find(|(listed, _)| *listed == number).map(|(_, fate)| fate);
                for (architecture, arguments) in every(&ARCHITECTURES, &arguments(fate)) {
                    let call = Call::new(architecture, number, arguments);
                    let unknown = matches!(fate, Some(Fate::Unknown));
                    let wanted = match architecture {
                        ARCHITECTURE if unknown => ENOSYS,
                        _ => verdict(&reference, &call),
                    };
                    assert_eq!(verdict(&ours, &call), wanted, "{call:x?}");
                }
            }
        }
    }

    /// If the number alone decides, the kernel must see that in advance, or it runs the filter for
    /// each such call.
    #[test]
    fn free_calls_are_never_filtered() {
        let ours = filter(ARCHITECTURE, calls(true, &[]));
        for (number, fate) in calls(true, &[]) {
            let call = Call::new(ARCHITECTURE, number, [0; 6]);
            let reads_more = |at: &usize| u32::from(ours[*at].code) == LOAD && ours[*at].k > 4;
            let examined = path(&ours, &call).iter().any(reads_more);
            assert_eq!(examined, matches!(fate, Fate::Examined(_)), "{number}");
        }
    }

    /// The same rules by seccompiler, which has only one kind of refusal.
    fn reference(calls: &[(u32, Fate)]) -> BpfProgram {
        let rules = calls.iter().filter_map(|(number, fate)| match fate {
            Fate::Allowed => Some(((*number).into(), Vec::new())),
            Fate::Examined(rules) => {
                Some(((*number).into(), rules.iter().flat_map(conjunctions).collect()))
            }
            Fate::Unknown => None,
        });
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let architecture = ARCH.try_into().unwrap();
        let allowed = SeccompAction::Allow;
        let filter = SeccompFilter::new(rules.collect(), refused, allowed, architecture);
        filter.unwrap().try_into().unwrap()
    }

    /// `rule`, once for each choice from the values that its conditions allow.
    fn conjunctions(rule: &Rule) -> Vec<SeccompRule> {
        let chosen = rule.iter().fold(vec![Vec::new()], |chosen, condition| {
            let ways = alternatives(condition);
            let with = |before: &Vec<_>| {
                let before = before.clone();
                ways.iter().map(move |way| [&before[..], slice::from_ref(way)].concat())
            };
            chosen.iter().flat_map(with).collect()
        });
        chosen.into_iter().map(|conditions| SeccompRule::new(conditions).unwrap()).collect()
    }

    fn alternatives(Condition { argument, mask, test }: &Condition) -> Vec<SeccompCondition> {
        let condition = |operator, value: &u32| {
            SeccompCondition::new(*argument, Dword, operator, (*value).into()).unwrap()
        };
        match test {
            Test::Below(limit) => vec![condition(Lt, limit)],
            Test::OneOf(values) => {
                values.iter().map(|value| condition(MaskedEq((*mask).into()), value)).collect()
            }
        }
    }

    /// Arguments that a call with that fate can distinguish: the values in its rules, their
    /// neighbours, and both with other bits set.
    fn arguments(fate: Option<&Fate>) -> Vec<[u64; 6]> {
        let Some(Fate::Examined(rules)) = fate else {
            return vec![[0; 6], [1; 6], [u64::MAX; 6]];
        };
        let mut values = BTreeSet::from([0, u64::MAX]);
        for Condition { mask, test, argument } in rules.iter().flatten() {
            assert!(*argument < 3, "the test tries three arguments");
            let named = match test {
                Test::OneOf(values) => values.clone(),
                Test::Below(limit) => vec![*limit],
            };
            values.extend(named.into_iter().map(u64::from).flat_map(|value| {
                [value, value.wrapping_sub(1), value + 1, value | 1 << 32, value | u64::from(!mask)]
            }));
            let bits = (0..32).map(|bit| 1 << bit);
            values.extend(bits.filter(|bit| *mask != u32::MAX && u64::from(*mask) & bit != 0));
        }
        let values: Vec<_> = values.into_iter().collect();
        let pairs: Vec<_> = every(&values, &values).collect();
        every(&values, &pairs).map(|(a, (b, c))| [a, b, c, 0, 0, 0]).collect()
    }

    fn every<T: Copy, U: Copy>(all: &[T], others: &[U]) -> impl Iterator<Item = (T, U)> {
        all.iter().flat_map(|one| others.iter().map(|other| (*one, *other)))
    }

    /// A system call as a filter sees it: the words of `struct seccomp_data`.
    #[derive(Debug)]
    struct Call([u32; 16]);

    impl Call {
        fn new(architecture: u32, number: u32, arguments: [u64; 6]) -> Self {
            let mut words = [0; 16];
            words[..2].copy_from_slice(&[number, architecture]);
            for (halves, argument) in words[4..].chunks_mut(2).zip(arguments) {
                let low = argument & u64::from(u32::MAX);
                halves.copy_from_slice(&[low, argument >> 32].map(|half| half.try_into().unwrap()));
            }
            Self(words)
        }
    }

    fn verdict(program: &[sock_filter], call: &Call) -> u32 {
        program[*path(program, call).last().unwrap()].k
    }

    /// The instructions that a BPF machine takes, up to the one that returns.
    fn path(program: &[sock_filter], Call(words): &Call) -> Vec<usize> {
        let (mut path, mut at, mut accumulator) = (Vec::new(), 0, 0);
        loop {
            path.push(at);
            let sock_filter { code, jt, jf, k } = program[at];
            let jump = |holds| usize::from(if holds { jt } else { jf });
            at += 1;
            match u32::from(code) {
                RETURN => return path,
                LOAD => accumulator = words[usize::try_from(k).unwrap() / 4],
                AND => accumulator &= k,
                ALWAYS => at += usize::try_from(k).unwrap(),
                EQUAL => at += jump(accumulator == k),
                GREATER => at += jump(accumulator > k),
                NOT_LESS => at += jump(accumulator >= k),
                other => panic!("no instruction of these filters: {other:#x}"),
            }
        }
    }

    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const ALWAYS: u32 = libc::BPF_JMP | libc::BPF_JA;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    const NOT_LESS: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
}
