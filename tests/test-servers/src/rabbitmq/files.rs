//! Writes the configuration of a private node, so that it neither reads nor writes any system-wide files.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    member::Member,
    server::{Certificate, Credentials, Options, Ports},
};
use crate::{account::Account, files};

/// Arguments of the Erlang VM: idle schedulers sleep at once, as in `docker-compose.yml`, because they share the
/// processor with the services.
const ERL_ARGS: &str = "+sbwt none +sbwtdcpu none +sbwtdio none";

#[derive(Debug)]
pub(super) struct Files {
    pub(super) ports: Ports,
    /// The environment of the node and of `rabbitmqctl`.
    pub(super) environment: BTreeMap<&'static str, OsString>,
}

impl Files {
    pub(super) fn write(
        directory: &Path,
        account: Option<Account>,
        options: &Options,
        credentials: &Credentials,
        (ports, member): (Ports, &Member),
    ) -> Result<Self> {
        let give = |path: &Path| account.map_or(Ok(()), |account| account.owns(path));
        let file = |name: &str, content: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            // Erlang requires that only the owner can read its cookie; for the other files, it does no harm.
            files::write(&path, content, 0o400)?;
            give(&path)?;
            Ok(path)
        };
        let folder = |name: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            fs::create_dir(&path)?;
            give(&path)?;
            Ok(path)
        };

        let definitions = match &options.definitions {
            None => None,
            // The node's user may not be allowed to read the original.
            Some(path) => {
                let content = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(file("definitions.json", &content)?)
            }
        };
        let mut lines = config(options, credentials, &ports, definitions.as_deref()) + &member.config();
        if let (Some(port), Some(Certificate { chain, key })) = (ports.tls, &options.tls) {
            let (chain, key) = (file("server.pem", chain)?, file("server-key.pem", key)?);
            lines += &format!("listeners.ssl.1 = 127.0.0.1:{port}\n");
            lines += &format!("ssl_options.certfile = {}\nssl_options.keyfile = {}\n", chain.display(), key.display());
        }
        let config = file("rabbitmq.conf", &lines)?;
        let plugins = [("management", options.management), ("prometheus", options.prometheus)];
        let plugins: Vec<_> =
            plugins.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| format!("rabbitmq_{name}")).collect();
        file(".erlang.cookie", &member.cookie)?;

        let environment = BTreeMap::from([
            ("HOME", directory.into()),
            ("RABBITMQ_NODENAME", member.name().into()),
            ("RABBITMQ_USE_LONGNAME", member.has_long_name().to_string().into()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODE_PORT", ports.amqp.to_string().into()),
            ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("{} {ERL_ARGS}", member.erl_args()).into()),
            // `rabbitmqctl` listens too, on any port.
            ("RABBITMQ_CTL_DIST_PORT_MIN", "0".into()),
            ("RABBITMQ_CTL_DIST_PORT_MAX", "0".into()),
            ("ERL_EPMD_PORT", ports.epmd.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_CONFIG_FILE", config.into()),
            // The defaults of these are in /etc/rabbitmq.
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config", "[].\n")?.into()),
            ("RABBITMQ_CONFIG_FILES", folder("conf.d")?.into()),
            ("RABBITMQ_CONF_ENV_FILE", file("rabbitmq-env.conf", "")?.into()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins", &format!("[{}].\n", plugins.join(",")))?.into()),
            // This name is also in `Keeper::data`.
            ("RABBITMQ_MNESIA_BASE", folder("data")?.into()),
            ("RABBITMQ_LOG_BASE", folder("logs")?.into()),
            // Log to standard output, so that all errors are in one file, from the shell script to a crash of the VM.
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_PID_FILE", directory.join("pid").into()),
            ("ERL_CRASH_DUMP_SECONDS", "0".into()),
            // With this, the script replaces itself by the Erlang VM instead of waiting for it (3.10 to 4.x), so that
            // signals reach the node itself.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]);
        Ok(Self { ports, environment })
    }
}

fn config(options: &Options, credentials: &Credentials, ports: &Ports, definitions: Option<&Path>) -> String {
    let mut lines =
        vec![format!("default_user = {}", credentials.user), format!("default_pass = {}", credentials.password)];
    for (plugin, port) in [("management", ports.management), ("prometheus", ports.prometheus)] {
        if let Some(port) = port {
            lines.extend([format!("{plugin}.tcp.ip = 127.0.0.1"), format!("{plugin}.tcp.port = {port}")]);
        }
    }
    lines.extend(definitions.map(|path| format!("load_definitions = {}", path.display())));
    lines.extend(options.config.iter().cloned());
    lines.join("\n") + "\n"
}
