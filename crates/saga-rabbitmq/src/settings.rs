use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use lapin::uri::AMQPUri;
use saga_message::ServiceSpec;

use saga_support::{for_service, read_secret};

/// Command-line arguments: address and credentials of RabbitMQ.
#[derive(Clone, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct RabbitMqArgs {
    /// RabbitMQ's address: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS; for a cluster, one for each node,
    /// separated by commas
    ///
    /// {service} is replaced by the service's name. Percent-encode special characters in the user, the password and the
    /// vhost: the vhost / is %2F, a comma is %2C. Connections are spread over the nodes of a cluster, and go to another
    /// one if theirs is unavailable.
    // Not required by the parser, because it would then also be required by commands for which all of these arguments
    // are optional. The code that needs it reports an error if it is missing.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, required = false)]
    pub amqp_url: String,
    /// File with the password, which then need not be part of the address
    #[arg(long, env = "AMQP_PASSWORD_FILE")]
    pub amqp_password_file: Option<PathBuf>,
    /// File with the CA certificates (PEM) to trust for amqps://, instead of the machine's
    #[arg(long, env = "AMQP_CA_FILE")]
    pub amqp_ca_file: Option<PathBuf>,
}

impl RabbitMqArgs {
    /// Returns the settings of `service`. Its name replaces `{service}` in the address and in the file names.
    #[must_use]
    pub fn for_service(&self, service: ServiceSpec) -> RabbitMqSettings {
        RabbitMqSettings {
            service,
            url: self.amqp_url.replace("{service}", service.name),
            password_file: self.amqp_password_file.as_deref().map(|path| for_service(path, service.name)),
            ca_file: self.amqp_ca_file.clone(),
        }
    }
}

/// Address and credentials of RabbitMQ for one service.
#[derive(Clone)]
pub struct RabbitMqSettings {
    /// The service. Its name determines the queue that is consumed and the exchanges that are published to.
    pub service: ServiceSpec,
    /// `amqp://user:password@host:port/vhost`, or `amqps://…`. Without a vhost, it is `/`. Several of them, separated
    /// by commas, are the nodes of a cluster.
    pub url: String,
    /// File with the password; it overrides a password in a URL.
    pub password_file: Option<PathBuf>,
    /// File with the CA certificates (PEM) to trust. `None` means those of the machine.
    pub ca_file: Option<PathBuf>,
}

/// An error in the settings. It never contains a password.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The URL is malformed.
    #[error("the address of RabbitMQ is not of the form amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps://…)")]
    NoUrl,
    /// One of several URLs is malformed.
    #[error(
        "number {number} of the {count} addresses of RabbitMQ is not of the form amqp://USER:PASSWORD@HOST:PORT/VHOST \
         (or amqps://…). Commas separate addresses; within an address, a comma is %2C"
    )]
    NoUrlInList {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// The URLs have different vhosts, which would be different brokers.
    #[error("the addresses of RabbitMQ must be those of one cluster, but they name the vhosts {0:?} and {1:?}")]
    DifferentVhosts(String, String),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file, or the machine, has no usable certificate.
    #[error("cannot use the certificates of {place}: {why}")]
    Certificates {
        /// The file, or the machine.
        place: String,
        /// What is wrong with them.
        why: String,
    },
}

impl RabbitMqSettings {
    /// Parses the URLs, of which there is at least one, and inserts the password of the file.
    pub(crate) fn uris(&self) -> Result<Vec<AMQPUri>, SettingsError> {
        let read = |path: &PathBuf| read_secret(path).map_err(|source| unreadable(path, source));
        let password = self.password_file.as_ref().map(read).transpose()?;
        let urls: Vec<&str> = urls(&self.url).collect();
        let mut uris = Vec::with_capacity(urls.len());
        for (index, url) in urls.iter().enumerate() {
            let mut uri = parse(url).ok_or(match urls.len() {
                1 => SettingsError::NoUrl,
                count => SettingsError::NoUrlInList { number: index + 1, count },
            })?;
            if let Some(password) = &password {
                uri.authority.userinfo.password.clone_from(password);
            }
            uris.push(uri);
        }
        match uris.iter().find(|uri| uri.vhost != uris[0].vhost) {
            Some(other) => Err(SettingsError::DifferentVhosts(uris[0].vhost.clone(), other.vhost.clone())),
            None => Ok(uris),
        }
    }
}

fn urls(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Parses one URL. There is no error, because the parser's own may contain the whole URL.
fn parse(url: &str) -> Option<AMQPUri> {
    let mut uri: AMQPUri = url.parse().ok()?;
    if let Some(address) = ip_v6(url) {
        // The parser does not recognize IPv6 addresses and uses localhost instead.
        uri.authority.host = address.to_owned();
    }
    if uri.vhost.is_empty() {
        // In RabbitMQ's URI scheme, "amqp://host/" means the vhost with the empty name, which is never intended.
        uri.vhost = "/".to_owned();
    }
    Some(uri)
}

pub(crate) fn read(path: &Path) -> Result<String, SettingsError> {
    fs::read_to_string(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> SettingsError {
    SettingsError::Unreadable { path: path.to_owned(), source }
}

/// Returns the address without the password, for logs and errors.
pub(crate) fn address(uri: &AMQPUri) -> String {
    let AMQPUri { scheme, authority, vhost, .. } = uri;
    let vhost = vhost.replace('/', "%2F");
    let host = if authority.host.contains(':') { format!("[{}]", authority.host) } else { authority.host.clone() };
    format!("{scheme}://{}@{host}:{}/{vhost}", authority.userinfo.username, authority.port)
}

/// Returns the IPv6 address in `scheme://user:password@[address]:port/…`.
fn ip_v6(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(address, _)| address)
}

impl fmt::Debug for RabbitMqArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "RabbitMqArgs", &self.amqp_url, &self.amqp_password_file, &self.amqp_ca_file)
    }
}

