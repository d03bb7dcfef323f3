//! The packet filters of raw sockets. The kernel offers every message of a protocol that this
//! machine receives to each raw socket of that protocol, and a load balancer has many.

use nix::libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET,
};
use socket2::{Domain, SockFilter};

use crate::wire::Echo;

/// The length of the longest message that is read, in bytes: headers and the payload of an Ethernet
/// frame. An answer to a SYN without a cookie is no longer.
pub(super) const LONGEST: u32 = 2048;

/// The offset of the destination port in a TCP header.
const DESTINATION_PORT: u32 = 2;

/// Returns a classic BPF program that accepts segments to `ports`, and nothing else. It cuts what
/// is too long to be read to one byte more, so that `MSG_TRUNC` shows it, and it takes no more room
/// in the queue.
///
/// For IPv4 the program sees the IP header first, for IPv6 the TCP header.
pub(super) fn to_ports(domain: Domain, ports: &[u16]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    if domain == Domain::IPV4 {
        program.push(statement(BPF_LDX | BPF_B | BPF_MSH, 0)); // X = length of the IP header
        program.push(statement(BPF_LD | BPF_H | BPF_IND, DESTINATION_PORT));
    } else {
        program.push(statement(BPF_LD | BPF_H | BPF_ABS, DESTINATION_PORT));
    }
    for &port in ports {
        program.push(jump(BPF_JMP | BPF_JEQ | BPF_K, port.into(), 0, 1));
        program.push(statement(BPF_RET | BPF_K, LONGEST + 1));
    }
    program.push(statement(BPF_RET | BPF_K, 0));
    program
}

/// Returns a classic BPF program that accepts echo replies with `identifier`, and nothing else.
pub(super) fn echo_replies(domain: Domain, identifier: u16) -> Vec<SockFilter> {
    let [reply_v4, reply_v6] = Echo::REPLY;
    let (mode, kind) =
        if domain == Domain::IPV4 { (BPF_IND, reply_v4) } else { (BPF_ABS, reply_v6) };
    vec![
        // X = length of the IP header. Offsets are counted from there over IPv4 only.
        statement(BPF_LDX | BPF_B | BPF_MSH, 0),
        statement(BPF_LD | BPF_B | mode, 0),
        jump(BPF_JMP | BPF_JEQ | BPF_K, kind.into(), 0, 3),
        statement(BPF_LD | BPF_H | mode, Echo::IDENTIFIER_OFFSET),
        jump(BPF_JMP | BPF_JEQ | BPF_K, identifier.into(), 0, 1),
        statement(BPF_RET | BPF_K, LONGEST),
        statement(BPF_RET | BPF_K, 0),
    ]
}

fn statement(code: u32, operand: u32) -> SockFilter {
    jump(code, operand, 0, 0)
}

fn jump(code: u32, operand: u32, if_true: u8, if_false: u8) -> SockFilter {
    let code = code.try_into().expect("opcodes are 16 bits wide");
    SockFilter::new(code, if_true, if_false, operand)
}
