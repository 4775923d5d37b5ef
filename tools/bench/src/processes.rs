//! Measures the resources that processes and their descendants use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use testkit::{
    stack::Stack,
    usage::{Times, processor_time, share_of_memory},
};

/// The processes of a stack's servers.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    postgres: Vec<u32>,
    rabbitmq: Vec<u32>,
}

/// The processor time that each of the servers and this process have used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// PostgreSQL, including its sessions.
    pub(crate) postgres: Duration,
    /// RabbitMQ, including its child processes.
    pub(crate) rabbitmq: Duration,
    /// The load generator, which is this process.
    pub(crate) load: Duration,
}

impl Servers {
    /// Finds the servers of this stack: the processes that this process has started in their directories.
    pub(crate) fn of(stack: &Stack) -> Result<Self> {
        let started = |directory: &Path| {
            let ours = all().into_iter().filter(|(_, one)| one.parent == std::process::id());
            let there = ours.filter(|(id, _)| {
                fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|path| path.starts_with(directory))
            });
            let roots: Vec<u32> = there.map(|(id, _)| id).collect();
            (!roots.is_empty()).then_some(roots).with_context(|| format!("nothing runs in {}", directory.display()))
        };
        Ok(Self { postgres: started(stack.postgres.directory())?, rabbitmq: started(stack.rabbitmq.directory())? })
    }

    /// Returns the ids of all their processes.
    pub(crate) fn ids(&self) -> BTreeSet<u32> {
        tree(&all(), &[&self.postgres[..], &self.rabbitmq].concat())
    }

    /// Returns the processor time that they have used so far.
    pub(crate) fn used(&self) -> Used {
        let all = all();
        let of = |roots: &[u32]| tree(&all, roots).iter().map(|id| all[id].own + all[id].of_ended_children).sum();
        let load = processor_time(std::process::id()).unwrap_or_default();
        Used { postgres: of(&self.postgres), rabbitmq: of(&self.rabbitmq), load }
    }

    /// Returns the current memory of PostgreSQL and RabbitMQ in bytes, counting shared memory once.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let all = all();
        let of = |roots: &[u32]| tree(&all, roots).into_iter().filter_map(share_of_memory).sum();
        (of(&self.postgres), of(&self.rabbitmq))
    }
}

impl Used {
    /// Returns what was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            postgres: self.postgres.saturating_sub(earlier.postgres),
            rabbitmq: self.rabbitmq.saturating_sub(earlier.rabbitmq),
            load: self.load.saturating_sub(earlier.load),
        }
    }
}

/// Returns all processes of the machine.
fn all() -> BTreeMap<u32, Times> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, Times::of(id)?))).collect()
}

fn tree(all: &BTreeMap<u32, Times>, roots: &[u32]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut next: Vec<u32> = roots.iter().copied().filter(|id| all.contains_key(id)).collect();
    while let Some(id) = next.pop() {
        if found.insert(id) {
            next.extend(all.iter().filter(|(_, one)| one.parent == id).map(|(&child, _)| child));
        }
    }
    found
}
