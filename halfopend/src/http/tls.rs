//! TLS, as the file of `--web-config` wants it.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::web_config::{ClientAuth, Curve, Tls, Version};

/// Returns what serves TLS with these files: certificates, key, and the authorities for those of
/// clients.
///
/// # Errors
///
/// Returns words that say what is wrong.
pub(super) fn acceptor(
    tls: &Tls,
    certificates: &[u8],
    key: &[u8],
    authorities: Option<&[u8]>,
) -> Result<TlsAcceptor, String> {
    let in_file = |file: &std::path::Path, error: &dyn std::fmt::Display| {
        format!("{}: {error}", file.display())
    };
    let provider = Arc::new(provider(tls)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| error.to_string())?;
    let builder = match (authorities, &tls.client_ca_file) {
        (Some(authorities), Some(file)) => {
            let verifier = verifier(tls.client_auth_type, authorities, provider);
            builder.with_client_cert_verifier(verifier.map_err(|error| in_file(file, &error))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = chain(certificates).map_err(|error| in_file(&tls.cert_file, &error))?;
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|error| in_file(&tls.key_file, &error))?;
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| in_file(&tls.cert_file, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)];
    let is_wanted = |version: &Version| (tls.min_version..=tls.max_version).contains(version);
    all.into_iter().filter(|(version, _)| is_wanted(version)).map(|(_, version)| version).collect()
}

/// Returns the cryptography that is wanted, in the order of preference.
fn provider(tls: &Tls) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        let known: Vec<_> = provider.cipher_suites.iter().filter_map(name).collect();
        if let Some(other) = tls.cipher_suites.iter().find(|suite| !known.contains(&suite.as_str()))
        {
            return Err(format!("cipher_suites: no {other} here, only {}", known.join(", ")));
        }
        let wanted = |suite: &String| {
            provider.cipher_suites.iter().find(|other| name(other) == Some(suite)).copied()
        };
        let newest = provider.cipher_suites.iter().filter(|suite| name(suite).is_none()).copied();
        provider.cipher_suites =
            newest.chain(tls.cipher_suites.iter().filter_map(wanted)).collect();
    }
    if !tls.curve_preferences.is_empty() {
        let group = |curve: &Curve| match curve {
            Curve::X25519 => NamedGroup::X25519,
            Curve::P256 => NamedGroup::secp256r1,
            Curve::P384 => NamedGroup::secp384r1,
        };
        let wanted = tls.curve_preferences.iter().map(group);
        let supported =
            |wanted| provider.kx_groups.iter().find(|group| group.name() == wanted).copied();
        provider.kx_groups = wanted.filter_map(supported).collect();
    }
    Ok(provider)
}

/// Returns the name of a suite of TLS 1.2.
fn name(suite: &SupportedCipherSuite) -> Option<&'static str> {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite.common.suite.as_str(),
        SupportedCipherSuite::Tls13(_) => None,
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("no certificate".to_owned()) } else { Ok(chain) }
}

fn verifier(
    kind: ClientAuth,
    authorities: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in chain(authorities)? {
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match kind {
        ClientAuth::VerifyClientCertIfGiven => builder.allow_unauthenticated(),
        ClientAuth::NoClientCert | ClientAuth::RequireAndVerifyClientCert => builder,
    };
    builder.build().map_err(|error| error.to_string())
}
