//! The data directory: one SQLite file a service, and a lock that keeps a second process out.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use shared_events::Service;

/// A data directory that this process alone may write to, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as the file is open, so a crash frees it.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Somebody else is using it.
    #[error(
        "another order-system runs on the data directory {path}: stop that one, or choose another directory with --data-dir"
    )]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "cannot write to the data directory {path} ({source}): make it writable, or choose another one with --data-dir"
    )]
    Unwritable {
        /// Which directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DataDir {
    /// Takes the directory, and makes it if there is none.
    ///
    /// # Errors
    /// If somebody else has it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        let unwritable = |source| DataDirError::Unwritable { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unwritable)?;
        // Opened without truncation: it may be the lock of another process.
        let lock = File::options().create(true).append(true).open(path.join("lock")).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // A lock file that was there can be opened on a full disk; writing tells.
        let mut writable = &lock;
        lock.set_len(0).and_then(|()| writeln!(writable, "{}", std::process::id())).map_err(unwritable)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file of a service in the directory `path`.
    #[must_use]
    pub fn database_file(path: &Path, service: Service) -> PathBuf {
        path.join(format!("{service}.sqlite"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_kept_out_until_the_first_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("not there yet");
        let first = DataDir::take(&path).unwrap();
        let error = DataDir::take(&path).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { .. }), "{error}");
        drop(first);
        DataDir::take(&path).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::take(place.path()).unwrap_err().to_string();
        assert!(error.contains(&place.path().display().to_string()) && error.contains("--data-dir"), "{error}");
    }
}
