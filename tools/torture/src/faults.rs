use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use shared_events::Service;

use super::topology::Topology;

/// A fault of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it begins, in milliseconds since the start of the run.
    pub at_ms: u64,
    /// How long it lasts, in milliseconds. 0 if there is nothing to repair.
    pub lasts_ms: u64,
    /// The kind of fault.
    pub kind: Kind,
    /// What it affects.
    pub target: Target,
}

/// What a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A replica of a service; replicas are numbered from 0.
    Replica(Service, usize),
    /// Something that belongs to a service: its database, its queue, its exchange, or its network link to one of the
    /// two servers.
    Service(Service),
    /// PostgreSQL.
    Database,
    /// RabbitMQ.
    Broker,
    /// A node of the RabbitMQ cluster; nodes are numbered from 0.
    Node(usize),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(service, number) => write!(f, "{service} {number}"),
            Self::Service(service) => write!(f, "{service}"),
            Self::Database => f.write_str("PostgreSQL"),
            Self::Broker => f.write_str("RabbitMQ"),
            Self::Node(number) => write!(f, "node {number}"),
        }
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name that is used on the command line and in the output.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// A replica is killed (SIGKILL) and restarted.
    Kill = "kill",
    /// A replica is suspended (SIGSTOP) and continued later.
    Suspend = "suspend",
    /// A replica is killed and restarted with a clock that is ten minutes ahead or behind. At its next start, the clock
    /// is right again.
    SkewClock = "skew-clock",
    /// All services are stopped and started in another order, seconds apart.
    StartLate = "start-late",
    /// PostgreSQL stops at once, as in a crash, and is restarted.
    CrashDatabase = "crash-database",
    /// PostgreSQL is suspended.
    SuspendDatabase = "suspend-database",
    /// The sessions at a service's database are ended with `pg_terminate_backend`.
    EndSessions = "end-sessions",
    /// The password of the services' role is changed and the sessions are ended; later it is changed back.
    RotatePassword = "rotate-password",
    /// A session locks a row of a service's busiest table.
    LockRow = "lock-row",
    /// A session locks a table.
    LockTable = "lock-table",
    /// RabbitMQ is killed and restarted.
    KillBroker = "kill-broker",
    /// RabbitMQ is suspended.
    SuspendBroker = "suspend-broker",
    /// RabbitMQ has a memory alarm and blocks publishers.
    BrokerAlarm = "broker-alarm",
    /// All connections to RabbitMQ are closed by an administrator.
    CloseConnections = "close-connections",
    /// A queue is purged.
    Purge = "purge",
    /// A queue is deleted.
    DeleteQueue = "delete-queue",
    /// An exchange is deleted.
    DeleteExchange = "delete-exchange",
    /// A binding is deleted.
    DeleteBinding = "delete-binding",
    /// Old messages are published again.
    Republish = "republish",
    /// The disk of PostgreSQL or RabbitMQ is full (ENOSPC); later there is space again.
    FillDisk = "fill-disk",
    /// The network between a service and PostgreSQL drops connections.
    CutDatabase = "cut-database",
    /// The network between a service and PostgreSQL delivers nothing.
    StallDatabase = "stall-database",
    /// The network between a service and PostgreSQL is slow.
    SlowDatabase = "slow-database",
    /// The responses of PostgreSQL to a service are lost.
    OneWayDatabase = "one-way-database",
    /// A connection to PostgreSQL is cut in the middle of a write.
    TornDatabase = "torn-database",
    /// The network between a service and RabbitMQ drops connections.
    CutBroker = "cut-broker",
    /// The network between a service and RabbitMQ delivers nothing.
    StallBroker = "stall-broker",
    /// The network between a service and RabbitMQ is slow.
    SlowBroker = "slow-broker",
    /// The responses of RabbitMQ to a service are lost.
    OneWayBroker = "one-way-broker",
    /// A connection to RabbitMQ is cut in the middle of a write.
    TornBroker = "torn-broker",
    /// A node of the cluster is killed and restarted.
    KillNode = "kill-node",
    /// The node that leads a service's queue is killed and restarted.
    KillLeader = "kill-leader",
    /// Two nodes of the cluster are killed, one right after the other, and restarted.
    KillTwoNodes = "kill-two-nodes",
    /// A node of the cluster is suspended.
    SuspendNode = "suspend-node",
    /// The network between one node and the other two is cut.
    CutOffNode = "cut-off-node",
    /// The network between all nodes is cut.
    CutOffAllNodes = "cut-off-all-nodes",
    /// All nodes are drained, stopped and restarted, one after the other.
    RollingRestart = "rolling-restart",
    /// A node is put into maintenance mode, and revived later.
    DrainNode = "drain-node",
    /// A node is killed and loses its data; it is removed from the cluster, and a blank one takes its place.
    ReplaceNode = "replace-node",
    /// The leaders of the queues are distributed anew over the nodes.
    RebalanceQueues = "rebalance-queues",
    /// PostgreSQL's primary is killed, and its standby is promoted. Later the old primary is a standby.
    FailOverDatabase = "fail-over-database",
    /// PostgreSQL's primary is stopped in an orderly way, and its standby is promoted.
    SwitchOverDatabase = "switch-over-database",
    /// PostgreSQL's standby is promoted by mistake, while the primary runs.
    TwinDatabase = "twin-database",
    /// PostgreSQL's synchronous standby is away, so that commits wait.
    StandbyAway = "standby-away",
}

