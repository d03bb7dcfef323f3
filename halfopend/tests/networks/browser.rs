//! Debian's Chromium without a window, driven by its `DevTools` protocol over a pipe.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use lab::Namespace;

use crate::daemon::{PATIENCE, wait_for};

/// It runs as root, and requests only what it is told to open.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with one page. It ends when the value is dropped.
pub(crate) struct Browser {
    process: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    requested: u64,
    /// What went wrong in the page, such as what its policy forbids.
    complaints: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start(host: &Namespace) -> Self {
        let profile = tempfile::tempdir().expect("a place for temporary files");
        let mut command = Command::new("sh");
        // The descriptors 3 and 4 are those of the protocol.
        command.args(["-c", r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"]);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg("about:blank").env("HOME", profile.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = host.enter(|| command.spawn().expect("sh"));
        let requests = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).expect("JSON"));
            }
        });
        let mut browser = Self {
            process,
            requests,
            messages,
            session: None,
            requested: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let targets = self.ask("Target.getTargets", &json!({}));
        let targets = targets["targetInfos"].as_array().expect("targets");
        let page = targets.iter().find(|target| target["type"] == "page").expect("a page");
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = self.ask("Target.attachToTarget", &attached);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Asks for something, and returns the answer.
    pub(crate) fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.requested += 1;
        let mut request = json!({ "id": self.requested, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let request = [request.to_string().as_bytes(), &[0]].concat();
        self.requests.write_all(&request).expect("the browser runs");
        loop {
            let mut message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == self.requested {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            let entry = &message["params"]["entry"];
            // Pages are told about failed requests.
            let is_complaint = message["method"] == "Runtime.exceptionThrown"
                || message["method"] == "Log.entryAdded" && entry["source"] != "network";
            if is_complaint {
                self.complaints.push(message);
            }
        }
    }

    /// Returns the value of an expression in the page. A promise is waited for.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.ask("Runtime.evaluate", &parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn until(&mut self, expression: &str) {
        wait_for(expression, || {
            // While a page is being replaced by another one, there is no value.
            let parameters = json!({ "expression": expression, "returnByValue": true });
            let answer = self.ask("Runtime.evaluate", &parameters);
            let is_so = answer["result"]["value"] == true;
            if is_so { Ok(()) } else { Err(self.value("document.body?.innerText")) }
        });
    }

    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.ask("Page.navigate", &json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        let url = json!(url);
        self.until(&format!("location.href === {url} && document.readyState === 'complete'"));
    }

    /// Sets the size of the window, and whether it is light or dark.
    pub(crate) fn show(&mut self, width: u32, height: u32, scheme: &str) {
        let is_phone = width < 500;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone
        });
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", &json!({ "features": feature }));
    }

    /// Writes a picture of the window to a file.
    pub(crate) fn screenshot(&mut self, file: &Path) {
        let answer = self.ask("Page.captureScreenshot", &json!({ "format": "png" }));
        let picture = answer["data"].as_str().expect("a picture");
        let picture = BASE64_STANDARD.decode(picture).expect("base64");
        fs::write(file, picture).expect("may write to the target folder");
    }

    /// Returns what axe-core, an accessibility tool, complains about: rule and element.
    pub(crate) fn barriers(&mut self) -> Vec<String> {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("../tools/axe/axe_playwright_python/axe.min.js");
        let axe = fs::read_to_string(&file);
        let axe = axe.unwrap_or_else(|error| {
            panic!("{}: {error}; scripts/test installs it", file.display())
        });
        self.value(&format!("{axe};null"));
        let found = self.value(
            "axe.run().then(result => result.violations.flatMap(rule => \
             rule.nodes.map(node => `${rule.id}: ${node.html}: ${node.failureSummary}`)))",
        );
        let found = found.as_array().expect("a list");
        found.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
    }

    /// Panics if something went wrong in the page.
    pub(crate) fn assert_content(&mut self) {
        self.value("null");
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
