use std::{fmt, fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use super::{provider, server::Current};

/// Whom a client trusts. Clones share it.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the authorities in the file `authorities` (PEM) and no others. Without one, trusts those of this machine,
    /// or of the variables `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// # Errors
    /// If there are no certificates, or the file cannot be read; the error names it.
    pub fn trusting(authorities: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(path) => {
                let file = path.display();
                let pem = fs::read(path).with_context(|| format!("cannot read the authorities in {file}"))?;
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                let certificates = certificates.with_context(|| format!("{file} is no valid PEM file"))?;
                for certificate in certificates {
                    roots.add(certificate).with_context(|| format!("{file} has a certificate that cannot be read"))?;
                }
                if roots.is_empty() {
                    bail!("{file} has no certificate, which begins with -----BEGIN CERTIFICATE-----");
                }
            }
            None => {
                // Some of those of a machine may be unreadable; the others are enough.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    bail!("this machine trusts no authorities: give a file with them (--ca-file, SSL_CERT_FILE)");
                }
            }
        }
        Ok(Self::with(|builder| builder.with_root_certificates(roots).with_no_client_auth()))
    }

    /// Trusts no certificate, for a client that has no addresses with TLS.
    pub(crate) fn without_roots() -> Self {
        Self::with(|builder| builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    /// Trusts the certificate that listeners of this process serve.
    pub(super) fn pinned(served: Arc<Current>) -> Self {
        Self::verified_by(Verifier { served: Some(served), provider: provider() })
    }

    /// Trusts whoever answers. Only for the check whether a service on this machine is alive: it sends no secret, the
    /// certificate seldom has the name of this machine, and its authority is not known here.
    pub(crate) fn anybody() -> Self {
        Self::verified_by(Verifier { served: None, provider: provider() })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    fn verified_by(verifier: Verifier) -> Self {
        Self::with(|builder| {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        })
    }

    fn with(finish: impl FnOnce(rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>) -> ClientConfig) -> Self {
        // ring has the cipher suites of both versions.
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        Self(Arc::new(finish(builder.expect("ring supports TLS 1.2 and 1.3"))))
    }
}

/// Omits the keys.
impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Trusts the certificate that is served, or any. In both cases, the server has to have its key.
#[derive(Debug)]
struct Verifier {
    served: Option<Arc<Current>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.served {
            Some(served) if !served.is(certificate) => Err(CertificateError::UnknownIssuer.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
