//! The configuration: what is understood, and where mistakes are.

mod files;

use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::engine::{Egress, EngineKind};
use halfopen::schedule::Schedule;
use halfopend::config::{
    Addresses, Config, IpProtocol, ModuleConfig, PoolConfig, ProbeConfig, Settings, Written, parse,
};
use halfopend::fleet::PoolSettings;
use halfopend::fleet::fail_open::Limit;
use halfopend::fleet::health::Rules;

/// Returns what a text without files of targets means.
fn understood(text: &str) -> Config {
    understand(text).unwrap_or_else(|message| panic!("{message}\n{text}"))
}

fn understand(text: &str) -> Result<Config, String> {
    parse("a.toml", text).and_then(Settings::read_targets).map_err(|error| error.to_string())
}

/// Returns the message about a text that is not understood.
fn mistake(text: &str) -> String {
    understand(text).expect_err(text)
}

#[test]
fn a_pool_needs_only_targets() {
    let config = understood("[pool.web]\ntargets = ['192.0.2.7:443', 'web.example:443']");
    let targets = ["192.0.2.7:443", "web.example:443"].map(|target| target.parse().unwrap());
    let pool = PoolConfig { targets: targets.into(), ..PoolConfig::named("web") };
    assert_eq!(config, Config { pools: vec![pool], ..Config::of_targets(vec![]) });
}

/// Every key, with a value that is not its default.
const EVERYTHING: &str = r#"
rate = 20000
engine = "connect"
[probe]
allow = ["192.0.2.0/24:25,443", "[2001:db8::/64]:443"]
max_in_flight = 16
[module.fast]
timeout = "1s"
retries = 1
preferred_ip_protocol = "ip4"
ip_protocol_fallback = false
[pool.web]
targets = ["192.0.2.7:443"]
witness = ["192.0.2.1:22"]
addresses = "all"
interval = "10s"
timeout = "2s"
retries = 1
rise = 1
fall = 4
fall_refused = 3
transition_interval = "500ms"
down_interval = "1m"
jitter = "5%"
source = "192.0.2.9"
interface = "eth0"
mark = 0x7
dscp = 46
ttl = 64
hook = ["/bin/hook", "a b"]
agent = "127.0.0.1:10116"
isolation = "ignore"
fail_open = "20%"
"#;

#[test]
fn every_key_has_its_value() {
    let attempts = Attempts::with_retries(1).unwrap();
    let settings = PoolSettings {
        name: "web".into(),
        schedule: Schedule::fit(attempts, Duration::from_secs(2)),
        interval: Duration::from_secs(10),
        transition_interval: Duration::from_millis(500),
        down_interval: Duration::from_mins(1),
        jitter: 0.05,
        rules: Rules { rise: 1, fall: 4, fall_refused: 3 },
        holds_if_isolated: false,
        fail_open: Limit::Percentage(20.0),
        engine: 0,
    };
    let pool = PoolConfig {
        settings,
        targets: vec!["192.0.2.7:443".parse().unwrap()],
        file: None,
        witnesses: vec!["192.0.2.1:22".parse().unwrap()],
        addresses: Addresses::All,
        egress: Egress {
            source: Some("192.0.2.9".parse().unwrap()),
            interface: Some("eth0".into()),
            mark: Some(7),
            dscp: Some(46),
            ttl: Some(64),
        },
        hook: Some(vec!["/bin/hook".to_owned(), "a b".to_owned()]),
        agent: Some("127.0.0.1:10116".parse().unwrap()),
    };
    let config = understood(EVERYTHING);
    assert_eq!((config.rate, config.engine), (20_000, EngineKind::Connect));
    assert_eq!(config.pools, [pool]);
}

#[test]
fn single_checks_have_their_values() {
    let config = understood(EVERYTHING);
    let allow = ["192.0.2.0/24:25,443", "[2001:db8::/64]:443"].map(|text| text.parse().unwrap());
    assert_eq!(
        config.probe,
        Some(ProbeConfig { allow: allow.into(), max_in_flight: 16, engine: 0 })
    );
    let attempts = Attempts::with_retries(1).unwrap();
    let fast = ModuleConfig {
        name: "fast".into(),
        timeout: Duration::from_secs(1),
        attempts,
        preferred: IpProtocol::V4,
        falls_back: false,
    };
    assert_eq!(config.modules, [fast]);
}

#[test]
fn what_is_in_force_reads_as_the_file_that_asked_for_it() {
    let named = "[pool.a]\ntargets = ['a.example:1-3,7', '[fe80::1%eth0]:1', '[2001:db8::/120]:9']\n\
                 fail_open = 3\njitter = '12.5%'\ninterval = '1m'\ntimeout = '333ms'";
    for text in [EVERYTHING, named] {
        let config = understood(text);
        let written = Written(&config).to_string();
        let mut again = understood(&written);
        if let Some(hook) = &config.pools[0].hook {
            assert!(!written.contains(&hook[1]), "arguments may be secret");
            again.pools[0].hook = Some(hook.clone());
        }
        assert_eq!(again, config, "{written}");
    }
}

