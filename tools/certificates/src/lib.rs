//! A private authority and the certificates that it issues.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How far in the past a certificate begins to be valid, because clocks differ.
const BACKDATED: Duration = Duration::hours(1);

/// An authority. Its key lasts as long as this value: nothing writes it anywhere.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    days: u16,
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub chain: String,
    /// The private key (PKCS#8), not encrypted.
    pub key: String,
}

impl Authority {
    /// Creates an authority of this name. It and its certificates are valid for so many `days`.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn create(name: &str, days: u16) -> Result<Self> {
        let mut params = params(Vec::new(), name, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).context("cannot create an authority")?;
        Ok(Self { issuer, days })
    }

    /// Returns the authority's own certificate as PEM: what its clients have to trust.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for a server that is reached by these names, which are host names or addresses. The first
    /// is its common name, too.
    ///
    /// # Errors
    /// If one is no name of a server.
    pub fn issue(&self, names: &[&str]) -> Result<Certificate> {
        let alternatives = names.iter().map(ToString::to_string).collect();
        let mut params = params(alternatives, names.first().copied().unwrap_or_default(), self.days)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = key()?;
        let certificate = params.signed_by(&key, &self.issuer).context("cannot issue a certificate")?;
        Ok(Certificate { chain: certificate.pem(), key: key.serialize_pem() })
    }
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("cannot create a key")
}

fn params(alternatives: Vec<String>, name: &str, days: u16) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(alternatives).with_context(|| format!("{name} is no name of a server"))?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - BACKDATED, now + Duration::days(days.into()));
    Ok(params)
}

/// Omits the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}
