//! Servers under pressure: a full accept queue, and SYN cookies.

use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::exchange::assert_half_open;
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6};

/// Linux drops the SYN, so overload looks filtered and never closed, whatever
/// `tcp_abort_on_overflow` says.
#[test]
fn a_full_accept_queue_looks_filtered_until_the_application_accepts() {
    for abort_on_overflow in ["0", "1"] {
        let lab = Lab::new();
        lab.server.sysctl("net.ipv4.tcp_abort_on_overflow", abort_on_overflow);
        for server in [SERVER_V4, SERVER_V6] {
            let address = SocketAddr::new(server, 80);
            let listener = lab.server.enter(|| {
                let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
                    .expect("a TCP socket");
                socket.bind(&address.into()).expect("an address of the server");
                socket.listen(0).expect("listens"); // room for one
                std::net::TcpListener::from(socket)
            });
            let target = server.to_string();
            assert_eq!(
                lab.verdict(&["-t", "3", &target, "80"]).ending(),
                (Some("open"), 0),
                "a hung application with room still looks open"
            );

            let _waiting =
                lab.client.enter(|| TcpStream::connect(address).expect("there is room for one"));
            let verdict = lab.verdict(&["-t", "3", &target, "80"]);
            assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");

            listener.accept().expect("the one that waits");
            assert_eq!(lab.verdict(&["-t", "3", &target, "80"]).ending(), (Some("open"), 0));
        }
    }
}

#[test]
fn a_server_that_answers_with_syn_cookies_is_open_in_three_packets() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.tcp_syncookies", "2");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_half_open(&capture.segments(), client, server);

        // The RST must not be accepted as the ACK of the cookie.
        listener.set_nonblocking(true).expect("a socket of ours");
        listener.accept().expect_err("accept() must have nothing to take");
        let sent = lab.server.run("nstat", &["-asz", "TcpExtSyncookiesSent"]);
        assert!(
            sent.lines()
                .any(|line| line.starts_with("TcpExtSyncookiesSent") && !line.contains(" 0 ")),
            "cookies were sent: {sent}"
        );
    }
}