#[test]
fn long_lists_of_targets_are_cut_in_what_is_in_force() {
    let targets: Vec<_> = (1..=250).map(|n| format!("192.0.2.7:{n}")).collect();
    let config = understood(&format!("[pool.a]\ntargets = {targets:?}"));
    let written = Written(&config).to_string();
    assert!(written.contains("# and 150 more"), "{written}");
    assert_eq!(understood(&written).pools[0].targets.len(), 100);
}

/// A pool that needs nothing more.
const WEB: &str = "[pool.web]\ntargets = ['192.0.2.7:443']\n";

/// Mistakes before and behind [`WEB`], and how the message begins.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("rate = 5\nrat = 5\n", "", "2:1: unknown key `rat`"),
    ("", "colour = 1", "3:1: unknown key `colour`"),
    ("[probe]\nallowed = []\n", "", "2:1: unknown key `allowed`"),
    ("[module.a]\ninterval = '1s'\n", "", "2:1: unknown key `interval`"),
    ("", "rise = ", "3:8: "),
    ("", "rise = 0", "3:8: "),
    ("", "rise = 256", "3:8: "),
    ("", "rise = '2'", "3:8: "),
    ("", "retries = 11", "3:11: "),
    ("", "interval = 5", "3:12: "),
    ("", "interval = '5'", "3:12: "),
    ("", "interval = '-5s'", "3:12: "),
    ("", "interval = '1e3s'", "3:12: "),
    ("", "interval = '25h'", "3:12: "),
    ("", "interval = '499ms'", "3:12: "),
    ("", "down_interval = '1ms'", "3:17: "),
    ("", "transition_interval = '1ms'", "3:23: "),
    ("", "timeout = '0s'", "3:11: "),
    ("", "timeout = '-290s'", "3:11: "),
    ("", "timeout = '5.1s'", "3:11: the timeout of 5.1s is longer"),
    ("", "timeout = '2s'\ninterval = '1s'", "3:11: the timeout of 2s is longer"),
    ("", "jitter = '101%'", "3:10: "),
    ("", "jitter = 0.1", "3:10: "),
    ("", "fail_open = -1", "3:13: "),
    ("", "fail_open = 'on'", "3:13: "),
    ("", "mark = -1", "3:8: "),
    ("", "dscp = 64", "3:8: "),
    ("", "ttl = 0", "3:7: "),
    ("", "source = 'eth0'", "3:10: "),
    ("", "interface = 'a/b'", "3:13: "),
    ("", "hook = []", "3:8: "),
    ("", "hook = ['logger']", "3:8: "),
    ("", "hook = ['/bin/a', \"\\u0000\"]", "3:19: "),
    ("", "agent = '127.0.0.1'", "3:9: "),
    ("", "agent = '127.0.0.1:0'", "3:9: "),
    ("", "isolation = 'on'", "3:13: "),
    ("", "addresses = 'both'", "3:13: "),
    ("engine = 'fast'\n", "", "1:10: "),
    ("rate = 0\n", "", "1:8: "),
    ("rate = 1000001\n", "", "1:8: "),
    ("[probe]\nallow = ['a.example:443']\n", "", "2:10: "),
    ("[probe]\nmax_in_flight = 0\n", "", "2:17: "),
    ("", "[pool.web]", "3:7: "),
];

