//! What must hold of every file of `--web-config`, for the tests and the fuzzer.

use std::path::Path;

use halfopend::http::WebConfig;

/// A file is understood, or there is a short message with a place in it.
pub(crate) fn web_config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Err(mistake) = WebConfig::parse(Path::new("web.yml"), text) else { return };
    let message = mistake.to_string();
    assert!(message.len() <= 1024 && !message.contains(char::is_control), "{message:?}");
    let mut parts = message.splitn(4, ':').skip(1);
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok()).expect(&message);
    let (line, column) = (number(), number());
    // YAML has more line ends than the standard library.
    let lines = 2 + text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    assert!((1..=lines).contains(&line) && column >= 1, "{message}");
}
