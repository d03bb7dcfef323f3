//! Names for the program alone, and a name service that the test provides.
//!
//! The files that the resolver reads are replaced in a mount namespace of the program's own.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use lab::{Lab, Outcome, halfopen};

/// Hosts, switch and resolver files, for the program that [`Names::command`] starts.
pub(crate) struct Names(TempDir);

impl Names {
    /// Creates files with these names, which need no name service. For other names, a test can
    /// provide one on the client's 127.0.0.1.
    pub(crate) fn with_hosts(hosts: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a scratch file");
        };
        write("hosts", hosts);
        write("nsswitch.conf", "hosts: files dns\n");
        write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n");
        Self(folder)
    }

    pub(crate) fn check(&self, lab: &Lab, arguments: &[&str]) -> Outcome {
        lab.client.outcome(self.command(arguments))
    }

    /// Returns the program with `-o json`, and these names.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.shown_to(&halfopen(&[&["-o", "json"], arguments].concat()))
    }

    /// Returns the same program and arguments, in a mount namespace with only these names.
    pub(crate) fn shown_to(&self, command: &Command) -> Command {
        let mount = r#"for file in hosts nsswitch.conf resolv.conf; do mount --bind "$0/$file" "/etc/$file" || exit 99; done; exec "$@""#;
        let mut shown = Command::new("unshare");
        shown.args(["--mount", "sh", "-c", mount]).arg(self.0.path());
        shown.arg(command.get_program()).args(command.get_args());
        shown.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shown
    }
}

/// A name service in the client's namespace, which receives every question and answers none.
pub(crate) fn name_service(lab: &Lab) -> UdpSocket {
    lab.client.enter(|| UdpSocket::bind("127.0.0.1:53").expect("a free port"))
}

/// Makes it answer from now on.
pub(crate) fn answer(socket: UdpSocket, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) {
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(&answer(&question[..length]), asker);
        }
    });
}

/// "No such name" (RFC 1035 §4.1.1): the question itself, as a response with RCODE 3.
pub(crate) fn denial(question: &[u8]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x83]);
    message
}

/// The server's IPv4 address: the question itself, as a response with one answer.
pub(crate) fn address(question: &[u8]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1; // ANCOUNT
    // The name at offset 12 (RFC 1035 §4.1.4), type A, class IN, for a minute, four bytes.
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 19, 0, 2]);
    message
}
