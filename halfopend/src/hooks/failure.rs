//! What may go wrong with a hook.

/// Why an event did not do what its hook should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The hook has ended with another exit code than 0, or by a signal.
    Failed,
    /// It was killed because it took too long.
    TimedOut,
    /// It could not be started.
    NotStarted,
    /// The helper has ended.
    NoHelper,
    /// Too many events were waiting.
    QueueFull,
    /// The daemon has ended first.
    Stopped,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Failed,
        Self::TimedOut,
        Self::NotStarted,
        Self::NoHelper,
        Self::QueueFull,
        Self::Stopped,
    ];

    /// Returns its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::NotStarted => "not_started",
            Self::NoHelper => "no_helper",
            Self::QueueFull => "queue_full",
            Self::Stopped => "stopped",
        }
    }
}
