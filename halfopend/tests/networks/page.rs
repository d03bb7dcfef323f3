//! The status page, as people see it. The judges are a browser and axe-core.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use lab::Direction::Out;
use lab::{Captured, Lab};

use crate::browser::Browser;
use crate::daemon::{Daemon, Files, SERVERS, block, pool, wait_for, wait_until};
use crate::http::{HERE, curl, start};

const ALL: &str = "document.querySelector('h1').textContent";

fn page(query: &str) -> String {
    format!("http://{HERE}/{query}")
}

fn is(text: &str) -> String {
    format!("{ALL} === {}", json!(text))
}

/// Starts a daemon that has checked all of its targets.
pub(crate) fn ready(lab: &Lab, files: &Files) -> Daemon {
    let daemon = start(lab, files, &[]);
    let url = format!("http://{HERE}/-/ready");
    wait_until("every target has been checked", || curl(&lab.client, &[&url]).0 == "200");
    daemon
}

#[test]
fn it_changes_by_itself_and_keeps_what_is_typed() {
    let lab = Lab::new();
    let mut listeners: Vec<_> =
        SERVERS.iter().map(|server| lab.server.listen(server.parse().unwrap())).collect();
    let files = Files::new(&pool());
    let daemon = ready(&lab, &files);
    let mut browser = Browser::start(&lab.client);
    browser.open(&page(""));
    browser.until(&is("All 3 targets are up"));
    browser.value("window.loaded = 1; document.querySelector('[type=search]').focus()");
    block(&lab, true);
    browser.until("document.querySelectorAll('.state .mark').length === 3");
    browser.until("document.querySelector('.counts').innerText.includes('3 held')");
    block(&lab, false);
    browser.until(&is("All 3 targets are up"));
    lab.server.nft("table inet cut { chain in { type filter hook input priority 0; drop; }; }");
    browser.until(&is("Isolated: nothing answers"));
    browser.until("document.querySelector('.banner') !== null");
    lab.server.nft("delete table inet cut");
    browser.until(&is("All 3 targets are up"));
    listeners.remove(0);
    browser.until(&is("1 of 3 targets down"));
    let first = browser.value("document.querySelector('tbody tr').innerText");
    let first = first.as_str().expect("text");
    assert!(first.contains("down") && first.contains(SERVERS[0]), "{first}");
    assert_eq!(browser.value("document.title"), "1 of 3 targets down · halfopend");
    browser.ask("Input.insertText", &json!({ "text": "198.18.2.1" }));
    browser.until("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(browser.value("document.activeElement.value"), "198.18.2.1");
    drop(daemon);
    browser.until(&format!("{ALL}.startsWith('No answer')"));
    assert_eq!(browser.value("window.loaded"), 1, "it was loaded again");
    browser.assert_content();
}

/// Ten thousand targets, of which one answers.
pub(crate) fn crowd() -> String {
    "[pool.crowd]\n\
     targets = [\"198.18.0.0/19:8025\", \"198.18.32.0/21:8025\"]\n\
     interval = \"10m\"\n\
     transition_interval = \"10m\"\n\
     timeout = \"400ms\"\n\
     retries = 0\n\
     isolation = \"ignore\"\n"
        .to_owned()
}

#[test]
fn of_ten_thousand_targets_some_are_loaded_and_others_are_found() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SERVERS[1].parse().unwrap());
    let files = Files::new(&crowd());
    let _daemon = ready(&lab, &files);
    let mut browser = Browser::start(&lab.client);
    browser.open(&page(""));
    let bytes = browser.value(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
         .reduce((bytes, entry) => bytes + entry.transferSize, 0)",
    );
    let bytes = bytes.as_f64().expect("a number");
    assert!((10_000.0..1_000_000.0).contains(&bytes), "{bytes}");
    let rows = "document.querySelectorAll('tbody tr').length";
    assert_eq!(browser.value(rows), 250);
    browser.value("document.querySelector('[type=search]').focus()");
    browser.ask("Input.insertText", &json!({ "text": SERVERS[1] }));
    browser.until(&format!("{rows} === 1"));
    assert_eq!(browser.value("location.search"), "?q=198.18.1.1%3A8025");
    browser.value("document.querySelector('[type=checkbox]').click()");
    browser.until(&format!("{rows} === 0"));
    browser.value("document.querySelector('[type=search]').value = '198.18.39.'");
    browser.value("document.querySelector('form').requestSubmit()");
    browser.until("document.querySelector('.pages').innerText.includes('1 to 250 of 256')");
    browser.value("document.querySelector('.pages a').click()");
    browser.until("document.querySelector('.pages').innerText.includes('251 to 256 of 256')");
    assert_eq!(browser.value(rows), 6);
    browser.assert_content();
}

