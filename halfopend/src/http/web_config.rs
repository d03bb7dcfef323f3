//! What the file of `--web-config` says: the format of Prometheus' exporter-toolkit.
//!
//! What that format knows and this server does not support is refused, so that nobody relies on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bcrypt::HashParts;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_saphyr::{Location, Options, Spanned};

/// The highest cost of a hash. A comparison takes about a second then.
const COST: u32 = 14;

/// The most characters of a message.
const WORDS: usize = 200;

/// What the file says.
#[derive(Debug, Default)]
pub struct WebConfig {
    /// How to serve TLS, if at all.
    pub(super) tls: Option<Tls>,
    /// Headers of all responses.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The hashes of passwords by user. Without any, everyone may ask.
    pub(super) users: BTreeMap<String, String>,
}

/// `tls_server_config`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    pub(super) client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) min_version: Version,
    #[serde(default = "newest")]
    pub(super) max_version: Version,
    /// Those of TLS 1.2; the ones of TLS 1.3 are always on.
    #[serde(default)]
    pub(super) cipher_suites: Vec<String>,
    #[serde(default = "yes")]
    pub(super) prefer_server_cipher_suites: bool,
    #[serde(default)]
    pub(super) curve_preferences: Vec<Curve>,
}

/// Whether clients need certificates. What Go's other types ask for is not verified, so it would
/// prove nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Deserialize)]
pub(super) enum Version {
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// A group for key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Curve {
    #[serde(rename = "X25519")]
    X25519,
    #[serde(rename = "CurveP256")]
    P256,
    #[serde(rename = "CurveP384")]
    P384,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Spanned<Tls>>,
    http_server_config: Option<Http>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

/// `http_server_config`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    /// Whether a client may choose HTTP/2: here, none can.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<Headers>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Headers {
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<Spanned<String>>,
    #[serde(rename = "X-Content-Type-Options")]
    x_content_type_options: Option<Spanned<String>>,
    #[serde(rename = "X-Frame-Options")]
    x_frame_options: Option<Spanned<String>>,
    #[serde(rename = "X-XSS-Protection")]
    x_xss_protection: Option<Spanned<String>>,
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<Spanned<String>>,
}

/// Something in the file is wrong.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct Mistake {
    file: String,
    line: u64,
    column: u64,
    problem: String,
}

fn newest() -> Version {
    Version::Tls13
}

fn yes() -> bool {
    true
}

impl WebConfig {
    /// Understands the text of a file. Files that it names are looked for in the same folder.
    ///
    /// # Errors
    ///
    /// Returns the first mistake, and where it is.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Mistake> {
        let name = file.display().to_string();
        let at = |place: Location, problem: String| Mistake {
            file: name.clone(),
            line: place.line().max(1),
            column: place.column().max(1),
            problem: problem.replace(char::is_control, " ").chars().take(WORDS).collect(),
        };
        let mut options = Options::default();
        options.with_snippet = false;
        let parsed: Option<File> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| at(error.location().unwrap_or(Location::UNKNOWN), words(&error)))?;
        let File { tls_server_config, http_server_config, basic_auth_users } =
            parsed.unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new(""));
        let tls = tls_server_config.map(|Spanned { value, referenced, .. }| {
            value.checked().map(|tls| tls.in_folder(folder)).map_err(|words| at(referenced, words))
        });
        let headers = http_server_config.and_then(|http| http.headers).into_iter();
        let headers = headers.flat_map(Headers::each).map(|(name, value)| {
            let understood = HeaderValue::from_str(&value.value);
            let problem = |_| at(value.referenced, format!("no value of the header {name}"));
            Ok((name.clone(), understood.map_err(problem)?))
        });
        let users = basic_auth_users.unwrap_or_default().into_iter().map(|(user, hash)| {
            let problem = |words| at(hash.referenced, format!("{user}: {words}"));
            check_hash(&hash.value).map_err(problem)?;
            Ok((user, hash.value))
        });
        Ok(Self {
            tls: tls.transpose()?,
            headers: headers.collect::<Result<_, _>>()?,
            users: users.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the files that are needed beside this one.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = self.tls.iter();
        tls.flat_map(|tls| [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()])
            .flatten()
            .map(PathBuf::as_path)
    }
}

impl Tls {
    /// Returns the same if it makes sense.
    fn checked(self) -> Result<Self, String> {
        let verifies = self.client_auth_type != ClientAuth::NoClientCert;
        let problem = match &self.client_ca_file {
            Some(_) if !verifies => {
                "client_ca_file needs client_auth_type: RequireAndVerifyClientCert"
            }
            None if verifies => "client_auth_type needs client_ca_file",
            _ if self.max_version < self.min_version => "max_version is below min_version",
            _ => return Ok(self),
        };
        Err(problem.to_owned())
    }

