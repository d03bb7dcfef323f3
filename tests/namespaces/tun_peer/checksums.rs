//! Segments with a wrong checksum were changed on their way and prove nothing. A checksum that was
//! left to a network card, and that no card completed, is accepted: this machine's kernel, and
//! virtual machines on it, send such segments.

use crate::support::tun::{Family, in_both_families};

use super::answer::{Answer, Checksum};
use super::malformed::ip_options;
use super::open::assert_open_at_once;
use super::scenario::{Injection, Scenario, Story, back_to_back, to_each, to_first};
use super::sent::Sent;

in_both_families!(
    a_segment_with_a_wrong_checksum_is_ignored_and_counted,
    a_segment_with_a_wrong_checksum_hides_no_answer,
    a_checksum_left_to_the_network_card_is_as_good,
    the_checksum_covers_the_payload,
    a_segment_too_long_to_verify_is_ignored_and_counted,
);

const ANSWERS: [fn(&Sent) -> Answer; 2] = [Sent::syn_ack, Sent::rst_ack];

/// The bits that are flipped in the correct one: one in either byte, and several.
const BITS: [u16; 4] = [0x0001, 0x0100, 0x8000, 0x5a5a];

fn a_segment_with_a_wrong_checksum_is_ignored_and_counted(family: Family) {
    for answer in ANSWERS {
        for bits in BITS {
            let wrong = move |syn: &Sent| Answer { checksum: Checksum::Wrong(bits), ..answer(syn) };
            assert_ignored(family, wrong);
        }
    }
}

fn a_segment_with_a_wrong_checksum_hides_no_answer(family: Family) {
    let story = Scenario::new(family)
        .on_syn(to_first(|syn: &Sent| {
            let wrong = Answer { checksum: Checksum::Wrong(1), ..syn.rst_ack() };
            back_to_back([wrong.packet(), syn.syn_ack().packet()])
        }))
        .run();
    assert_open_at_once(&story);
}

fn a_checksum_left_to_the_network_card_is_as_good(family: Family) {
    let unfinished = |answer: Answer| Answer { checksum: Checksum::Unfinished, ..answer };
    let open: [fn(Answer, Family) -> Answer; 3] = [
        |answer, _| answer,
        |answer, _| Answer { payload: b"220 mail ESMTP\r\n".to_vec(), ..answer },
        |answer, family| Answer { ip_options: ip_options(family), ..answer },
    ];
    for with in open {
        let answer = move |syn: &Sent| with(syn.syn_ack(), family);
        let story =
            Scenario::new(family).on_syn(to_first(move |syn| unfinished(answer(syn)))).run();
        assert_open_at_once(&story);
    }
    let story = Scenario::new(family).on_syn(to_first(move |syn| unfinished(syn.rst_ack()))).run();
    story.assert_verdict("closed", 1, 2);
}

fn the_checksum_covers_the_payload(family: Family) {
    // As long as an Ethernet frame, and an odd number of bytes.
    for length in [1, 1400, 1401] {
        let with = move |byte, syn: &Sent| Answer { payload: vec![byte; length], ..syn.syn_ack() };
        let unfinished =
            |sound: &Answer| Answer { checksum: Checksum::Unfinished, ..sound.clone() };
        let is_finished = move |sound: &Answer| unfinished(sound).packet() != sound.packet();
        let sound = move |syn: &Sent| {
            let mut all = (0..=u8::MAX).map(|byte| with(byte, syn));
            all.find(is_finished).expect("no more than one is the same by chance")
        };
        assert_open_at_once(&Scenario::new(family).on_syn(to_first(sound)).run());

        let story = run(family, move |syn| {
            let mut packet = sound(syn).packet();
            *packet.last_mut().expect("a payload") ^= 0x10;
            back_to_back([packet])
        });
        assert_counted(&story);
    }
}

fn a_segment_too_long_to_verify_is_ignored_and_counted(family: Family) {
    for checksum in [Checksum::Correct, Checksum::Unfinished] {
        assert_ignored(family, move |syn| Answer {
            checksum,
            payload: vec![0; 4000],
            ..syn.syn_ack()
        });
    }
}

#[track_caller]
fn assert_ignored(family: Family, answer: impl Fn(&Sent) -> Answer + Send + 'static) {
    assert_counted(&run(family, move |syn| answer(syn).into()));
}

fn run(family: Family, answer: impl Fn(&Sent) -> Injection + Send + 'static) -> Story {
    Scenario::new(family)
        .options(&["-t", "0.3", "--retries", "1", "-v"])
        .on_syn(to_each(answer))
        .run()
}

/// Both attempts are answered like this.
#[track_caller]
fn assert_counted(story: &Story) {
    story.assert_verdict("filtered", 2, 2);
    story.assert_sent(&["SYN", "SYN"]);
    story.assert_silence();
    assert!(story.outcome.stderr.contains("ignored: 2 × wrong checksum"), "{story:#?}");
}
