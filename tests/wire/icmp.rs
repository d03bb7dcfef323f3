//! ICMP errors: what each means for a port, and whose segment it quotes.

use std::net::SocketAddr;

use halfopen::wire::{IcmpError, Meaning, Quote, SequenceNumber};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets::{RST_V4, SERVER_V4, SERVER_V6, SYN_V4, SYN_V6};
use Meaning::{Closed, HopsExceeded, Prohibited, Unreachable};

/// What each (type, code) of the contract means.
const NAMED_V4: [((u8, u8), Meaning); 8] = [
    ((3, 0), Unreachable),   // net
    ((3, 1), Unreachable),   // host
    ((3, 2), Unreachable),   // protocol
    ((3, 3), Closed),        // port
    ((3, 9), Prohibited),    // net administratively prohibited
    ((3, 10), Prohibited),   // host administratively prohibited
    ((3, 13), Prohibited),   // communication administratively prohibited
    ((11, 0), HopsExceeded), // time to live exceeded in transit
];
const NAMED_V6: [((u8, u8), Meaning); 7] = [
    ((1, 0), Unreachable),  // no route
    ((1, 1), Prohibited),   // administratively prohibited
    ((1, 3), Unreachable),  // address
    ((1, 4), Closed),       // port
    ((1, 5), Prohibited),   // source address failed policy
    ((1, 6), Prohibited),   // reject route
    ((3, 0), HopsExceeded), // hop limit exceeded
];

#[test]
fn every_error_of_the_contract_means_what_it_says() {
    for (offender, named) in [(SERVER_V4, NAMED_V4.as_slice()), (SERVER_V6, &NAMED_V6)] {
        for ((kind, code), meaning) in named {
            let error = IcmpError::new(*kind, *code, offender).unwrap();
            assert_eq!(error.meaning, *meaning, "{offender}: type {kind} code {code}");
            assert_eq!(error.offender, offender);
        }
    }
}

/// Only what the contract calls final decides at once. Anything else may be a routing flap, or no
/// error at all.
#[test]
fn no_other_message_is_final() {
    for (offender, named) in [(SERVER_V4, NAMED_V4.as_slice()), (SERVER_V6, &NAMED_V6)] {
        for (kind, code) in every_type_and_code() {
            if !named.iter().any(|(name, _)| *name == (kind, code)) {
                let meaning = IcmpError::new(kind, code, offender).map(|error| error.meaning);
                let soft = matches!(meaning, None | Some(Unreachable));
                assert!(soft, "{offender}: type {kind} code {code} is {meaning:?}");
            }
        }
    }
}

#[test]
fn messages_that_are_no_errors_about_a_destination_prove_nothing() {
    for (kind, code) in every_type_and_code() {
        if ![3, 11].contains(&kind) {
            assert_eq!(IcmpError::new(kind, code, SERVER_V4), None, "v4 type {kind} code {code}");
        }
        if ![1, 3, 4].contains(&kind) {
            assert_eq!(IcmpError::new(kind, code, SERVER_V6), None, "v6 type {kind} code {code}");
        }
    }
}

/// Path MTU discovery and lost fragments say nothing about a port.
#[test]
fn fragmentation_needed_and_reassembly_timeouts_prove_nothing() {
    for (kind, code, offender) in
        [(3, 4, SERVER_V4), (11, 1, SERVER_V4), (3, 1, SERVER_V6), (4, 0, SERVER_V6)]
    {
        assert_eq!(IcmpError::new(kind, code, offender), None, "type {kind} code {code}");
    }
}

#[test]
fn an_error_names_itself_and_who_sent_it() {
    let said = |kind, code, offender| IcmpError::new(kind, code, offender).unwrap().to_string();
    assert_eq!(said(3, 3, SERVER_V4), "ICMP port unreachable from 198.18.0.2");
    assert_eq!(said(1, 4, SERVER_V6), "ICMP port unreachable from 2001:db8::2");
}

#[test]
fn a_quote_is_read_from_the_first_eight_bytes() {
    for (remote, bytes) in [(SERVER_V4, SYN_V4), (SERVER_V6, SYN_V6)] {
        for length in 8..=bytes.len() {
            let quote = Quote {
                remote: SocketAddr::new(remote, 25),
                local_port: 40_000,
                sequence: SequenceNumber(0x0a0b_0c0d),
            };
            let port_less = SocketAddr::new(remote, 0);
            assert_eq!(Quote::parse(port_less, &bytes[..length]), Some(quote));
        }
    }
}

#[test]
fn the_quote_of_an_rst_has_the_sequence_number_of_that_rst() {
    let quote = Quote::parse(SocketAddr::new(SERVER_V4, 0), &RST_V4).unwrap();
    assert_eq!(quote.sequence, SequenceNumber(0x0a0b_0c0e));
}

#[test]
fn less_than_eight_bytes_are_no_quote() {
    for length in 0..8 {
        assert_eq!(Quote::parse(SocketAddr::new(SERVER_V4, 0), &SYN_V4[..length]), None);
    }
}

proptest! {
    #[test]
    fn random_bytes_are_a_quote_when_they_are_eight(bytes in vec(any::<u8>(), 0..40)) {
        let quote = Quote::parse(SocketAddr::new(SERVER_V4, 0), &bytes);
        prop_assert_eq!(quote.is_some(), bytes.len() >= 8);
    }
}

fn every_type_and_code() -> impl Iterator<Item = (u8, u8)> {
    (0..=255).flat_map(|kind| (0..=255).map(move |code| (kind, code)))
}
