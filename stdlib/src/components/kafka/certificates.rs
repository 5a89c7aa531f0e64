//! Finds out why a broker's certificate is not valid: librdkafka says only that it is not. So rustls connects to the broker
//! with the same authorities, and gives the reason.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

/// The file with the certificates that Debian and others trust.
pub(super) const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The longest wait for each part of the handshake.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the first broker whose certificate is not valid, and what is wrong with it. Blocks for some seconds at most.
pub(super) fn diagnose(brokers: &[String], authorities: &Path) -> Option<(String, String)> {
    let config = Arc::new(trusting(authorities).ok()?);
    brokers.iter().find_map(|broker| {
        let problem = problem(&handshake(broker, config.clone()).err()?, authorities)?;
        Some((broker.clone(), problem))
    })
}

/// Makes the configuration of a client that trusts the authorities in a file (PEM).
///
/// # Errors
/// When the file can't be read.
pub(super) fn trusting(authorities: &Path) -> Result<ClientConfig, io::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities).map_err(io::Error::other)? {
        // A certificate that rustls can't use is left out, as librdkafka does it.
        let _unusable = roots.add(certificate.map_err(io::Error::other)?);
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
}

/// Performs a handshake with a broker.
fn handshake(broker: &str, config: Arc<ClientConfig>) -> Result<(), io::Error> {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let address = broker.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}

/// Says in words what is wrong with the certificate; none if the error has another cause.
fn problem(error: &io::Error, authorities: &Path) -> Option<String> {
    let Error::InvalidCertificate(error) = error.get_ref()?.downcast_ref::<Error>()? else { return None };
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            format!("is signed by no authority in {} (the setting `ca`)", authorities.display())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name than the one in `brokers`".to_owned()
        }
        other => format!("is not valid: {other}"),
    })
}
