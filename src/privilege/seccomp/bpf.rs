//! A filter of system calls as a BPF program: a binary search for the number of the call, tests of
//! its arguments, and at the end the few verdicts, which all of them share.
//!
//! A short program saves time, because the kernel translates it in every process anew. Short paths
//! save time, too: the kernel runs the program once for every system call that exists
//! (`seccomp_cache_prepare()`), as far as instructions depend on the number alone
//! (`seccomp_is_const_allow()`). A call that reaches "allowed" in this way is not filtered later.

use nix::libc;
use seccompiler::sock_filter;

/// What happens to a system call that is not refused.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It is allowed.
    Allowed,
    /// It fails with `ENOSYS`, as if the kernel did not have it.
    Unknown,
    /// It is allowed if one of these rules fits its arguments.
    Examined(Vec<Rule>),
}

/// Conditions on the arguments of a system call. The rule fits if all of them hold.
pub(super) type Rule = Vec<Condition>;

/// What the low 32 bits of one argument must be.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// Which argument, from 0 to 5.
    pub(super) argument: u8,
    /// The bits that count.
    pub(super) mask: u32,
    /// What they must be.
    pub(super) test: Test,
}

/// What a number must be.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// One of these.
    OneOf(Vec<u32>),
    /// Less than this.
    Below(u32),
}

/// Returns the filter for system calls of `architecture` (an `AUDIT_ARCH_` of `linux/audit.h`).
/// Each of `calls`, which are listed once each by number, has the given fate. All others fail with
/// `EPERM`. A call of another architecture kills the process.
pub(super) fn filter(architecture: u32, mut calls: Vec<(u32, Fate)>) -> Vec<sock_filter> {
    calls.sort_unstable_by_key(|(number, _)| *number);
    let mut program = Program::default();
    let refused = program.fail(libc::EPERM);
    let unknown = program.fail(libc::ENOSYS);
    let allowed = program.push(libc::BPF_RET, libc::SECCOMP_RET_ALLOW);
    let mut ranges: Vec<Range> = Vec::new();
    for (number, fate) in calls {
        let then = match fate {
            Fate::Allowed => allowed,
            Fate::Unknown => unknown,
            Fate::Examined(rules) => program.examine(&rules, allowed, refused),
        };
        match ranges.last_mut() {
            Some(range) if range.last + 1 == number && range.then == then => range.last = number,
            _ => ranges.push(Range { first: number, last: number, then }),
        }
    }
    program.search(&ranges, 0, refused);
    let search = program.load(NUMBER);
    let foreign = program.push(libc::BPF_RET, libc::SECCOMP_RET_KILL_PROCESS);
    program.jump(libc::BPF_JEQ, architecture, search, foreign);
    program.load(ARCHITECTURE);
    program.backwards.reverse();
    program.backwards
}

/// Numbers of system calls, the first and the last included, and what follows for them.
struct Range {
    first: u32,
    last: u32,
    then: Label,
}

/// The number of ranges that are compared one after the other. A smaller number makes the program
/// longer, a larger one the paths.
const IN_A_ROW: usize = 4;

/// The offsets of the fields of `struct seccomp_data` in bytes.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The position of an instruction, counted from the end of the program.
type Label = usize;

/// A program that is written from its end to its beginning. BPF jumps only forwards, so the target
/// of a jump exists already.
#[derive(Default)]
struct Program {
    backwards: Vec<sock_filter>,
}

impl Program {
    /// Adds the search for the number in the accumulator, which is not below `least`.
    fn search(&mut self, ranges: &[Range], least: u32, missing: Label) -> Label {
        if ranges.len() > IN_A_ROW {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let middle = high[0].first;
            let (above, below) =
                (self.search(high, middle, missing), self.search(low, least, missing));
            return self.jump(libc::BPF_JGE, middle, above, below);
        }
        ranges.iter().rev().fold(missing, |beyond, &Range { first, last, then }| {
            if first == last {
                return self.jump(libc::BPF_JEQ, first, then, beyond);
            }
            let up_to_last = match first {
                first if first == least => then,
                first => self.jump(libc::BPF_JGE, first, then, missing),
            };
            self.jump(libc::BPF_JGT, last, beyond, up_to_last)
        })
    }

    /// Adds the test whether one of `rules` fits.
    fn examine(&mut self, rules: &[Rule], fits: Label, otherwise: Label) -> Label {
        rules.iter().rev().fold(otherwise, |otherwise, rule| {
            rule.iter().rev().fold(fits, |then, condition| self.test(condition, then, otherwise))
        })
    }

    fn test(&mut self, condition: &Condition, holds: Label, fails: Label) -> Label {
        match &condition.test {
            Test::Below(limit) => {
                self.jump(libc::BPF_JGE, *limit, fails, holds);
            }
            Test::OneOf(values) => {
                values.iter().rev().fold(fails, |otherwise, value| {
                    self.jump(libc::BPF_JEQ, *value, holds, otherwise)
                });
            }
        }
        if condition.mask != u32::MAX {
            self.push(libc::BPF_ALU | libc::BPF_AND, condition.mask);
        }
        // The low half of 64 bits comes first: the architectures are little-endian.
        self.load(ARGUMENTS + 8 * u32::from(condition.argument))
    }

    fn load(&mut self, offset: u32) -> Label {
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    fn fail(&mut self, errno: libc::c_int) -> Label {
        self.push(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())
    }

    /// Adds a comparison of the accumulator with `value`.
    fn jump(&mut self, comparison: u32, value: u32, holds: Label, fails: Label) -> Label {
        let over = |label: Label| {
            u8::try_from(self.backwards.len() - label - 1).expect("jumps over fewer than 256")
        };
        let (jt, jf) = (over(holds), over(fails));
        let at = self.push(libc::BPF_JMP | comparison, value);
        self.backwards[at] = sock_filter { jt, jf, ..self.backwards[at] };
        at
    }

    /// Adds an instruction.
    fn push(&mut self, code: u32, k: u32) -> Label {
        let code = u16::try_from(code | libc::BPF_K).expect("opcodes are 16 bits wide");
        self.backwards.push(sock_filter { code, jt: 0, jf: 0, k });
        self.backwards.len() - 1
    }
}
