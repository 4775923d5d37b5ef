use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The servers under the services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// One PostgreSQL and one RabbitMQ.
    #[default]
    Single,
    /// RabbitMQ is a cluster of three nodes, and PostgreSQL has a synchronous standby.
    Cluster,
}

/// The number of RabbitMQ nodes of a cluster.
pub(crate) const NODES: usize = 3;

impl Topology {
    const ALL: [Self; 2] = [Self::Single, Self::Cluster];

    fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|topology| topology.name() == text);
        found.ok_or_else(|| format!("is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