#[test]
fn without_scripts_every_target_is_reached() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SERVERS[1].parse().unwrap());
    let files = Files::new(&crowd());
    let _daemon = ready(&lab, &files);
    let mut browser = Browser::start(&lab.client);
    browser.ask("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    browser.open(&page("?pool=crowd"));
    let mut seen = 0;
    loop {
        let rows = browser.value("document.querySelectorAll('tbody tr').length");
        seen += rows.as_u64().expect("a number");
        let next = "[...document.querySelectorAll('.pages a')].at(-1)";
        if browser.value(&format!("{next}.innerText.includes('Next')")) == false {
            break;
        }
        let url = browser.value(&format!("{next}.href"));
        browser.open(url.as_str().expect("text"));
    }
    assert_eq!(seen, 8192 + 2048);
    assert_eq!(browser.value("document.documentElement.className"), "", "a script ran");
    browser.value("document.querySelector('[type=search]').focus()");
    browser.ask("Input.insertText", &json!({ "text": SERVERS[1] }));
    browser.value("document.querySelector('form button').click()");
    browser.until("document.querySelectorAll('tbody tr').length === 1");
    browser.assert_content();
}

/// All that there is to see: up, down by a refusal and by silence, unknown, held, a pool that fails
/// open, and names that are long.
fn everything() -> String {
    let name = "a-name-that-does-not-fit.in-the-width-of-a-telephone.and-is-not-known.example";
    format!(
        "{pool}fail_open = 1\n\
         [pool.with-a-name-that-is-too-long-for-the-width-of-a-telephone]\n\
         targets = [\"192.0.2.1:443\", \"{name}:443\"]\n\
         interval = \"500ms\"\n\
         timeout = \"400ms\"\n\
         [pool.mail]\n\
         targets = [\"198.18.5.1:25\", \"198.18.6.1:25\", \"198.18.7.1:25\"]\n\
         interval = \"500ms\"\n\
         timeout = \"400ms\"\n\
         fail_open = \"40%\"\n",
        pool = pool()
    )
}

#[test]
fn everybody_can_read_it_in_light_and_dark_and_on_a_phone() {
    let lab = Lab::new();
    let _listeners: Vec<_> = [SERVERS[0], SERVERS[1], "198.18.5.1:25"]
        .iter()
        .map(|server| lab.server.listen(server.parse().unwrap()))
        .collect();
    lab.server.nft(
        "table inet silent { chain in { type filter hook input priority 0; \
         ip daddr { 198.18.6.1, 198.18.7.1 } drop; }; }",
    );
    let files = Files::new(&everything());
    let _daemon = ready(&lab, &files);
    let mut browser = Browser::start(&lab.client);
    browser.open(&page(""));
    browser.until("document.querySelector('.counts').innerText.includes('fail open')");
    browser.until("document.querySelectorAll('tr.down').length === 3");
    browser.until("document.querySelectorAll('.hour svg').length >= 6");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).expect("may write to the target folder");
    for (name, width, height, scheme) in
        [("light", 1200, 900, "light"), ("dark", 1200, 900, "dark"), ("phone", 360, 1600, "light")]
    {
        browser.show(width, height, scheme);
        let wide = browser.value("document.documentElement.scrollWidth");
        assert!(wide.as_u64().expect("a number") <= width.into(), "{name}: {wide}");
        browser.screenshot(&folder.join(format!("{name}.png")));
        let barriers = browser.barriers();
        assert!(barriers.is_empty(), "{name}: {barriers:#?}");
    }
    browser.assert_content();
}

#[test]
fn why_a_target_is_down_is_asked_once_and_shown() {
    let lab = Lab::new();
    let _listeners = [SERVERS[1], SERVERS[2]].map(|at| lab.server.listen(at.parse().unwrap()));
    lab.server.nft(
        "table inet silent { chain in { type filter hook input priority 0; \
         ip daddr 198.18.1.1 tcp dport 8025 drop; }; }",
    );
    let files = Files::new(&pool());
    let capture = lab.client.capture("client0");
    let daemon = ready(&lab, &files);
    let targets = || {
        let (_, json) = curl(&lab.client, &[&page("api/v1/targets")]);
        let all: Value = serde_json::from_str(&json).expect("JSON");
        all["targets"].clone()
    };
    wait_for("the causes", || {
        let targets = targets();
        let causes = [0, 1, 2].map(|index| targets[index]["cause"].clone());
        let is_so = causes == [json!("nobody-listens"), json!("firewall-drop"), json!(null)];
        if is_so { Ok(()) } else { Err(targets) }
    });
    let mut browser = Browser::start(&lab.client);
    browser.open(&page("?q=198.18.1.1"));
    browser.until("document.querySelector('.cause').innerText.includes('a firewall drops')");
    browser.value("document.querySelector('summary').click()");
    browser.until("document.querySelector('details').innerText.includes('6 ACKs to port 8025')");
    let checks = |target: &Value| target[1]["checks"].as_u64().expect("a number");
    let before = checks(&targets());
    wait_until("it is checked again", || checks(&targets()) >= before + 5);
    browser.until("document.querySelector('details').open"); // through all updates
    browser.assert_content();
    drop(daemon);
    let is_question = |packet: &Captured| {
        let is_check = packet.destination_port == 8025 && packet.flags == "SYN";
        packet.destination.to_string() == "198.18.1.1" && packet.direction == Out && !is_check
    };
    let questions: Vec<_> = capture.segments().into_iter().filter(is_question).collect();
    assert!((8..=10).contains(&questions.len()), "{questions:#?}");
}