impl Kind {
    /// Returns whether it destroys messages. Only then may an order end by its deadline.
    #[must_use]
    pub fn destroys(self) -> bool {
        matches!(self, Self::Purge | Self::DeleteQueue)
    }

    /// Returns whether it exists with these servers.
    #[must_use]
    pub fn fits(self, topology: Topology) -> bool {
        match self {
            Self::KillBroker | Self::SuspendBroker | Self::FillDisk => topology == Topology::Single,
            kind => !(kind.is_of_nodes() || kind.is_of_standby()) || topology == Topology::Cluster,
        }
    }

    /// Returns whether it affects nodes of the cluster. Only one of these is active at a time, because three nodes can
    /// spare one.
    pub(crate) fn is_of_nodes(self) -> bool {
        matches!(
            self,
            Self::KillNode
                | Self::KillLeader
                | Self::KillTwoNodes
                | Self::SuspendNode
                | Self::CutOffNode
                | Self::CutOffAllNodes
                | Self::RollingRestart
                | Self::DrainNode
                | Self::ReplaceNode
                | Self::RebalanceQueues
        )
    }

    /// Returns whether it affects PostgreSQL's primary and its standby.
    pub(crate) fn is_of_standby(self) -> bool {
        matches!(self, Self::FailOverDatabase | Self::SwitchOverDatabase | Self::TwinDatabase | Self::StandbyAway)
    }

    /// Returns the kinds that this process can cause. `log` gets the reason for each of the others.
    pub fn possible(kinds: BTreeSet<Self>, log: &dyn Fn(String)) -> Vec<Self> {
        let possible = |kind: &Self| kind.left_out().map(log).is_none();
        kinds.into_iter().filter(possible).collect()
    }

    /// Returns why this process cannot cause it, if so.
    fn left_out(self) -> Option<String> {
        let (needs, possible) = match self {
            Self::FillDisk => ("root to mount a file system of limited size", test_servers::disk::can_be_limited()),
            Self::CutOffNode | Self::CutOffAllNodes => {
                ("iptables, and root to change its rules", test_servers::rabbitmq::can_cut_the_network())
            }
            _ => return None,
        };
        Some(format!("{self} is left out: it needs {needs} ({:#})", possible.err()?))
    }

    /// Returns whether RabbitMQ must be up when it begins.
    pub(crate) fn needs_broker(self) -> bool {
        matches!(
            self,
            Self::BrokerAlarm
                | Self::CloseConnections
                | Self::Purge
                | Self::DeleteQueue
                | Self::DeleteExchange
                | Self::DeleteBinding
                | Self::Republish
        )
    }

    /// Returns whether PostgreSQL must be up when it begins.
    pub(crate) fn needs_database(self) -> bool {
        matches!(self, Self::EndSessions | Self::RotatePassword | Self::LockRow | Self::LockTable)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| format!("is none of {}", known()))
    }
}
