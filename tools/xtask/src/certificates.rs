//! A private authority, and a certificate for each server of the stack.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use certificates::Authority;

use crate::credentials::write as write_file;

/// The servers, by the names of their containers. A directory with this name has the server's files.
pub(crate) const SERVERS: [&str; 8] =
    ["order", "inventory", "payment", "console", "order-db", "inventory-db", "payment-db", "rabbitmq"];

/// Writes `ca.pem`, and for each server `cert.pem` and `key.pem` in a directory of its name. Only their owner can read
/// the keys. The key of the authority is written nowhere: to renew a certificate, renew them all.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(directory: &Path, days: u16) -> Result<()> {
    let authority = Authority::create("order-system", days)?;
    for server in SERVERS {
        let directory = directory.join(server);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        // Other containers use its name, and programs on this machine or in its container the others.
        let certificate = authority.issue(&[server, "localhost", "127.0.0.1"])?;
        write_file(&directory.join("cert.pem"), &certificate.chain, 0o644)?;
        write_file(&directory.join("key.pem"), &certificate.key, 0o600)?;
    }
    write_file(&directory.join("ca.pem"), &authority.pem(), 0o644)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_server_has_a_key_of_its_own_that_only_its_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), 30).unwrap();
        let mut keys = BTreeSet::new();
        for server in SERVERS {
            let file = |name: &str| directory.path().join(server).join(name);
            keys.insert(fs::read_to_string(file("key.pem")).unwrap());
            assert!(fs::read_to_string(file("cert.pem")).unwrap().contains("BEGIN CERTIFICATE"));
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(fs::metadata(file("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
        assert_eq!(keys.len(), SERVERS.len());
        let before = fs::read_to_string(directory.path().join("ca.pem")).unwrap();
        write(directory.path(), 30).unwrap();
        assert_ne!(fs::read_to_string(directory.path().join("ca.pem")).unwrap(), before);
    }
}
