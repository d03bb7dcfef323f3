//! One check of a peer that follows a script, and a record of what happened.

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::support::tun::{Family, FarEnd, TunHost};
use lab::{Namespace, Outcome, Verdict, halfopen_path, with_own_clock};

use super::answer::{Answer, IcmpError, RST};
use super::sent::Sent;

/// The port that the program checks.
pub(crate) const PORT: u16 = 80;

/// What the far end does when a SYN arrives, given all SYNs so far, the newest last.
type Script = Box<dyn FnMut(&[Sent]) -> Vec<Injection> + Send>;

/// Packets that the far end injects one after the other.
pub(crate) struct Injection {
    after: Duration,
    packets: Vec<Vec<u8>>,
    /// The program is stopped meanwhile, and for this long afterwards, so that all of them have
    /// arrived when it continues.
    standstill: Option<Duration>,
}

impl Injection {
    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn at_once(self) -> Self {
        self.before_a_pause(Duration::ZERO)
    }

    pub(crate) fn before_a_pause(self, pause: Duration) -> Self {
        Self { standstill: Some(pause), ..self }
    }
}

impl From<Answer> for Injection {
    fn from(answer: Answer) -> Self {
        back_to_back([answer.packet()])
    }
}

impl From<IcmpError> for Injection {
    fn from(error: IcmpError) -> Self {
        back_to_back([error.packet()])
    }
}

/// Packets of any kind, in immediate succession.
pub(crate) fn back_to_back(packets: impl Into<Vec<Vec<u8>>>) -> Injection {
    Injection { after: Duration::ZERO, packets: packets.into(), standstill: None }
}

/// Answers of which the program sees none before the last has arrived.
pub(crate) fn at_once(answers: &[Answer]) -> Injection {
    let packets: Vec<_> = answers.iter().map(Answer::packet).collect();
    back_to_back(packets).at_once()
}

/// A script that answers the first SYN and no other.
pub(crate) fn to_first<A: Into<Injection>>(
    answer: impl Fn(&Sent) -> A + Send + 'static,
) -> impl Fn(&[Sent]) -> Vec<Injection> + Send + 'static {
    move |syns| match syns {
        [first] => vec![answer(first).into()],
        _ => Vec::new(),
    }
}

/// A script that answers every SYN alike.
pub(crate) fn to_each<A: Into<Injection>>(
    answer: impl Fn(&Sent) -> A + Send + 'static,
) -> impl Fn(&[Sent]) -> Vec<Injection> + Send + 'static {
    move |syns| syns.last().map(|newest| answer(newest).into()).into_iter().collect()
}

/// A check of a peer that is silent unless a script is given.
pub(crate) struct Scenario {
    family: Family,
    arguments: Vec<&'static str>,
    script: Script,
    clock: fn(Command) -> Command,
}

impl Scenario {
    pub(crate) fn new(family: Family) -> Self {
        Self {
            family,
            arguments: Vec::new(),
            script: Box::new(|_| Vec::new()),
            clock: with_own_clock,
        }
    }

    /// Options of the program, beside `-o json` and the target.
    pub(crate) fn options(self, arguments: &[&'static str]) -> Self {
        Self { arguments: arguments.to_vec(), ..self }
    }

    /// The program has the machine's clock, which is that of the kernel's time stamps.
    pub(crate) fn by_the_real_clock(self) -> Self {
        Self { clock: |command| command, ..self }
    }

    pub(crate) fn on_syn(
        self,
        script: impl FnMut(&[Sent]) -> Vec<Injection> + Send + 'static,
    ) -> Self {
        Self { script: Box::new(script), ..self }
    }

    /// Runs the program against the peer, and asserts what holds for every check.
    pub(crate) fn run(self) -> Story {
        let mut command = Command::new(halfopen_path());
        command.args(["-o", "json"]);
        command.args(&self.arguments).args([self.family.peer().to_string(), PORT.to_string()]);
        let Self { family, clock, .. } = self;
        let (outcome, sent) = self.play(|namespace, program| {
            let running = namespace.spawn(clock(command));
            program
                .set(Pid::from_raw(running.child.id().cast_signed()))
                .expect("one program a scenario");
            running.wait()
        });
        let story = Story { family, outcome, sent };
        story.assert_manners();
        story
    }

    /// Runs anything against the scripted peer. Returns its result, and every segment that left the
    /// host.
    pub(crate) fn play<T>(
        self,
        act: impl FnOnce(&Namespace, &OnceLock<Pid>) -> T,
    ) -> (T, Vec<Sent>) {
        let program = Arc::new(OnceLock::new());
        let peer = Peer {
            script: self.script,
            program: Arc::clone(&program),
            due: Vec::new(),
            sent: Vec::new(),
        };
        let host = TunHost::facing(move |far_end| peer.live(far_end));
        let result = act(&host.namespace, &program);
        (result, host.finish())
    }
}

/// The verdict of a check, and what it sent.
#[derive(Debug)]
pub(crate) struct Story {
    family: Family,
    pub(crate) outcome: Outcome,
    /// Every segment that left the host, in order, including those of the kernel.
    pub(crate) sent: Vec<Sent>,
}

impl Story {
    pub(crate) fn verdict(&self) -> Verdict {
        self.outcome.verdict()
    }

