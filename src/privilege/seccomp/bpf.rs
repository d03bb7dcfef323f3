//! From the number of a system call to its fate, by binary search.
//!
//! When a filter is installed, the kernel runs it once for each system call that there is
//! (`seccomp_cache_prepare()`). With one comparison after the other, as seccompiler writes them,
//! that takes 0.3 ms; so, 0.06 ms.

use nix::libc;
use seccompiler::sock_filter;

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It fails with `EPERM`.
    Refused,
    /// It fails with `ENOSYS`, as if the kernel had none.
    Unknown,
    /// It is let through.
    Allowed,
    /// The instructions that follow look at its arguments.
    Examined,
}

/// Decides about the number in the accumulator: those in `calls` have the fate that goes with them,
/// the others are refused.
pub(super) fn by_number(mut calls: Vec<(u32, Fate)>) -> Vec<sock_filter> {
    calls.sort_unstable_by_key(|(number, _)| *number);
    let mut ranges = vec![Range { from: 0, fate: Fate::Refused }];
    for (number, fate) in calls {
        ranges.pop_if(|last| last.from == number);
        ranges.push(Range { from: number, fate });
        ranges.push(Range { from: number + 1, fate: Fate::Refused });
    }
    ranges.dedup_by_key(|range| range.fate);
    let mut program = Vec::new();
    search(&ranges, ranges.len() - 1, &mut program);
    program.push(instruction(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    for errno in [libc::EPERM, libc::ENOSYS] {
        program.push(instruction(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()));
    }
    program
}

/// Numbers from here on, up to the next range.
struct Range {
    from: u32,
    fate: Fate,
}

/// Adds the search through `ranges`, of which there are several. The whole search ends at `end`,
/// where what is let through is returned; what is refused and what is unknown, behind that; then
/// comes what is examined.
fn search(ranges: &[Range], end: usize, program: &mut Vec<sock_filter>) {
    let at = program.len();
    let (low, high) = ranges.split_at(ranges.len() / 2);
    program.push(instruction(libc::BPF_JMP | libc::BPF_JGE, high[0].from));
    let mut branch = |ranges: &[Range]| {
        let target = match ranges {
            [Range { fate: Fate::Allowed, .. }] => end,
            [Range { fate: Fate::Refused, .. }] => end + 1,
            [Range { fate: Fate::Unknown, .. }] => end + 2,
            [Range { fate: Fate::Examined, .. }] => end + 3,
            several => {
                let next = program.len();
                search(several, end, program);
                next
            }
        };
        u8::try_from(target - at - 1).expect("fewer than 256 instructions")
    };
    let (jt, jf) = (branch(high), branch(low));
    program[at] =
        sock_filter { jt, jf, ..instruction(libc::BPF_JMP | libc::BPF_JGE, high[0].from) };
}

fn instruction(code: u32, k: u32) -> sock_filter {
    let code = u16::try_from(code | libc::BPF_K).expect("opcodes are 16 bits wide");
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_own_fate() {
        let calls: Vec<_> = (0..700).step_by(7).map(|number| (number, Fate::Allowed)).collect();
        let examined = [1, 2, 8, 300, 699].map(|number| (number, Fate::Examined));
        let unknown = [15, 435].map(|number| (number, Fate::Unknown));
        let calls: Vec<_> = calls.into_iter().chain(examined).chain(unknown).collect();
        let program = by_number(calls.clone());
        for number in (0..1000).chain([0x4000_0000, u32::MAX]) {
            let listed = calls.iter().find(|(listed, _)| *listed == number);
            let wanted = listed.map_or(Fate::Refused, |(_, fate)| *fate);
            assert_eq!(fate(&program, number), wanted, "{number}");
        }
    }

    /// What a machine makes of `program` that knows comparisons and returns.
    fn fate(program: &[sock_filter], number: u32) -> Fate {
        let mut at = 0;
        while let Some(instruction) = program.get(at) {
            if u32::from(instruction.code) & 7 == libc::BPF_RET {
                return match instruction.k {
                    libc::SECCOMP_RET_ALLOW => Fate::Allowed,
                    errno if errno & 0xffff == libc::EPERM.unsigned_abs() => Fate::Refused,
                    _ => Fate::Unknown,
                };
            }
            let jump = if number >= instruction.k { instruction.jt } else { instruction.jf };
            at += 1 + usize::from(jump);
        }
        assert_eq!(at, program.len(), "a jump beyond the end");
        Fate::Examined
    }
}
