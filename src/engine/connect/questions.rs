//! Questions that are asked by a handshake.

use std::time::Duration;

use super::ConnectEngine;
use crate::engine::{Egress, SentQuestion, SentSyn};
use crate::question::{CannotAsk, Question};

/// How long a question that is asked by SYN waits for its answer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(700);

impl ConnectEngine {
    /// Asks `question` by a SYN of the kernel's.
    pub(super) fn ask_by_syn(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        if self.handshakes.room() == 0 {
            return Err(CannotAsk::ThisOne);
        }
        self.questions += 1;
        let ttl = question.hop_limit.or(self.egress.ttl);
        let egress = Egress { ttl, ..self.egress.clone() };
        // No attempt has such an index.
        let index = usize::MAX - self.questions;
        let sent = self.begin_from(None, &egress, question.remote, index);
        let SentSyn { at, local, .. } = sent.map_err(|_| CannotAsk::ThisOne)?;
        self.asking.push_back((question.remote, index, at));
        Ok(SentQuestion { at, local: Some(local) })
    }

    /// Returns when the next question is given up.
    pub(super) fn next_question_given_up(&self) -> Option<Duration> {
        self.asking.front().map(|(.., begun)| *begun + ANSWERED_WITHIN)
    }

    /// Gives up questions before the kernel sends their SYNs again, after a second
    /// (`TCP_TIMEOUT_INIT`). It answers a late SYN+ACK with an RST.
    pub(super) fn give_up_questions(&mut self, now: Duration) {
        while let Some((remote, index, begun)) = self.asking.front().copied()
            && begun + ANSWERED_WITHIN <= now
        {
            self.asking.pop_front();
            self.handshakes.remove_attempt(remote, index);
        }
    }
}
