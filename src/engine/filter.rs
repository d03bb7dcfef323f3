//! The packet filter of a raw socket. The kernel offers every TCP segment of the machine to a raw
//! TCP socket, and a load balancer has many.

use nix::libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET,
};
use socket2::{Domain, SockFilter};

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

fn statement(code: u32, operand: u32) -> SockFilter {
    jump(code, operand, 0, 0)
}

fn jump(code: u32, operand: u32, if_true: u8, if_false: u8) -> SockFilter {
    let code = code.try_into().expect("opcodes are 16 bits wide");
    SockFilter::new(code, if_true, if_false, operand)
}
