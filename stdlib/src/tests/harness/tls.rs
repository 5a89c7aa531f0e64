//! Certificates that tests make, and clients that connect with TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use weir_plan::Value;

use super::variant;

/// A self-signed certificate with its key, in a temporary folder.
pub(crate) struct TestCertificate {
    folder: TempDir,
}

impl TestCertificate {
    /// Makes a certificate for `localhost`.
    pub(crate) fn new() -> TestCertificate {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        TestCertificate { folder }
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Returns the setting `security` of a source with this certificate. With `trusted`, clients need that certificate.
    pub(crate) fn security(&self, trusted: Option<&TestCertificate>) -> Value {
        let path = |path: &Path| Value::Text(path.to_string_lossy().into_owned());
        let ca = trusted.map_or(Value::Null, |trusted| path(&trusted.cert()));
        variant("tls", &[("cert", path(&self.cert())), ("key", path(&self.key())), ("ca", ca)])
    }

    /// Connects with TLS to the server that has this certificate, with the certificate `client` or none.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        client: Option<&TestCertificate>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.cert()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let cert = CertificateDer::from_pem_file(client.cert()).unwrap();
                let key = PrivateKeyDer::from_pem_file(client.key()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
