//! A pair of sockets that keep messages apart.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, getsockopt, recv, send, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of a message. Every kernel's socket buffer has room for it
/// (`net.core.wmem_default`).
const MOST: usize = 192 << 10;

/// One end of a pair.
pub(super) struct Channel(OwnedFd);

/// What has arrived.
pub(super) enum Received<T> {
    /// A message.
    Message(T),
    /// Nothing yet.
    Nothing,
    /// The other end is closed.
    Closed,
}

impl Channel {
    /// Creates a pair. The second end is for the standard input of a child.
    pub(super) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(ours), theirs))
    }

    /// Returns the end that is this process's standard input, if it is one.
    pub(super) fn of_standard_input() -> Option<Self> {
        let input = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let kind = getsockopt(&input, sockopt::SockType).ok()?;
        (kind == SockType::SeqPacket).then_some(Self(input))
    }

    /// Sends a message, if there is room (`EAGAIN` otherwise).
    pub(super) fn send(&self, message: &impl Serialize) -> Result<(), Errno> {
        let bytes = serde_json::to_vec(message).expect("text and numbers");
        if bytes.len() > MOST {
            return Err(Errno::EMSGSIZE);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.0.as_raw_fd(), &bytes, flags).map(|_| ())
    }

    /// Receives a message, if one has arrived.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> Received<T> {
        let flags = MsgFlags::MSG_DONTWAIT;
        // Most calls find nothing, so the buffer is made for those that do.
        match recv(self.0.as_raw_fd(), &mut [0], flags | MsgFlags::MSG_PEEK) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Received::Nothing,
            Ok(0) | Err(_) => return Received::Closed,
            Ok(_) => {}
        }
        let mut bytes = vec![0; MOST];
        let length = recv(self.0.as_raw_fd(), &mut bytes, flags).unwrap_or_default();
        // The other end is this program: what it says can be read, unless it has ended.
        serde_json::from_slice(&bytes[..length]).map_or(Received::Closed, Received::Message)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
