//! The data directory: one SQLite file per service, and a lock against a second process.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use shared_events::Service;

/// A data directory that is locked for this process until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock is held as long as the file is open, so a crash releases it.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process is using it.
    #[error(
        "another order-system runs on the data directory {path}: stop that one, or choose another directory \
         with --data-dir"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "cannot write to the data directory {path} ({source}): make it writable, or choose another one with --data-dir"
    )]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl DataDir {
    /// Locks the directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// If another process uses it, or it cannot be written.
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
        // An existing lock file can be opened even on a full disk; only writing shows that the disk is writable.
        let mut writable = &lock;
        lock.set_len(0).and_then(|()| writeln!(writable, "{}", std::process::id())).map_err(unwritable)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a service's database file in the directory `path`.
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
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("not there yet");
        let first = DataDir::take(&path).unwrap();
        let error = DataDir::take(&path).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { .. }), "{error}");
        drop(first);
        DataDir::take(&path).unwrap();
    }

    #[test]
    fn the_error_names_a_file_in_place_of_the_directory() {
        let temporary = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::take(temporary.path()).unwrap_err().to_string();
        assert!(error.contains(&temporary.path().display().to_string()) && error.contains("--data-dir"), "{error}");
    }
}
