//! The far end of the wire: it answers each SYN with a flood of forged packets, and with the true
//! answer among them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::wire::{IpProtocol, IpVersion};

use super::ip;
use crate::support::tun::FarEnd;
use crate::tun_peer::answer::Answer;
use crate::tun_peer::sent::Sent;

/// Ports of the peer, by its answer to a SYN.
pub(super) const OPEN: u16 = 80;
pub(super) const CLOSED: u16 = 81;
pub(super) const SILENT: u16 = 82;
pub(super) const FILTERED: u16 = 83;

/// How many packets are sent between two reads of what the host has sent. The host's queue to the
/// device is short.
const BATCH: usize = 32;

/// Creates packets for a SYN, none of which is an answer to it.
type Forgeries = Box<dyn Fn(&Sent) -> Vec<Vec<u8>> + Send>;

pub(super) struct Flooder {
    forgeries: Forgeries,
    /// How many forged packets answer each SYN. They are repeated if there are fewer.
    flood: usize,
    in_fragments: bool,
    syns: Vec<Sent>,
    waiting: VecDeque<Sent>,
    record: Record,
}

/// What happened at the far end.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) forgeries: usize,
    pub(super) last_forgery: Option<Instant>,
    /// SYNs by port.
    pub(super) syns: BTreeMap<u16, usize>,
    /// How many SYNs have got the true answer, and when the last one did.
    pub(super) answered: BTreeMap<u16, (usize, Instant)>,
    /// Segments from the source ports of SYNs, by flags and destination: when the first one came,
    /// and how many there were.
    pub(super) sent: BTreeMap<(String, IpAddr), (Instant, usize)>,
}

impl Flooder {
    pub(super) fn new(
        flood: usize,
        forgeries: impl Fn(&Sent) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        Self {
            forgeries: Box::new(forgeries),
            flood,
            in_fragments: false,
            syns: Vec::new(),
            waiting: VecDeque::new(),
            record: Record::default(),
        }
    }

    /// Sends the true answer in fragments.
    pub(super) fn in_fragments(self) -> Self {
        Self { in_fragments: true, ..self }
    }

    pub(super) fn live(mut self, mut far_end: FarEnd) -> Record {
        loop {
            let test_goes_on = far_end.attend(Duration::MAX);
            self.hear(&mut far_end);
            if !test_goes_on {
                return self.record;
            }
            if let Some(syn) = self.waiting.pop_front() {
                self.assault(&syn, &mut far_end);
            }
        }
    }

    fn hear(&mut self, far_end: &mut FarEnd) {
        while let Some(packet) = far_end.receive() {
            // The host's kernel replies with ICMP errors to garbage, and with echoes to echo
            // requests.
            let Some(sent) = is_tcp(&packet).then(|| Sent::decode(&packet)).flatten() else {
                continue;
            };
            let is_ours = self.syns.iter().any(|syn| syn.source_port == sent.source_port);
            if sent.is_syn() || is_ours {
                let kind = (sent.flag_names(), sent.destination);
                self.record.sent.entry(kind).or_insert((Instant::now(), 0)).1 += 1;
            }
            if sent.is_syn() {
                *self.record.syns.entry(sent.destination_port).or_default() += 1;
                self.syns.push(sent.clone());
                self.waiting.push_back(sent);
            }
        }
    }

    fn assault(&mut self, syn: &Sent, far_end: &mut FarEnd) {
        let forgeries = (self.forgeries)(syn);
        let mut forgeries = forgeries.iter().cycle().take(self.flood);
        let before = self.flood / 2;
        self.tell(forgeries.by_ref().take(before), far_end);
        if !self.is_first_try(syn) || self.flood == 0 {
            for packet in self.true_answer(syn) {
                far_end.inject(&packet);
            }
        }
        let answered = self.record.answered.entry(syn.destination_port);
        let (count, last) = answered.or_insert((0, Instant::now()));
        (*count, *last) = (*count + 1, Instant::now());
        self.tell(forgeries, far_end);
    }

    fn tell<'a>(&mut self, forgeries: impl Iterator<Item = &'a Vec<u8>>, far_end: &mut FarEnd) {
        for forgery in forgeries {
            far_end.inject(forgery);
            self.record.forgeries += 1;
            if self.record.forgeries.is_multiple_of(BATCH) {
                self.hear(far_end);
            }
            self.record.last_forgery = Some(Instant::now());
        }
    }

    /// The first attempt is never answered, so that the check does not end before the flood begins.
    fn is_first_try(&self, syn: &Sent) -> bool {
        let first = self.syns.iter().find(|one| one.destination_port == syn.destination_port);
        first.is_some_and(|first| first.source_port == syn.source_port)
    }

    fn true_answer(&self, syn: &Sent) -> Vec<Vec<u8>> {
        let packet = match syn.destination_port {
            OPEN => syn.syn_ack().packet(),
            // As long as a SYN+ACK that is split after the header.
            CLOSED => Answer { options: syn.syn_ack().options, ..syn.rst_ack() }.packet(),
            // Administratively prohibited (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
            FILTERED if syn.source.is_ipv4() => syn.icmp(syn.destination, 3, 13).packet(),
            FILTERED => syn.icmp(syn.destination, 1, 1).packet(),
            _ => return Vec::new(),
        };
        if self.in_fragments { ip::fragments(&packet, 24).to_vec() } else { vec![packet] }
    }
}

fn is_tcp(packet: &[u8]) -> bool {
    match IpVersion::of_packet(packet) {
        Ok(IpVersion::Ipv4) => packet.get(9) == Some(&u8::from(IpProtocol::Tcp)),
        Ok(IpVersion::Ipv6) => packet.get(6) == Some(&u8::from(IpProtocol::Tcp)),
        Err(_) => false,
    }
}
