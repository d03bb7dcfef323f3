//! The filter, judged by the kernel and by seccompiler.

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
        let fates: Vec<_> = calls.iter().filter(|(listed, _)| *listed == number(call)).collect();
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
