//! Files that servers read and write.

use std::{
    fs::{self, File, Permissions},
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};

/// How many lines of a log are shown. When Erlang ends, its last 60 lines only state that; the reason is before them.
const TAIL_LINES: usize = 100;

/// Writes a file that is never readable for more users than `mode` (as in chmod) allows.
pub(crate) fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let write = || {
        File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    if last.is_empty() { "(its log is empty)".to_owned() } else { last.join("\n") }
}

/// Returns 128 random bits as letters and digits, for a password or a cookie.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(tail(&log), "(its log is empty)");
        write(&log, &(0..140).map(|line| format!("line {line}\n")).collect::<String>(), 0o600).unwrap();
        let tail = tail(&log);
        assert!(tail.starts_with("line 40\n") && tail.ends_with("line 139"), "{tail}");
    }
}
