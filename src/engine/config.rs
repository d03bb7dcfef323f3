//! What an engine is opened for, and what is asked of it before the loop runs.

use std::net::IpAddr;
use std::time::Instant;

use socket2::Domain;

use super::connect::ConnectEngine;
use super::raw::RawEngine;
use super::{Engine, sockets};
use crate::attempt::Attempts;
use crate::local_error::LocalError;

/// Which engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Raw sockets if they can be opened, the routing table can be asked, and a source port can be
    /// reserved; else the kernel's handshake.
    Auto,
    /// Raw sockets.
    Raw,
    /// The kernel's handshake.
    Connect,
}

/// How segments leave this machine. The kernel chooses whatever is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Egress {
    /// The source address.
    pub source: Option<IpAddr>,
    /// The name of the network interface.
    pub interface: Option<String>,
    /// The firewall mark (`SO_MARK`).
    pub mark: Option<u32>,
    /// The differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
    /// The time to live or hop limit, 1 to 255.
    pub ttl: Option<u8>,
}

/// What an engine is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Which engine to use.
    pub kind: EngineKind,
    /// How segments leave.
    pub egress: Egress,
    /// The number of SYNs that a target gets at most: as many source ports are reserved.
    pub attempts: Attempts,
    /// True if there may be IPv4 targets.
    pub v4: bool,
    /// True if there may be IPv6 targets.
    pub v6: bool,
    /// True if questions will be asked ([`Engine::ask`], [`Engine::surroundings`]). That takes two
    /// source ports more, and sockets that a confined process cannot open.
    pub explain: bool,
}

/// How many source ports questions have.
const QUESTION_PORTS: usize = 2;

impl EngineConfig {
    /// Returns how many source ports are needed.
    pub(super) fn ports(&self) -> usize {
        self.attempts.count() + if self.explain { QUESTION_PORTS } else { 0 }
    }

    /// Opens the engine, with everything that takes privilege. Nothing that it does later takes
    /// any, except as [`OpenEngine::has_enough_privilege`] says. Time counts from `start`.
    ///
    /// # Errors
    ///
    /// Returns an error if the source address is not one of this machine's, or the system has no
    /// descriptors or memory left. What concerns one address family only is reported by
    /// [`OpenEngine::check_families`].
    pub fn open(&self, start: Instant) -> Result<OpenEngine, LocalError> {
        let connect = || Ok(AnyEngine::Connect(Box::new(ConnectEngine::open(start, self)?)));
        if let Some(source) = self.egress.source {
            sockets::check_own_address(source)?;
        }
        let engine = match self.kind {
            EngineKind::Auto => {
                let raw = RawEngine::open(start, self)?;
                if raw.needs_fallback(self.v4, self.v6) {
                    connect()?
                } else {
                    AnyEngine::Raw(Box::new(raw))
                }
            }
            EngineKind::Raw => AnyEngine::Raw(Box::new(RawEngine::open(start, self)?)),
            EngineKind::Connect => connect()?,
        };
        Ok(OpenEngine { config: self.clone(), engine })
    }
}

/// An engine on real sockets, and what it was opened for.
pub struct OpenEngine {
    config: EngineConfig,
    engine: AnyEngine,
}

enum AnyEngine {
    Raw(Box<RawEngine>),
    Connect(Box<ConnectEngine>),
}

impl OpenEngine {
    /// Returns the name that the command line and reports use.
    pub fn name(&self) -> &'static str {
        match self.engine {
            AnyEngine::Raw(_) => "raw",
            AnyEngine::Connect(_) => "connect",
        }
    }

    /// Returns the number of attempts that it was opened for.
    pub fn attempts(&self) -> Attempts {
        self.config.attempts
    }

    /// Returns true if the privilege that is left is enough for the sockets that are yet to be
    /// opened, or to be bound again.
    pub fn has_enough_privilege(&self) -> bool {
        let mut egress = self.config.egress.clone();
        if let AnyEngine::Raw(_) = self.engine {
            egress.mark = None; // is on its sockets already
        }
        sockets::can_open_another(&egress)
    }

    /// Checks that at least one of the address families that are wanted can be used.
    ///
    /// # Errors
    ///
    /// Returns the error of the first family if none can be used. If only one of two cannot, the
    /// error comes back for each SYN to its targets.
    pub fn check_families(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        match &self.engine {
            AnyEngine::Raw(raw) => raw.check_families(v4, v6),
            AnyEngine::Connect(connect) => connect.check_families(v4, v6),
        }
    }

    /// Returns how many checks can run at once: with the kernel's handshake, each takes a
    /// descriptor.
    pub fn capacity(&self) -> usize {
        match &self.engine {
            AnyEngine::Raw(_) => usize::MAX,
            AnyEngine::Connect(connect) => connect.room(),
        }
    }

    /// Sets how many descriptors checks may take, if each takes one.
    pub(super) fn limit_checks(&mut self, descriptors: usize) {
        if let AnyEngine::Connect(connect) = &mut self.engine {
            connect.limit(descriptors);
        }
    }

    /// Prepares for many targets at once. Returns how many answers may be outstanding at a time:
    /// as many as the receive queue is certain to hold.
    pub fn enable_batching(&mut self) -> usize {
        self.batch(true)
    }

    /// Does the same, with or without a thread for RSTs: it makes pools faster, but takes more of
    /// the processor's time.
    pub(super) fn batch(&mut self, with_rst_thread: bool) -> usize {
        match &mut self.engine {
            AnyEngine::Raw(raw) => raw.enable_batching(with_rst_thread),
            AnyEngine::Connect(_) => usize::MAX,
        }
    }

    /// Returns the source ports that a raw engine has reserved, each with its family.
    pub(super) fn reserved_ports(&self) -> Vec<(Domain, u16)> {
        match &self.engine {
            AnyEngine::Raw(raw) => raw.reserved_ports().collect(),
            AnyEngine::Connect(_) => Vec::new(),
        }
    }

    /// See [`RawEngine::avoid`]. The kernel's handshake with such a port is refused.
    pub(super) fn avoid(&mut self, reserved: &[(Domain, u16)]) {
        if let AnyEngine::Raw(raw) = &mut self.engine {
            raw.avoid(reserved);
        }
    }

    /// Returns the engine as the loop uses it.
    pub(super) fn into_engine(self) -> Box<dyn Engine> {
        match self.engine {
            AnyEngine::Raw(raw) => raw,
            AnyEngine::Connect(connect) => connect,
        }
    }

    /// Returns the engine as the loop uses it.
    pub fn as_engine(&mut self) -> &mut dyn Engine {
        match &mut self.engine {
            AnyEngine::Raw(raw) => raw.as_mut(),
            AnyEngine::Connect(connect) => connect.as_mut(),
        }
    }
}
