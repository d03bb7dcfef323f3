//! How many descriptors checks and clients may take.

/// How many this program opens for itself once they are divided: for threads, for files that it
/// reads, and for connections that wait until others have made room.
const OWN: usize = 48;

/// What clients take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clients {
    /// Connections to the HTTP server.
    pub http: usize,
    /// Connections to the agent.
    pub agent: usize,
    /// Look-ups of names that are checked on demand.
    pub lookups: usize,
}

impl Clients {
    fn sum(self) -> usize {
        self.http + self.agent + self.lookups
    }
}

/// Divides the descriptors that are `left` between checks and clients. Clients get what they
/// `want`, but together at most half. Returns how many checks have for certain, and the clients.
pub fn divide(left: usize, want: Clients) -> (usize, Clients) {
    let left = left.saturating_sub(OWN);
    let (all, wanted) = (want.sum().min(left / 2), want.sum().max(1));
    let share = |want: usize| want * all / wanted;
    let clients =
        Clients { http: share(want.http), agent: share(want.agent), lookups: share(want.lookups) };
    (left - all, clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_at_most_half() {
        let want = Clients { http: 256, agent: 256, lookups: 320 };
        for (left, checks, http, agent, lookups) in [
            (0, 0, 0, 0, 0),
            (OWN + 1, 1, 0, 0, 0),
            (OWN + 104, 52, 16, 16, 20),
            (OWN + 1664, 832, 256, 256, 320),
            (OWN + 10_000, 9168, 256, 256, 320),
        ] {
            assert_eq!(divide(left, want), (checks, Clients { http, agent, lookups }), "{left}");
        }
        assert_eq!(divide(OWN + 100, Clients::default()), (100, Clients::default()));
        let http = Clients { http: 256, ..Clients::default() };
        assert_eq!(divide(OWN + 100, http), (50, Clients { http: 50, ..Clients::default() }));
    }
}
