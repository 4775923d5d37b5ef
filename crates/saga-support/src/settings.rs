use std::path::{Path, PathBuf};

/// `path` with the service's name in the place of `{service}`.
#[must_use]
pub fn for_service(path: &Path, service: &str) -> PathBuf {
    // A path that is no text holds no placeholder.
    path.to_str().map_or_else(|| path.to_owned(), |text| text.replace("{service}", service).into())
}

/// The secret that a file holds: without the line's end, which editors put there.
///
/// # Errors
/// If the file cannot be read.
pub fn read_secret(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// The name of this machine or container, for the server's lists of who is connected.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().chars().take(64).collect::<String>())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
