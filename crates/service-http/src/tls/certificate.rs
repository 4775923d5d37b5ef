use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustls::{Error, InconsistentKeys, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject as _},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::provider;

/// The files with a server's certificate, and with its key. Both are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's certificate, followed by those of the intermediate authorities.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: PathBuf,
}

/// What the files contain.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate that can be served.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    /// When it expires, in seconds since 1970.
    pub(super) not_after: i64,
    /// The same in words, for the log.
    pub(super) expires: String,
}

impl CertificateFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// If one cannot be read; the error names it.
    pub(super) fn read(&self) -> Result<Content> {
        let read = |path: &Path, what: &str, flag: &str| {
            let hint =
                |error: &io::Error| format!("cannot read the {what} in {} ({error}): see {flag}", path.display());
            fs::read(path).map_err(|error| anyhow!(hint(&error)))
        };
        let certificate = read(&self.certificate, "certificate", "--tls-cert")?;
        Ok(Content { certificate, key: read(&self.key, "key", "--tls-key")? })
    }

    /// Parses what was read, and checks that the key is that of the certificate.
    ///
    /// # Errors
    /// If it cannot be served; the error names the file, and what is wrong with it.
    pub(super) fn parse(&self, content: &Content) -> Result<Loaded> {
        let certificate = self.certificate.display();
        let chain = self.chain(&content.certificate)?;
        let (not_after, expires) = validity(&chain[0])
            .with_context(|| format!("the first certificate in {certificate} cannot be read: see --tls-cert"))?;
        let key = provider().key_provider.load_private_key(self.private_key(&content.key)?);
        let key = key.map_err(|error| anyhow!("the key in {} cannot be used: {error}", self.key.display()))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // It is unknown for keys that cannot tell their public part; those of files can.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => bail!(
                "the key in {} does not belong to the first certificate in {certificate}: see --tls-cert and --tls-key. \
                 The server's own certificate comes first, those of authorities follow",
                self.key.display()
            ),
            Err(error) => bail!("the first certificate in {certificate} cannot be used: {error}"),
        }
        Ok(Loaded { key: Arc::new(key), not_after, expires })
    }

    /// Reads and parses the files.
    ///
    /// # Errors
    /// If the certificate cannot be served.
    pub(super) fn load(&self) -> Result<(Content, Loaded)> {
        let content = self.read()?;
        let loaded = self.parse(&content)?;
        Ok((content, loaded))
    }

    /// Returns the certificates, of which there is at least one.
    fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let path = self.certificate.display();
        let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.map_err(|error| anyhow!("{path} is no valid PEM file ({error}): see --tls-cert"))?;
        if chain.is_empty() {
            bail!("{path} has no certificate, which begins with -----BEGIN CERTIFICATE-----: see --tls-cert");
        }
        Ok(chain)
    }

    fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
        let path = self.key.display();
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            PemError::NoItemsFound if is_encrypted(pem) => anyhow!(
                "the key in {path} is encrypted, and there is nobody to ask for its password: decrypt it \
                 (openssl pkey -in {path} -out …), and see --tls-key"
            ),
            PemError::NoItemsFound => {
                anyhow!("{path} has no private key, which begins with -----BEGIN PRIVATE KEY-----: see --tls-key")
            }
            error => anyhow!("{path} is no valid PEM file ({error}): see --tls-key"),
        })
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let begin = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(begin.len()).any(|window| window == begin)
}

/// Returns when a certificate expires: in seconds since 1970, and in words.
fn validity(certificate: &CertificateDer<'_>) -> Result<(i64, String)> {
    let (_, certificate) = X509Certificate::from_der(certificate)?;
    let not_after = certificate.validity().not_after;
    Ok((not_after.timestamp(), not_after.to_string()))
}

#[cfg(test)]
mod tests {
    use certificates::Certificate;

    use super::{
        super::testing::{authority, write},
        *,
    };

    #[test]
    fn what_cannot_be_served_is_refused_with_the_file_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority();
        let [Certificate { chain, key }, other] = [(); 2].map(|()| authority.issue(&["localhost"]).unwrap());
        let refusal = |chain: &str, key: &str| {
            let files = write(folder.path(), &Certificate { chain: chain.to_owned(), key: key.to_owned() });
            files.load().err().map(|error| format!("{error:#}")).unwrap_or_default()
        };
        assert_eq!(refusal(&chain, &key), "");
        assert_eq!(refusal(&format!("{chain}{}", authority.pem()), &key), "");
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let wrong_order = format!("{}{chain}", authority.pem());
        for (chain, key, expected) in [
            ("", &*key, "cert.pem has no certificate"),
            (&key, &key, "cert.pem has no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!", &key, "cert.pem is no valid PEM"),
            ("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", &key, "cert.pem cannot be read"),
            (&chain, "", "key.pem has no private key"),
            (&chain, &chain, "key.pem has no private key"),
            (&chain, encrypted, "key.pem is encrypted"),
            (&chain, &other.key, "does not belong to the first certificate in"),
            (&wrong_order, &key, "comes first"),
        ] {
            let error = refusal(chain, key);
            assert!(error.contains(expected) && error.contains("--tls-"), "{expected}: {error}");
        }
        let files = write(folder.path(), &other);
        let missing = CertificateFiles { key: folder.path().join("none"), ..files };
        let error = format!("{:#}", missing.load().err().unwrap());
        assert!(error.contains("none") && error.contains("--tls-key"), "{error}");
    }
}
