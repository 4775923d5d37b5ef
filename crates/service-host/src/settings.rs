//! The settings that all services share: flags and environment variables, documented by `--help`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use axum::http::HeaderValue;
use clap::Args;
use reqwest::Url;

use crate::telemetry::LogFormat;
use saga_message::framing;
use saga_runtime::EngineSettings;
use saga_support::{DAY, HOUR, MILLISECOND, YEAR, duration};
use service_http::{BrowserPolicy, CertificateFiles, ClientTls, ServerTls, access::JwtConfig};

/// Limits and timeouts, the same for every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Work")]
pub struct WorkSettings {
    /// Maximum number of inputs (commands and events) in one database transaction
    #[arg(long, env = "MAX_BATCH", default_value_t = 512, value_parser = count(MOST_INPUTS))]
    pub max_batch: usize,
    /// Maximum number of events in one published message. 1 is for the time of a rolling upgrade from a version that
    /// reads only single events
    #[arg(long, env = "MAX_EVENTS_PER_MESSAGE", default_value_t = framing::MAX_EVENTS, value_parser = count(MOST_EVENTS))]
    pub max_events_per_message: usize,
    /// Maximum number of commands that wait for the database; further ones are refused with 503
    #[arg(long, env = "MAX_WAITING", default_value_t = 4096, value_parser = count(MILLION))]
    pub max_waiting: usize,
    /// Maximum number of unpublished messages; above it, new orders are refused with 503
    #[arg(long, env = "MAX_BACKLOG", default_value_t = 50_000)]
    pub max_backlog: u64,
    /// Maximum number of unacknowledged messages that the service takes from its queue
    #[arg(long, env = "PREFETCH", default_value_t = 128, value_parser = count(MOST_PREFETCH))]
    pub prefetch: usize,
    /// Interval between checks for deadlines and overdue holds
    #[arg(long, env = "TICK", default_value = "1s", value_parser = duration(MILLISECOND, HOUR))]
    pub tick: Duration,
    /// How long handled message ids are remembered
    #[arg(long, env = "INBOX_RETENTION", default_value = "1day", value_parser = duration(SECOND, YEAR))]
    pub inbox_retention: Duration,
    /// How long a service that is to stop goes on serving, while /health/ready answers 503: as long as load balancers
    /// take to notice
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "0s", value_parser = duration(Duration::ZERO, HOUR))]
    pub shutdown_delay: Duration,
    /// How long a graceful shutdown may take
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "10s", value_parser = duration(Duration::ZERO, HOUR))]
    pub drain_timeout: Duration,
}

/// Who may use the services without an API key.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// Start also on an address beyond this machine as long as there is no API key: whoever reaches it may use
    /// everything but /admin. From the first key on, keys are needed all the same
    #[arg(long, env = "ALLOW_ANONYMOUS", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_anonymous: bool,
    /// File with the JSON Web Key Set of your identity provider, whose tokens are accepted like API keys, so that every
    /// request needs one; read again when it changes
    #[arg(long, env = "JWKS_FILE", requires_all = ["jwt_issuer", "jwt_audience"])]
    pub jwks_file: Option<PathBuf>,
    /// What `iss` of its tokens must be
    #[arg(long, env = "JWT_ISSUER", requires = "jwks_file")]
    pub jwt_issuer: Option<String>,
    /// What `aud` of its tokens must be, or have
    #[arg(long, env = "JWT_AUDIENCE", requires = "jwks_file")]
    pub jwt_audience: Option<String>,
    /// The claim of its tokens that names the owner of orders and reservations [default: sub]
    #[arg(long, env = "JWT_OWNER_CLAIM", requires = "jwks_file")]
    pub jwt_owner_claim: Option<String>,
}

impl AccessSettings {
    /// Returns whose tokens are accepted, if any are.
    #[must_use]
    pub fn jwt(&self) -> Option<JwtConfig> {
        Some(JwtConfig {
            jwks_file: self.jwks_file.clone()?,
            issuer: self.jwt_issuer.clone()?,
            audience: self.jwt_audience.clone()?,
            owner_claim: self.jwt_owner_claim.clone().unwrap_or_else(|| "sub".to_owned()),
        })
    }
}

/// Where users find the console.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Console")]
pub struct ConsoleLink {
    /// Address of the console as browsers reach it; `GET /` of the services leads there
    #[arg(long, env = "CONSOLE_URL", value_parser = web_url)]
    pub console_url: Option<Url>,
}

/// Limits for clients of the HTTP listeners.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Maximum number of connections at each address; if one more arrives, the one that has been idle longest is closed
    /// [default: 1024, or what the limit of open files allows]
    #[arg(long, env = "MAX_CONNECTIONS", value_parser = count(MILLION))]
    pub max_connections: Option<usize>,
    /// Maximum number of connections of one client: an IPv4 address, or a /64 network of IPv6
    /// [default: three quarters of --max-connections]
    #[arg(long, env = "MAX_CONNECTIONS_PER_PEER", value_parser = count(MILLION))]
    pub max_connections_per_peer: Option<usize>,
    /// How long a client may take to send the head of a request
    #[arg(long, env = "HEAD_TIMEOUT", default_value = "10s", value_parser = duration(MILLISECOND, HOUR))]
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests
    #[arg(long, env = "IDLE_TIMEOUT", default_value = "100s", value_parser = duration(MILLISECOND, DAY))]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of a response
    #[arg(long, env = "WRITE_TIMEOUT", default_value = "30s", value_parser = duration(MILLISECOND, DAY))]
    pub write_timeout: Duration,
    /// The certificate
    #[command(flatten)]
    pub tls: TlsSettings,
    /// Which requests of browsers are accepted
    #[command(flatten)]
    pub browsers: BrowserSettings,
}

