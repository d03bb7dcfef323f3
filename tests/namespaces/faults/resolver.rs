//! A name service whose answers are wrong, malformed or incomplete. The name then does not resolve,
//! and nothing else happens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use super::{Stage, program};
use crate::support::names::{Names, address, denial, name_service};
use lab::with_own_clock;

/// Makes datagrams of a question for an IPv4 address.
type Service = fn(&[u8]) -> Vec<Vec<u8>>;

/// The flags of a response (RFC 1035 §4.1.1): recursion desired and available, and the error.
const TRUNCATED: u8 = 0x83;

/// None of them gives an address. The first label of the name is the number of the service that
/// answers for it.
const NAMELESS: &[(&str, Service)] = &[
    ("nothing at all", |_| Vec::new()),
    ("an empty datagram", |_| vec![Vec::new()]),
    ("a byte", |_| vec![vec![0xff]]),
    ("the question alone", |question| vec![question.to_vec()]),
    ("no more than a header", |question| vec![address(question)[..12].to_vec()]),
    ("cut within the answer", |question| {
        let answer = address(question);
        vec![answer[..answer.len() - 3].to_vec()]
    }),
    ("the answer to another question", |question| vec![changed(question, 0, 0x55)]),
    ("another name", |question| vec![changed(question, 13, b'x')]),
    ("65535 questions", |question| vec![changed(&changed(&address(question), 4, 0xff), 5, 0xff)]),
    ("65535 answers", |question| vec![changed(&changed(&address(question), 6, 0xff), 7, 0xff)]),
    ("a name that points at itself", |question| {
        let answer = question.len();
        vec![changed(&address(question), answer + 1, u8::try_from(answer).expect("short"))]
    }),
    ("a name that points beyond the end", |question| {
        vec![changed(&address(question), question.len(), 0xff)]
    }),
    ("a record of 65535 bytes", |question| {
        let length = question.len() + 10;
        vec![changed(&changed(&address(question), length, 0xff), length + 1, 0xff)]
    }),
    ("an IPv4 address of 3 bytes", |question| {
        let mut answer = changed(&address(question), question.len() + 11, 3);
        answer.pop();
        vec![answer]
    }),
    ("an alias of itself", |question| {
        let mut answer = changed(&address(question), question.len() + 3, 5);
        answer.truncate(question.len() + 10);
        answer.extend([0, 2, 0xc0, 12]);
        vec![answer]
    }),
    ("no address", |question| vec![changed(&denial(question), 3, 0x80)]),
    ("bad question", |question| vec![changed(&denial(question), 3, 0x81)]),
    ("out of order", |question| vec![changed(&denial(question), 3, 0x82)]),
    ("not implemented", |question| vec![changed(&denial(question), 3, 0x84)]),
    ("refused", |question| vec![changed(&denial(question), 3, 0x85)]),
    ("no host: 0.0.0.0", |question| vec![with_address(question, [0, 0, 0, 0])]),
    ("everybody: 255.255.255.255", |question| vec![with_address(question, [255; 4])]),
    ("a group: 224.0.0.1", |question| vec![with_address(question, [224, 0, 0, 1])]),
    ("more by TCP, which breaks off at once", |question| vec![truncated(question)]),
    ("more by TCP, which breaks off within the answer", |question| vec![truncated(question)]),
    ("more by TCP, which babbles", |question| vec![truncated(question)]),
    ("more by TCP, which is silent", |question| vec![truncated(question)]),
];

/// The kinds of services that continue over TCP.
const TCP: usize = NAMELESS.len() - 4;

#[test]
fn a_name_service_that_gives_no_address_makes_a_name_unreachable() {
    let stage = Stage::new();
    serve(name_service(&stage.lab), |question| NAMELESS[number(question)].1(question));
    serve_tcp(&stage);
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let targets: Vec<_> =
        (0..NAMELESS.len()).map(|number| format!("{number:02}.test:80")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let arguments = [&["-4", "-t", "3", "198.19.0.2:80"], &targets[..]].concat();
    let check = with_own_clock(program("auto", &arguments));
    let outcome = stage.lab.client.outcome(names.shown_to(&check));

    assert_eq!(outcome.code, 2, "{outcome:#?}");
    // At its deadline, not at the resolver's, which is minutes away.
    assert!(outcome.elapsed < Duration::from_secs(150), "{outcome:#?}");
    for (number, (name, _)) in NAMELESS.iter().enumerate() {
        let target = format!("{number:02}.test:80");
        let said = outcome.stdout.lines().find(|line| line.contains(&target)).expect("a line");
        println!("{name}: {said}");
        assert!(said.contains(r#""state":"unreachable""#), "{name}: {said}");
        assert!(said.contains("name does not resolve: "), "{name}: {said}");
    }
    assert!(outcome.stdout.contains(r#""open":1,"closed":0,"filtered":0"#), "{outcome:#?}");
}

#[test]
fn unrelated_datagrams_before_the_answer_are_skipped() {
    let stage = Stage::new();
    serve(name_service(&stage.lab), |question| {
        let forged = changed(&with_address(question, [198, 19, 0, 99]), 0, !question[0]);
        vec![vec![0xff; 512], forged, address(question)]
    });
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let check = program("auto", &["-4", "late.test", "80"]);
    let verdict = stage.lab.client.outcome(names.shown_to(&check)).verdict();
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:#?}");
}

fn changed(message: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at] = byte;
    message
}

fn with_address(question: &[u8], address_in_it: [u8; 4]) -> Vec<u8> {
    let mut message = address(question);
    let length = message.len();
    message[length - 4..].copy_from_slice(&address_in_it);
    message
}

/// A truncated response, after which the resolver asks over TCP.
fn truncated(question: &[u8]) -> Vec<u8> {
    changed(question, 2, TRUNCATED)
}

/// The number in the first label of the name that is asked for.
fn number(question: &[u8]) -> usize {
    let label = std::str::from_utf8(&question[13..15]).expect("two digits");
    label.parse().expect("a number")
}

/// Answers from now on.
fn serve(socket: UdpSocket, answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut question) {
            for answer in answers(&question[..length]) {
                let _ = socket.send_to(&answer, asker);
            }
        }
    });
}

fn serve_tcp(stage: &Stage) {
    let listener = stage.lab.client.listen(SocketAddr::from(([127, 0, 0, 1], 53)));
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().flatten() {
            silent.extend(answer_by_tcp(stream));
        }
    });
}

/// Returns the connection if it is to stay open.
fn answer_by_tcp(mut stream: TcpStream) -> Option<TcpStream> {
    // The question is preceded by its length.
    let mut question = [0; 64];
    let length = stream.read(&mut question).ok().filter(|length| *length > 16)?;
    let answer = address(&question[2..length]);
    let claimed = u16::try_from(answer.len()).expect("short").to_be_bytes();
    match number(&question[2..]) - TCP {
        0 => None,
        1 => stream.write_all(&[&claimed, &answer[..20]].concat()).ok().and(None),
        2 => stream.write_all(&[0xff; 4096]).ok().and(None),
        _ => Some(stream),
    }
}