#[test]
fn a_mistake_is_told_with_its_line_and_column() {
    let around =
        |(before, after, place): &(_, _, &'static str)| (format!("{before}{WEB}{after}"), *place);
    let alone = [
        ("", "1:1: no pool"),
        ("[pool.web]\n", "1:7: no target"),
        ("[pool.'a b']\ntargets = ['192.0.2.7:443']", "1:7: "),
        ("[pool.web]\ntargets = ['192.0.2.7']", "2:12: "),
        ("[pool.web]\ntargets = [\n  '192.0.2.7:1',\n  7]", "4:3: "),
        ("rate = 5\n[pool", "2:6: "),
        ("rate = 5 # \u{fc}\n\u{fc} = 1", "2:1: "),
    ];
    let alone = alone.map(|(text, place)| (text.to_owned(), place));
    for (text, place) in MISTAKES.iter().map(around).chain(alone) {
        let message = mistake(&text);
        let rest = message.strip_prefix(&format!("a.toml:{place}"));
        assert!(rest.is_some_and(|rest| !rest.contains(char::is_control)), "{message}\n{text}");
    }
}

#[test]
fn a_target_is_in_a_pool_only_once() {
    for (targets, endpoint) in [
        ("'192.0.2.7:1', '192.0.2.7:1'", "192.0.2.7:1 "),
        ("'192.0.2.7:1-9', '192.0.2.8:9', '192.0.2.0/24:9'", "192.0.2.7:9 "),
        ("'192.0.2.7:1', '[::ffff:192.0.2.7]:1'", "192.0.2.7:1 "),
        ("'[2001:db8::/120]:7', '[2001:db8:0::ff]:7'", "[2001:db8::ff]:7 "),
        ("'[fe80::1%eth0]:1', '[fe80::1%eth0]:1'", "fe80::1%eth0:1 "),
        ("'web.example:1', 'web.example:2', 'WEB.example:1-2'", "web.example:1 "),
    ] {
        let text = format!("targets = [{targets}]\n");
        let message = mistake(&format!("[pool.a]\n{text}"));
        let column = text.rfind(" '").expect("the last target") + 2;
        assert_eq!(message, format!("a.toml:2:{column}: {endpoint}is in this pool already"));
    }
    understood("[pool.a]\ntargets = ['a:1']\n[pool.b]\ntargets = ['a:1']");
    understood("[pool.a]\ntargets = ['[fe80::1%a]:1', '[fe80::1%b]:1']");
    let witness = mistake("[pool.a]\ntargets = ['192.0.2.7:1']\nwitness = ['192.0.2.7:1']");
    assert_eq!(witness, "a.toml:3:12: 192.0.2.7:1 is in this pool already");
}

#[test]
fn targets_are_counted_before_blocks_are_expanded() {
    let message = mistake("[pool.a]\ntargets = ['192.0.2.7:1', '10.0.0.0/8:1-65535']");
    assert_eq!(message, "a.toml:2:27: more than 1000000 targets, all pools together");
    let message = mistake("[pool.a]\ntargets = ['192.0.2.7:1', '[2001:db8::/32]:1']");
    assert_eq!(message, "a.toml:2:27: more than 1000000 targets, all pools together");
    let tenth = |n: u8| format!("[pool.p{n}]\ninterval='1h'\ntargets = ['10.{n}.0.0/17:1-3']\n");
    understood(&(0..10).map(tenth).collect::<String>());
    let message = mistake(&(0..11).map(tenth).collect::<String>());
    assert_eq!(message, "a.toml:33:12: more than 1000000 targets, all pools together");
}

#[test]
fn pools_are_counted() {
    let pools = |count: u32| -> String {
        let pool = |n| format!("[pool.p{n}]\ninterval='1h'\ntargets = ['192.0.2.1:1']\n");
        (0..count).map(pool).collect()
    };
    understood(&pools(10_000));
    assert_eq!(mistake(&pools(10_001)), "a.toml:30001:7: more than 10000 pools");
}

#[test]
fn the_rate_is_enough_for_the_targets() {
    let pool = "[pool.a]\ninterval = '1s'\ntargets = ['198.18.0.0/24:1']\n";
    understood(&format!("rate = 256\n{pool}"));
    let message = mistake(&format!("rate = 255\n{pool}"));
    let needed = "the targets take 256 SYNs per second or more, but the rate is 255: ";
    assert!(message.starts_with(&format!("a.toml:1:8: {needed}")), "{message}");
    // With the default rate, the largest pool is named.
    let large = "[pool.b]\ninterval = '1s'\ntargets = ['198.18.0.0/18:1']\n";
    let message = mistake(&format!("{pool}{large}"));
    assert!(message.starts_with("a.toml:4:7: "), "{message}");
}

#[test]
fn the_default_timeout_is_never_longer_than_the_interval() {
    let config = understood("[pool.a]\ntargets = ['192.0.2.7:1']\ninterval = '700ms'");
    let settings = &config.pools[0].settings;
    let attempts = Attempts::with_retries(2).unwrap();
    assert_eq!(settings.schedule, Schedule::fit(attempts, Duration::from_millis(700)));
    assert_eq!(settings.transition_interval, Duration::from_millis(700));
    assert_eq!(settings.down_interval, Duration::from_millis(700));
}

#[test]
fn pools_keep_the_order_of_the_file() {
    let config = understood(
        "[pool.z]\ntargets=['a:1']\n[pool.b]\ntargets=['a:1']\n[pool.m]\ntargets=['a:1']",
    );
    let names: Vec<_> = config.pools.iter().map(|pool| &*pool.settings.name).collect();
    assert_eq!(names, ["z", "b", "m"]);
}

#[test]
fn a_timeout_is_written_as_it_was_configured() {
    for timeout in ["1ms", "7ms", "100ms", "333ms", "1.5s", "1.2345s", "0.9999s"] {
        for retries in 0..=10 {
            let text = format!(
                "[pool.web]\ntargets = ['192.0.2.7:443']\ninterval = '5s'\n\
                 timeout = '{timeout}'\nretries = {retries}\n"
            );
            let written = Written(&understood(&text)).to_string();
            // The last waits of a second each are all that there is.
            let longest = "timeout = \"1s\"\nretries = 0\n";
            let shown = format!("timeout = \"{timeout}\"\nretries = {retries}\n");
            let shown = shown.replace("\"0.9999s\"", "\"999.9ms\"");
            assert!(written.contains(&shown) || written.contains(longest), "{written}");
            assert_eq!(understood(&written), understood(&text), "{written}");
        }
    }
}