    pub(crate) fn flags(&self) -> Vec<String> {
        self.sent.iter().map(Sent::flag_names).collect()
    }

    pub(crate) fn syns(&self) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.is_syn()).collect()
    }

    pub(crate) fn resets(&self) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.flags == RST).collect()
    }

    #[track_caller]
    pub(crate) fn assert_verdict(&self, state: &str, tries: u64, exit_code: i32) {
        let verdict = self.verdict();
        let said = (verdict.state.as_deref(), verdict.tries, verdict.code);
        assert_eq!(said, (Some(state), Some(tries), exit_code), "{self:#?}");
    }

    #[track_caller]
    pub(crate) fn assert_sent(&self, flags: &[&str]) {
        assert_eq!(self.flags(), flags, "{self:#?}");
    }

    /// Asserts that the verdict is silence after this many SYNs.
    #[track_caller]
    pub(crate) fn assert_silence(&self) {
        let (syns, reason) = (self.syns().len(), self.verdict().reason);
        let plural = if syns == 1 { "" } else { "s" };
        assert!(reason.starts_with(&format!("no answer to {syns} SYN{plural} in ")), "{reason}");
    }

    /// Asserts what holds for every check, whatever the answers: it sends only SYNs and bare RSTs,
    /// to and from the right addresses, and each SYN has a fresh port and sequence number, or is
    /// the only retransmission from its port.
    fn assert_manners(&self) {
        for sent in &self.sent {
            assert!(sent.checksum_holds, "wrong checksum: {sent:#?}");
            assert_eq!(
                (sent.source, sent.destination),
                (self.family.ours(), self.family.peer()),
                "{sent:#?}"
            );
            assert_eq!(sent.destination_port, PORT, "{sent:#?}");
            assert_eq!(
                sent.acknowledgement, 0,
                "neither a SYN nor a bare RST acknowledges: {sent:#?}"
            );
            match sent.flag_names().as_str() {
                "SYN" => {}
                "RST" => {
                    assert_eq!((sent.window, sent.options.len()), (0, 0), "a bare RST: {sent:#?}");
                }
                other => panic!("our side sent {other}: {sent:#?}"),
            }
        }
        let syns = self.syns();
        for (number, syn) in syns.iter().enumerate() {
            for earlier in &syns[..number] {
                let again = syn.source_port == earlier.source_port;
                assert_eq!(
                    again,
                    syn.sequence == earlier.sequence,
                    "a retransmission or a fresh port with a fresh sequence number: {self:#?}"
                );
            }
            let of_that_port = syns.iter().filter(|other| other.source_port == syn.source_port);
            assert!(of_that_port.count() <= 2, "one retransmission from each port: {self:#?}");
        }
        let verdict = self.outcome.json();
        assert_eq!(verdict["address"], self.family.peer().to_string());
        assert_eq!(verdict["port"], PORT);
        assert_eq!(verdict["engine"], "raw");
    }
}

/// The far end of a scenario.
struct Peer {
    script: Script,
    /// The program under test, once it runs.
    program: Arc<OnceLock<Pid>>,
    due: Vec<(Instant, Injection)>,
    sent: Vec<Sent>,
}

impl Peer {
    fn live(mut self, mut far_end: FarEnd) -> Vec<Sent> {
        loop {
            let test_goes_on = far_end.attend(self.until_next_injection());
            while let Some(packet) = far_end.receive() {
                self.hear(&packet);
            }
            if !test_goes_on {
                return self.sent;
            }
            self.inject_what_is_due(&mut far_end);
        }
    }

    fn hear(&mut self, packet: &[u8]) {
        let Some(sent) = Sent::decode(packet) else { return };
        let is_syn = sent.is_syn();
        self.sent.push(sent);
        if is_syn {
            let syns: Vec<Sent> = self.sent.iter().filter(|sent| sent.is_syn()).cloned().collect();
            let now = Instant::now();
            self.due.extend(
                (self.script)(&syns)
                    .into_iter()
                    .map(|injection| (now + injection.after, injection)),
            );
            // The sort is stable: packets that are due together leave in the order of the script.
            self.due.sort_by_key(|(at, _)| *at);
        }
    }

    fn until_next_injection(&self) -> Duration {
        self.due
            .first()
            .map_or(Duration::MAX, |(at, _)| at.saturating_duration_since(Instant::now()))
    }

    fn inject_what_is_due(&mut self, far_end: &mut FarEnd) {
        let now = Instant::now();
        let ripe = self.due.partition_point(|(at, _)| *at <= now);
        for (_, injection) in self.due.drain(..ripe) {
            let pause = injection.standstill;
            let _standstill = pause.map(|_| Standstill::of(*self.program.wait()));
            for packet in &injection.packets {
                far_end.inject(packet);
            }
            thread::sleep(pause.unwrap_or_default());
        }
    }
}

/// A program stopped until the value is dropped.
pub(crate) struct Standstill(Pid);

impl Standstill {
    pub(crate) fn of(program: Pid) -> Self {
        kill(program, Signal::SIGSTOP).expect("the program runs");
        // It is not reaped here, because the test waits for its end.
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(program), flags).expect("waits for its own child");
        assert!(
            matches!(status, WaitStatus::Stopped(..)),
            "the program ended before its answers came: {status:?}"
        );
        Self(program)
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        // A program that has ended needs no signal.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
