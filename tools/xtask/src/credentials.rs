//! Generates credentials for a stack: `.env`, and the definitions of RabbitMQ with the password hashes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::certificates;

const DEVELOPMENT: &str = "rabbitmq/definitions.json";
const SALT: usize = 4;

/// Replace the development passwords of the stack: write `.env` and RabbitMQ's definitions with random ones
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Replace existing files and their passwords. Other settings in the environment file are kept
    #[arg(long)]
    force: bool,
    /// Path of the environment file; only its owner can read it
    #[arg(long, default_value = ".env")]
    env_file: PathBuf,
    /// Path of the definitions. They contain hashes, and RabbitMQ's user in the container must be able to read them
    #[arg(long, default_value = "rabbitmq/definitions.generated.json")]
    definitions: PathBuf,
    /// Also create a private authority and certificates for all servers, for docker-compose.tls.yml, in this directory
    #[arg(long, value_name = "DIRECTORY")]
    certificates: Option<PathBuf>,
    /// How many days the certificates are valid
    #[arg(long, default_value_t = 825, requires = "certificates")]
    days: u16,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for path in [&args.env_file, &args.definitions].into_iter().chain(&args.certificates) {
        ensure!(
            args.force || !path.exists(),
            "{} is there. --force replaces it; databases that exist keep the password that they have until you \
             change it (docs/operations.md)",
            path.display()
        );
    }
    let passwords = Passwords::random()?;
    let development = fs::read_to_string(DEVELOPMENT).with_context(|| format!("cannot read {DEVELOPMENT}"))?;
    let before = if args.env_file.exists() { fs::read_to_string(&args.env_file)? } else { String::new() };
    write(&args.definitions, &passwords.definitions(&development)?, 0o644)?;
    write(&args.env_file, &passwords.env_file(&before, &args.definitions), 0o600)?;
    if let Some(directory) = &args.certificates {
        certificates::write(directory, args.days)?;
        println!("Written: certificates in {}, valid for {} days.", directory.display(), args.days);
    }
    println!(
        "Written: {} and {}.\n`docker compose up` takes them from there. The operator's password for the management UI \
         is OPERATOR_PASSWORD.",
        args.env_file.display(),
        args.definitions.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The variables of `.env` that are secrets.
struct Passwords(BTreeMap<&'static str, String>);

/// RabbitMQ's users, and the variables that contain their passwords.
const RABBITMQ: [(&str, &str); 4] = [
    ("order", "ORDER_AMQP_PASSWORD"),
    ("inventory", "INVENTORY_AMQP_PASSWORD"),
    ("payment", "PAYMENT_AMQP_PASSWORD"),
    ("operator", "OPERATOR_PASSWORD"),
];
const OTHERS: [&str; 6] = [
    "ORDER_DB_PASSWORD",
    "INVENTORY_DB_PASSWORD",
    "PAYMENT_DB_PASSWORD",
    "POSTGRES_PASSWORD",
    "ADMIN_TOKEN",
    "GRAFANA_PASSWORD",
];
const DEFINITIONS: &str = "RABBITMQ_DEFINITIONS";

impl Passwords {
    fn random() -> anyhow::Result<Self> {
        let names = RABBITMQ.map(|(_, variable)| variable).into_iter().chain(OTHERS);
        names.map(|name| Ok((name, URL_SAFE_NO_PAD.encode(random::<24>()?)))).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Returns the content of the environment file with its passwords replaced.
    fn env_file(&self, before: &str, definitions: &Path) -> String {
        let replaced = |line: &str| {
            let name = line.split('=').next().unwrap_or_default().trim();
            self.0.contains_key(name) || name == DEFINITIONS
        };
        let mut text: String = before.lines().filter(|line| !replaced(line)).map(|line| format!("{line}\n")).collect();
        for (name, password) in &self.0 {
            text += &format!("{name}={password}\n");
        }
        // Compose interprets a path that does not begin with a dot or a slash as the name of a volume.
        let dot = if definitions.is_absolute() { "" } else { "./" };
        text + &format!("{DEFINITIONS}={dot}{}\n", definitions.display())
    }

    /// Returns the definitions with the hashes of these passwords.
    fn definitions(&self, development: &str) -> anyhow::Result<String> {
        let mut definitions: Value = serde_json::from_str(development).context("these definitions are not JSON")?;
        for user in definitions["users"].as_array_mut().context("these definitions have no users")? {
            let name = user["name"].as_str().context("a user without a name")?;
            // A user without a new password would keep the public development password.
            let (_, variable) =
                RABBITMQ.iter().find(|(user, _)| *user == name).with_context(|| format!("no password for {name}"))?;
            user["password_hash"] = hash(random()?, &self.0[variable]).into();
        }
        Ok(serde_json::to_string_pretty(&definitions)? + "\n")
    }
}

/// Hashes a password as RabbitMQ does (`rabbit_password_hashing_sha256`):
/// <https://www.rabbitmq.com/docs/passwords#computing-password-hash>.
fn hash(salt: [u8; SALT], password: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    STANDARD.encode([&salt[..], &digest[..]].concat())
}

fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).context("the system has no random numbers")?;
    Ok(bytes)
}

/// Writes a file atomically. It is never readable for more users than `mode` allows.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = path.with_added_extension("new");
    let written = || -> anyhow::Result<()> {
        let mut file = File::create(&new)?;
        restrict(&file, mode)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(fs::rename(&new, path)?)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(unix)]
fn restrict(file: &File, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_: &File, _: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn development() -> String {
        fs::read_to_string(Path::new("../..").join(DEVELOPMENT)).unwrap()
    }

    fn hashes(definitions: &str) -> BTreeMap<String, String> {
        let definitions: Value = serde_json::from_str(definitions).unwrap();
        let users = definitions["users"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        users.iter().map(|user| (text(&user["name"]), text(&user["password_hash"]))).collect()
    }

    fn is_hash_of(hashed: &str, password: &str) -> bool {
        let salt = STANDARD.decode(hashed).unwrap()[..SALT].try_into().unwrap();
        hash(salt, password) == hashed
    }

    #[test]
    fn a_hash_is_computed_as_by_rabbitmq() {
        for (user, hashed) in hashes(&development()) {
            assert!(is_hash_of(&hashed, &format!("{user}-dev")), "{user}");
            assert!(!is_hash_of(&hashed, "other"), "{user}");
        }
    }

    #[test]
    fn every_password_is_replaced_and_nothing_else() {
        let passwords = Passwords::random().unwrap();
        let (old, new) = (development(), passwords.definitions(&development()).unwrap());
        for (user, variable) in RABBITMQ {
            assert!(is_hash_of(&hashes(&new)[user], &passwords.0[variable]), "{user}");
        }
        let without_hashes = |text: &str| {
            let mut definitions: Value = serde_json::from_str(text).unwrap();
            definitions["users"].as_array_mut().unwrap().iter_mut().for_each(|user| user["password_hash"] = "".into());
            definitions
        };
        assert_eq!(without_hashes(&old), without_hashes(&new));
        let unknown_user = old.replacen(r#""name": "operator""#, r#""name": "unknown_user""#, 1);
        assert!(passwords.definitions(&unknown_user).unwrap_err().to_string().contains("unknown_user"));
    }

    #[test]
    fn other_settings_stay() {
        let passwords = Passwords::random().unwrap();
        let before = "# mine\nORDER_PORTS=9001\nADMIN_TOKEN=old\nRABBITMQ_DEFINITIONS=./old.json\n";
        let after = passwords.env_file(before, Path::new("new.json"));
        assert!(
            after.starts_with("# mine\nORDER_PORTS=9001\n") && after.ends_with("RABBITMQ_DEFINITIONS=./new.json\n")
        );
        assert!(!after.contains("old"), "{after}");
        assert_eq!(after.lines().count(), 2 + passwords.0.len() + 1);
    }

    #[test]
    fn every_password_of_the_stack_is_among_them() {
        let example = fs::read_to_string("../../.env.example").unwrap();
        let passwords = Passwords::random().unwrap();
        for line in example.lines().filter(|line| line.contains("-dev") && !line.starts_with('#')) {
            assert!(passwords.0.contains_key(line.split('=').next().unwrap()), "{line}");
        }
        let compose = fs::read_to_string("../../docker-compose.yml").unwrap();
        let defaults = compose.split("${").skip(1).filter_map(|rest| rest.split('}').next());
        let secrets: Vec<_> =
            defaults.filter_map(|one| one.split_once(":-")).filter(|(_, value)| value.ends_with("-dev")).collect();
        assert!(secrets.len() > 7, "{secrets:?}");
        for (name, value) in secrets {
            assert!(passwords.0.contains_key(name), "{name}");
            assert!(example.contains(&format!("\n{name}={value}\n")), "{name}");
        }
    }

    #[test]
    fn the_files_are_as_readable_as_they_should_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, "old", 0o644).unwrap();
        write(&path, "new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
