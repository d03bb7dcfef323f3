//! Tells the service manager how the daemon is doing (`sd_notify(3)`).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

/// The service manager that has started this process, such as systemd, if one has.
///
/// Nothing waits for it, and what it does not take is lost.
pub struct Supervisor {
    /// Where it listens.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the loop turns.
    interval: Option<Duration>,
    /// When it hears so next.
    next: Duration,
}

impl Supervisor {
    /// Finds it by the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn of_environment() -> Self {
        let text = |name| env::var(name).ok();
        let path = env::var_os("NOTIFY_SOCKET");
        let pid = text("WATCHDOG_PID").is_none_or(|pid| pid == process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").filter(|_| pid).and_then(|time| time.parse().ok());
        Self::at(path.as_deref(), watchdog.map(Duration::from_micros))
    }

    /// Returns one that listens at `path`, and gives a silent daemon up after `watchdog`.
    fn at(path: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let socket = path.and_then(|path| open(path).ok());
        let interval = watchdog.filter(|time| !time.is_zero()).map(|time| time / 2);
        Self { interval: interval.filter(|_| socket.is_some()), socket, next: Duration::ZERO }
    }

    /// Tells that everything is ready, at the start or after a reload, and in one line what is
    /// checked or what the reload has done.
    pub fn ready(&self, status: &str) {
        let status = status.lines().next().unwrap_or_default();
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Tells that the configuration is being read again. [`Supervisor::ready`] ends that.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// Tells that the daemon is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells that the loop turns, if it is time to.
    pub fn turn(&mut self, now: Duration) {
        if let Some(interval) = self.interval
            && self.next <= now
        {
            self.next = now + interval;
            self.tell("WATCHDOG=1");
        }
    }

    /// Returns when to call [`Supervisor::turn`] again.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.interval.map(|_| self.next)
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// Opens a socket that does not wait for the one at `path`. A name that begins with `@` is no file
/// (unix(7), abstract).
fn open(path: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_service_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let name = format!("@halfopend-test-{}", process::id());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_name = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str()),
            (UnixDatagram::bind_addr(&by_name).unwrap(), OsStr::new(&name)),
        ];
        for (socket, path) in sockets {
            let supervisor = Supervisor::at(Some(path), None);
            supervisor.ready("1 target in 1 pool");
            supervisor.reloading();
            supervisor.stopping();
            assert_eq!(received(&socket), "READY=1\nSTATUS=1 target in 1 pool");
            assert_eq!(received(&socket), "RELOADING=1");
            assert_eq!(received(&socket), "STOPPING=1");
            assert_eq!(supervisor.poll_timeout(), None);
        }
    }

    #[test]
    fn the_watchdog_hears_twice_in_its_time_that_the_loop_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let second = Duration::from_secs(1);
        let mut supervisor = Supervisor::at(Some(path.as_os_str()), Some(2 * second));
        supervisor.turn(Duration::ZERO);
        assert_eq!(
            (received(&socket), supervisor.poll_timeout()),
            ("WATCHDOG=1".into(), Some(second))
        );
        supervisor.turn(second / 2);
        assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        supervisor.turn(3 * second);
        assert_eq!(
            (received(&socket), supervisor.poll_timeout()),
            ("WATCHDOG=1".into(), Some(4 * second))
        );
    }

    #[test]
    fn one_that_is_missing_or_does_not_read_delays_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let supervisor = Supervisor::at(Some(path.as_os_str()), None);
        supervisor.ready("");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        for _ in 0..10_000 {
            supervisor.reloading();
        }
        Supervisor::at(None, Some(Duration::from_secs(1))).ready("");
        assert_eq!(Supervisor::at(None, Some(Duration::from_secs(1))).poll_timeout(), None);
    }
}
