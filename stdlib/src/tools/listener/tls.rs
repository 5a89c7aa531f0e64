//! The TLS configuration of a listener, from files of certificates and keys.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::ListenError;
use super::certificate::Validity;

/// Makes the acceptor of TLS connections with this certificate, and returns the certificate's validity. With `ca`,
/// only clients with a certificate of one of these authorities are accepted.
///
/// # Errors
/// When a file can't be read, or certificate and key don't belong together.
pub(super) fn acceptor(
    cert: &Path,
    key: &Path,
    ca: Option<&Path>,
) -> Result<(TlsAcceptor, Option<Validity>), ListenError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |reason: String| ListenError::Authorities { path: path.to_path_buf(), reason };
            let mut roots = RootCertStore::empty();
            for certificate in certificates("file of authorities", path)? {
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refused(error.to_string()))?)
        }
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| ListenError::Certificate {
        what: "key",
        path: key.to_path_buf(),
        source,
    })?;
    let chain = certificates("certificate", cert)?;
    let validity = chain.first().and_then(Validity::of);
    let config = builder.with_single_cert(chain, private)?;
    Ok((TlsAcceptor::from(Arc::new(config)), validity))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let refused = |source| ListenError::Certificate { what, path: path.to_path_buf(), source };
    CertificateDer::pem_file_iter(path).map_err(refused)?.collect::<Result<_, _>>().map_err(refused)
}
