//! A host whose only interface is a TUN device: the test reads what its kernel sends, and the
//! kernel receives what the test writes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smoltcp::phy::{self, Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};

use lab::{Namespace, patience};

/// How often the far end looks whether the test is over.
const ATTENTION: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The address of the host under test.
    pub(crate) fn ours(self) -> IpAddr {
        self.address(1)
    }

    /// Returns the address at the far end that the host checks.
    pub(crate) fn peer(self) -> IpAddr {
        self.address(2)
    }

    /// Returns a neighbour that is not probed.
    pub(crate) fn stranger(self) -> IpAddr {
        self.address(3)
    }

    /// Returns a router between the host and its peer.
    pub(crate) fn router(self) -> IpAddr {
        self.address(254)
    }

    fn address(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(198, 18, 1, number).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, number.into()).into(),
        }
    }
}

/// Defines every behaviour as two tests, `v4::…` and `v6::…`.
macro_rules! in_both_families {
    ($($behaviour:ident),+ $(,)?) => {
        mod v4 {
            $(#[test] fn $behaviour() { super::$behaviour(crate::support::tun::Family::V4); })+
        }
        mod v6 {
            $(#[test] fn $behaviour() { super::$behaviour(crate::support::tun::Family::V6); })+
        }
    };
}
pub(crate) use in_both_families;

/// The host, and the thread that simulates all others.
pub(crate) struct TunHost<T> {
    pub(crate) namespace: Namespace,
    far_end: JoinHandle<T>,
    /// Closed when the test is over.
    test_goes_on: Sender<()>,
}

impl<T: Send + 'static> TunHost<T> {
    /// Creates a host that is ready to send, with `play` at the other end of its wire.
    pub(crate) fn facing(play: impl FnOnce(FarEnd) -> T + Send + 'static) -> Self {
        let namespace = Namespace::new();
        let (device_opened, opened) = channel();
        let (test_goes_on, test) = channel();
        // A thread belongs to the namespace of the thread that starts it, and so does the device
        // that it opens.
        let far_end = namespace.enter(|| {
            thread::spawn(move || {
                let device = open_device();
                device_opened.send(()).expect("the test waits for the device");
                test.recv().expect("the test says when the device is up");
                play(FarEnd { device, test, bedtime: Instant::now() + patience() })
            })
        });
        if opened.recv().is_err() {
            std::panic::resume_unwind(far_end.join().err().expect("no device, so it panicked"));
        }
        namespace.configure(&[
            "address add 198.18.1.1/24 dev tun0",
            "address add 2001:db8:2::1/64 dev tun0 nodad",
            "link set tun0 up",
        ]);
        await_own_addresses(&namespace);
        test_goes_on.send(()).expect("the far end waits for this");
        Self { namespace, far_end, test_goes_on }
    }

    /// Ends the far end, and returns its result. Everything that was sent so far has reached it.
    pub(crate) fn finish(self) -> T {
        drop(self.test_goes_on);
        self.far_end.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The other end of the wire: every address but the host's own.
pub(crate) struct FarEnd {
    pub(crate) device: TunTapInterface,
    test: Receiver<()>,
    bedtime: Instant,
}

impl FarEnd {
    /// Waits for a packet, for at most `patience`. Returns false if the test is over, and only
    /// packets that have arrived already are left to read.
    pub(crate) fn attend(&self, at_most: Duration) -> bool {
        if self.test.try_recv() == Err(TryRecvError::Disconnected) {
            return false;
        }
        assert!(Instant::now() < self.bedtime, "the test does not end");
        // Whole milliseconds, rounded up: waiting for 0 ms would spin.
        let wait = at_most.min(ATTENTION) + Duration::from_millis(1);
        phy::wait(self.device.as_raw_fd(), Some(wait.into())).expect("waits for its own device");
        true
    }

    /// Returns the next packet that the host has sent.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let (packet, _) = self.device.receive(smoltcp::time::Instant::now())?;
        Some(packet.consume(<[u8]>::to_vec))
    }

    /// Hands a packet to the host's kernel, which has dealt with it when this returns.
    pub(crate) fn inject(&mut self, packet: &[u8]) {
        let token = self
            .device
            .transmit(smoltcp::time::Instant::now())
            .expect("a TUN device always takes packets");
        token.consume(packet.len(), |buffer| buffer.copy_from_slice(packet));
    }
}

/// The kernel adds the local route of an IPv6 address in a worker (`addrconf_dad_work`), even
/// without duplicate address detection. Until then it sends from the address, and drops the
/// answers.
fn await_own_addresses(namespace: &Namespace) {
    let patience = Instant::now() + patience();
    let address = Family::V6.ours().to_string();
    while !namespace.run("ip", &["-6", "route", "get", &address]).starts_with("local ") {
        assert!(Instant::now() < patience, "{address} does not become local");
        thread::sleep(Duration::from_millis(1));
    }
}

fn open_device() -> TunTapInterface {
    TunTapInterface::new("tun0", Medium::Ip).unwrap_or_else(|error| {
        panic!(
            "cannot make a TUN device ({error}): the tests need a /dev/net/tun that they may open \
             (mode 0666, as udev makes it)"
        )
    })
}