    fn in_folder(mut self, folder: &Path) -> Self {
        let files = [&mut self.cert_file, &mut self.key_file].into_iter();
        for file in files.chain(&mut self.client_ca_file) {
            *file = folder.join(&*file);
        }
        self
    }
}

impl Headers {
    fn each(self) -> impl Iterator<Item = (HeaderName, Spanned<String>)> {
        let Self {
            strict_transport_security,
            x_content_type_options,
            x_frame_options,
            x_xss_protection,
            content_security_policy,
        } = self;
        let all = [
            ("strict-transport-security", strict_transport_security),
            ("x-content-type-options", x_content_type_options),
            ("x-frame-options", x_frame_options),
            ("x-xss-protection", x_xss_protection),
            ("content-security-policy", content_security_policy),
        ];
        all.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)))
    }
}

/// Refuses what is no hash of bcrypt, and one whose comparisons would take too long.
fn check_hash(hash: &str) -> Result<(), String> {
    // The crate's message would repeat the hash.
    let parts: HashParts = hash.parse().map_err(|_| "no hash of bcrypt, such as $2y$10$…")?;
    if parts.get_cost() > COST {
        return Err(format!("the cost of the hash is above {COST}"));
    }
    Ok(())
}

/// Returns what the parser says, without the place.
fn words(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    let message = message.replacen("unknown field", "unknown key", 1);
    let line = message.lines().next().unwrap_or_default();
    line.rsplit_once(" at line ").map_or(line, |(message, _)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$4ht4Ga2Vh0SlEeF8n/eXBe9jSJYEnOdJbb.4ORZvwL4QYR6B84YlO";

    fn parse(text: &str) -> Result<WebConfig, String> {
        WebConfig::parse(Path::new("/etc/web.yml"), text).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn what_the_exporter_toolkit_documents_is_understood() {
        let text = format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: \"ca.crt\"\n  \
             min_version: \"TLS12\"\n  max_version: TLS13\n  \
             cipher_suites:\n    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  \
             prefer_server_cipher_suites: false\n  curve_preferences: [X25519, CurveP256]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {HASH}\n  bob: '{HASH}'\n"
        );
        let config = parse(&text).unwrap();
        let tls = Tls {
            cert_file: "/etc/server.crt".into(),
            key_file: "/keys/server.key".into(),
            client_auth_type: ClientAuth::RequireAndVerifyClientCert,
            client_ca_file: Some("/etc/ca.crt".into()),
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into()],
            prefer_server_cipher_suites: false,
            curve_preferences: vec![Curve::X25519, Curve::P256],
        };
        assert_eq!(config.tls, Some(tls));
        assert_eq!(config.headers[0].1, "deny");
        assert_eq!(config.users.keys().collect::<Vec<_>>(), ["alice", "bob"]);
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        for text in ["", "# nothing\n", "---\n", "tls_server_config:\nbasic_auth_users:\n"] {
            let config = parse(text).unwrap_or_else(|mistake| panic!("{text:?}: {mistake}"));
            assert!(config.tls.is_none() && config.users.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, line, words) in [
            ("basic_auth_user:\n  a: b\n", 1, "unknown key `basic_auth_user`"),
            ("tls_server_config:\n  cert_file: a\n  cert: b\n", 3, "unknown key `cert`"),
            ("\ntls_server_config:\n  cert_file: a\n", 3, "missing field `key_file`"),
            ("http_server_config:\n  http2: maybe\n", 2, ""),
            ("http_server_config:\n  headers:\n    X-Other: a\n", 3, "unknown key `X-Other`"),
            ("http_server_config:\n  headers:\n    X-Frame-Options: \"a\\nb\"\n", 3, "no value"),
            ("basic_auth_users:\n  alice: secret\n", 2, "alice: no hash of bcrypt"),
            (
                &format!("basic_auth_users:\n  a: {}\n", HASH.replace("$10$", "$15$")),
                2,
                "a: the cost",
            ),
            ("basic_auth_users: [\n", 1, ""),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}",
                1,
                "unknown variant",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n",
                2,
                "client_ca_file needs",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequireAndVerifyClientCert\n",
                2,
                "client_auth_type needs",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  min_version: TLS10\n",
                4,
                "unknown variant `TLS10`",
            ),
        ] {
            let mistake = parse(text).expect_err(text);
            let rest = mistake.strip_prefix(&format!("/etc/web.yml:{line}:"));
            assert!(rest.is_some_and(|rest| rest.contains(words)), "{mistake}\n{text}");
            assert!(!mistake.contains("secret"), "{mistake}");
        }
    }
}
