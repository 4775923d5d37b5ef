//! A disk that loses what was not synced, as in a power cut.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::process::Program;

/// Stands between a program and the files of its data directory: it keeps what of them was synced (`power_cut/disk.c`).
pub(crate) struct LossyDisk {
    library: PathBuf,
    data_dir: PathBuf,
    /// What a machine would find after a power cut.
    synced: PathBuf,
}

impl LossyDisk {
    /// A disk below the files of `data_dir`; `place` is for its own.
    pub(crate) fn new(place: &Path, data_dir: &Path) -> Self {
        let (library, synced) = (place.join("disk.so"), place.join("synced"));
        for directory in [data_dir, &synced] {
            fs::create_dir(directory).unwrap();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/power_cut/disk.c");
        // Rust links by the same program, so it is there.
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success(), "the disk does not compile");
        // The program's files are told by their real paths.
        Self { library, data_dir: data_dir.canonicalize().unwrap(), synced }
    }

    /// The program on this disk.
    pub(crate) fn under(&self, program: Program) -> Program {
        program.with_variables(&[
            ("LD_PRELOAD", &self.library),
            ("POWER_CUT_FROM", &self.data_dir),
            ("POWER_CUT_TO", &self.synced),
        ])
    }

    /// The program was killed; now all that it had not synced is gone, too.
    pub(crate) fn power_cut(&self) {
        for entry in fs::read_dir(&self.data_dir).unwrap().map(Result::unwrap) {
            // The program's output is the test's, and not on this disk.
            if entry.file_name() != "log" {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for entry in fs::read_dir(&self.synced).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), self.data_dir.join(entry.file_name())).unwrap();
        }
    }
}
