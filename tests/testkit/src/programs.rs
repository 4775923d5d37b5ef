//! The programs of one build.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The directories in which the programs of one build are.
#[derive(Debug, Clone)]
pub struct Programs(Vec<PathBuf>);

impl Programs {
    /// Returns the programs next to the running program, or next to the directory where cargo puts tests.
    ///
    /// # Errors
    /// If the path of the running program is unknown.
    pub fn of_this_build() -> Result<Self> {
        let this = std::env::current_exe()?;
        Ok(Self(this.ancestors().skip(1).take(2).map(Path::to_path_buf).collect()))
    }

    /// Returns the programs in this directory, such as the `target/release` of another checkout.
    ///
    /// # Errors
    /// If the directory does not exist.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        let directory = directory.canonicalize().with_context(|| format!("no directory {}", directory.display()))?;
        Ok(Self(vec![directory]))
    }

    /// Returns the path of the program with this name.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        self.0.iter().map(|directory| directory.join(name)).find(|path| path.is_file()).with_context(|| {
            let directories: Vec<String> = self.0.iter().map(|directory| directory.display().to_string()).collect();
            format!("no program {name} in {}: cargo build --workspace --bins", directories.join(" or "))
        })
    }
}
