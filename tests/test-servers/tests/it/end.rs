use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use test_servers::Both;

use crate::processes::{descendants, eventually, mention, runs};

#[test]
fn dropped_servers_are_gone_with_their_processes_and_files() {
    let both = Both::start(1).unwrap();
    let ports = [both.postgres.port(), both.rabbitmq.port()];
    let directories = [both.postgres.directory().to_owned(), both.rabbitmq.directory().to_owned()];
    let environment = both.environment().unwrap();
    assert_eq!(environment[0], ("TEST_POSTGRES_URL", both.postgres.maintenance_url()));
    for (port, directory) in ports.iter().zip(&directories) {
        assert!(TcpStream::connect(("127.0.0.1", *port)).is_ok());
        assert!(directory.exists() && mention(directory));
    }

    drop(both);

    for (port, directory) in ports.iter().zip(&directories) {
        assert!(TcpStream::connect(("127.0.0.1", *port)).is_err());
        assert!(!directory.exists());
        // The watchdog has ended too.
        assert!(!mention(directory));
    }
}

#[test]
fn servers_are_gone_when_the_process_that_started_them_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    // The servers' users must be able to enter the directory.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut parent = Command::new(env!("CARGO_BIN_EXE_test-servers"));
    let parent = parent.env("TMPDIR", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut parent = KilledOnDrop(parent);
    let lines = BufReader::new(parent.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
    assert!(lines.iter().any(|line| line.starts_with("export TEST_AMQP_URL='amqp://")), "{lines:?}");
    let processes = descendants(parent.0.id());
    // Two watchdogs, two anchors, the port mapper, the Erlang VM, the postmaster and more.
    assert!(processes.len() > 10, "{processes:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    drop(parent);

    eventually("no process is left", || !processes.iter().any(|id| runs(*id)));
    eventually("no file is left", || fs::read_dir(folder.path()).unwrap().count() == 0);
}

/// Killed with SIGKILL, so that none of its own code runs.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
