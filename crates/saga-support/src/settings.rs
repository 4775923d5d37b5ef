use std::path::{Path, PathBuf};

/// Returns `path` with the service's name in place of `{service}`.
#[must_use]
pub fn for_service(path: &Path, service: &str) -> PathBuf {
    // A path that is not valid UTF-8 is returned as it is.
    path.to_str().map_or_else(|| path.to_owned(), |text| text.replace("{service}", service).into())
}

/// Reads a secret from a file, without the line break at its end, which editors add.
///
/// # Errors
/// If the file cannot be read.
pub fn read_secret(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// Returns the name of this machine or container, which identifies the client in a server's list of connections.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().chars().take(64).collect::<String>())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