/// The certificate of the HTTP listeners.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "HTTP")]
pub struct TlsSettings {
    /// File with the certificate of the listeners, followed by those of its authorities (PEM). With it they speak only
    /// HTTPS. Both files are read again when they change
    #[arg(long, env = "TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with the private key of this certificate (PEM)
    #[arg(long, env = "TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

impl TlsSettings {
    /// Returns whether the listeners speak HTTPS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads the certificate, if there is one, and watches its files. Must be called in a runtime.
    ///
    /// # Errors
    /// If a file cannot be read or used; the error names it.
    pub fn server(&self) -> Result<Option<ServerTls>> {
        let (Some(certificate), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) else { return Ok(None) };
        ServerTls::load(CertificateFiles { certificate, key }).map(Some)
    }
}

/// Whom a client trusts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Services")]
pub struct TrustSettings {
    /// File with the certificates of the authorities that are trusted for https addresses of services (PEM)
    /// [default: those of this machine]
    #[arg(long, env = "CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl TrustSettings {
    /// Returns the TLS of a client of these addresses, if one of them needs it.
    ///
    /// # Errors
    /// If the authorities cannot be read.
    pub fn client<'a>(&self, urls: impl IntoIterator<Item = &'a Url>) -> Result<Option<ClientTls>> {
        if !urls.into_iter().any(|url| url.scheme() == "https") {
            return Ok(None);
        }
        ClientTls::trusting(self.ca_file.as_deref()).map(Some).context("--ca-file")
    }
}

/// Which requests of browsers are accepted.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "HTTP")]
pub struct BrowserSettings {
    /// Name by which clients reach the services, as in the header Host. On loopback, other names than localhost are
    /// refused; elsewhere, other names are refused if there is one. May be given several times, or separated by commas
    #[arg(long = "allowed-host", env = "ALLOWED_HOSTS", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Origin whose pages may use the services: scheme, name and, if it is not the scheme's own, port. Pages of other
    /// origins may change nothing. May be given several times, or separated by commas
    #[arg(long = "cors-origin", env = "CORS_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<HeaderValue>,
}

impl BrowserSettings {
    /// Returns the policy of a listener at this address.
    #[must_use]
    pub fn policy(&self, listening: IpAddr) -> BrowserPolicy {
        BrowserPolicy::new(listening, &self.allowed_hosts, &self.cors_origins)
    }
}

/// Parses an origin: scheme, host and port, as browsers send it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let url: Url = text.parse().map_err(|error| format!("is no origin such as https://shop.example.com: {error}"))?;
    match url.origin().ascii_serialization() {
        origin if origin == text => text.parse().map_err(|_| "has characters that no origin has".to_owned()),
        origin if origin == "null" => Err("must begin with https:// or http://".to_owned()),
        origin => Err(format!("is no origin: a browser would send {origin}")),
    }
}

/// Content and format of the logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// Log level, or a filter such as `info,saga_runtime=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info,sqlx::postgres::notice=warn,sea_orm_migration=warn,lapin=off")]
    pub log: String,
    /// Log format
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
}

impl WorkSettings {
    /// Returns the settings of the engine.
    #[must_use]
    pub fn engine(&self) -> EngineSettings {
        EngineSettings {
            max_batch: self.max_batch,
            max_events: self.max_events_per_message,
            max_waiting: self.max_waiting,
            tick: self.tick.max(Duration::from_millis(1)),
            // The other half of the prefetch is for what is urgent.
            max_held_back: self.prefetch / 2,
            inbox_retention: self.inbox_retention,
            ..EngineSettings::default()
        }
    }
}

fn web_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("is not an address such as http://127.0.0.1:8000: {error}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("must begin with http:// or https://".into()) }
}

/// The shortest retention of message ids.
const SECOND: Duration = Duration::from_secs(1);
/// The most inputs in a transaction: beyond it, a transaction only takes longer.
const MOST_INPUTS: usize = 65_536;
/// What the consumers can read.
const MOST_EVENTS: usize = framing::MAX_EVENTS;
/// What AMQP can say.
const MOST_PREFETCH: usize = 65_535;
/// More of anything than a machine can hold.
const MILLION: usize = 1_000_000;

/// Returns a parser of a number from 1 to `most`.
fn count(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<usize>() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) if number > most => Err(format!("must be at most {most}")),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::web_url;

    #[test]
    fn only_the_address_of_a_web_page_is_a_console() {
        assert!(web_url("http://127.0.0.1:8000").is_ok() && web_url("https://console.example/a").is_ok());
        for wrong in ["", "127.0.0.1:8000", "javascript:alert(1)", "ftp://console.example"] {
            assert!(web_url(wrong).is_err(), "{wrong}");
        }
    }
}
