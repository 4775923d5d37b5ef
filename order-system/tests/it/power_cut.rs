//! Simulates a disk that loses everything that was not synced, as in a power cut.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::process::Program;

/// Intercepts a program's writes to its data directory and keeps a copy of what was synced (`power_cut/disk.c`).
pub(crate) struct LossyDisk {
    library: PathBuf,
    data_dir: PathBuf,
    /// The files as they would be after a power cut.
    synced: PathBuf,
}

impl LossyDisk {
    /// Creates a disk for the files of `data_dir`. Its own files are in `work_dir`.
    pub(crate) fn new(work_dir: &Path, data_dir: &Path) -> Self {
        let (library, synced) = (work_dir.join("disk.so"), work_dir.join("synced"));
        for directory in [data_dir, &synced] {
            fs::create_dir(directory).unwrap();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/power_cut/disk.c");
        // Rust links with the same program, so it is installed.
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success(), "the disk does not compile");
        // The library compares real paths.
        Self { library, data_dir: data_dir.canonicalize().unwrap(), synced }
    }

    /// Returns the program, set up to use this disk.
    pub(crate) fn under(&self, program: Program) -> Program {
        program.with_variables(&[
            ("LD_PRELOAD", &self.library),
            ("POWER_CUT_FROM", &self.data_dir),
            ("POWER_CUT_TO", &self.synced),
        ])
    }

    /// Replaces the data directory by what was synced. Call it after the program was killed.
    pub(crate) fn power_cut(&self) {
        for entry in fs::read_dir(&self.data_dir).unwrap().map(Result::unwrap) {
            // The log is written by the test and is not on this disk.
            if entry.file_name() != "log" {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for entry in fs::read_dir(&self.synced).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), self.data_dir.join(entry.file_name())).unwrap();
        }
    }
}