impl fmt::Debug for RabbitMqSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "RabbitMqSettings", &self.url, &self.password_file, &self.ca_file)
    }
}

fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    url: &str,
    password_file: &Option<PathBuf>,
    ca_file: &Option<PathBuf>,
) -> fmt::Result {
    let shown = |url| parse(url).map_or_else(|| "(not a URL)".to_owned(), |uri| address(&uri));
    let url = urls(url).map(shown).collect::<Vec<_>>().join(",");
    f.debug_struct(name).field("url", &url).field("password_file", password_file).field("ca_file", ca_file).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> RabbitMqSettings {
        RabbitMqSettings {
            service: ServiceSpec { system: "shops", name: "order", routes: &[], creates_system_id: false },
            url: url.to_owned(),
            password_file: None,
            ca_file: None,
        }
    }

    #[test]
    fn a_url_is_parsed() {
        for (url, shown) in [
            ("amqp://order:secret@rabbit:5673/orders", "amqp://order@rabbit:5673/orders"),
            ("amqps://order:secret@rabbit/orders", "amqps://order@rabbit:5671/orders"),
            ("amqp://order:secret@rabbit", "amqp://order@rabbit:5672/%2F"),
            ("amqp://order:secret@rabbit/", "amqp://order@rabbit:5672/%2F"),
            ("amqp://order:secret@rabbit/%2f", "amqp://order@rabbit:5672/%2F"),
            ("amqp://order:secret@127.0.0.1/orders", "amqp://order@127.0.0.1:5672/orders"),
            ("amqp://order:secret@[::1]:1/orders", "amqp://order@[::1]:1/orders"),
            ("amqp://rabbit", "amqp://guest@rabbit:5672/%2F"),
        ] {
            assert_eq!(address(&settings(url).uris().unwrap()[0]), shown, "{url}");
        }
    }

    #[test]
    fn several_urls_are_the_nodes_of_one_cluster() {
        let addresses = |url: &str| settings(url).uris().map(|uris| uris.iter().map(address).collect::<Vec<_>>());
        let two = "amqp://order:secret@one:1/orders, amqps://order:secr%2Cet@[::2]/orders";
        assert_eq!(addresses(two).unwrap(), ["amqp://order@one:1/orders", "amqps://order@[::2]:5671/orders"]);
        assert_eq!(settings(two).uris().unwrap()[1].authority.userinfo.password, "secr,et");
        for (url, expected) in [
            ("amqp://order:secret@one/orders,", "number 2 of the 2 addresses"),
            (",amqp://order:secret@one/orders", "number 1 of the 2 addresses"),
            ("amqp://order:secret@one/orders,,amqp://order:secret@two/orders", "number 2 of the 3 addresses"),
            ("amqp://order:secret@one/orders,two:5672", "number 2 of the 2 addresses"),
            ("amqp://order:secret@one/orders;amqp://order:secret@two/orders,three", "number 2 of the 2 addresses"),
            ("amqp://order:sec,ret@one/orders", "within an address, a comma is %2C"),
            ("amqp://order:secret@one/orders,amqp://order:secret@two", "the vhosts \"orders\" and \"/\""),
        ] {
            let error = addresses(url).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("sec"), "{url}: {error}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        for url in [
            "amqp://order:secret@rabbit/orders",
            "order:secret@rabbit",
            "http://order:secret@rabbit/",
            "secret",
            "amqp://order:secret@one/orders,amqp://order:secret@two/orders",
            "amqp://order:secret@one/orders,order:secret@two/orders",
        ] {
            let settings = settings(url);
            assert!(!format!("{settings:?}").contains("secret"), "{url}");
            if let Err(error) = settings.uris() {
                assert!(!format!("{error:?} {error}").contains("secret"), "{url}");
            }
            let args = RabbitMqArgs { amqp_url: url.to_owned(), amqp_password_file: None, amqp_ca_file: None };
            assert!(!format!("{args:?}").contains("secret"), "{url}");
        }
        assert!(settings("http://rabbit").uris().is_err());
    }

    #[test]
    fn the_password_is_read_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "p@ss word\n").unwrap();
        let mut settings = settings("amqp://order@rabbit/orders");
        settings.password_file = Some(file.clone());
        assert_eq!(settings.uris().unwrap()[0].authority.userinfo.password, "p@ss word");
        settings.password_file = Some(directory.path().join("nowhere"));
        assert!(settings.uris().unwrap_err().to_string().contains("nowhere"));
    }
}
