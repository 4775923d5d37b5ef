use serde::{Deserialize, Serialize};
use shared_events::Service;

use super::{
    faults::{Fault, Kind, Target},
    random::Random,
    topology::{NODES, Topology},
};

/// All faults of a run, ordered by the time at which they begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The seed that it was generated from.
    pub seed: u64,
    /// The servers.
    #[serde(default)]
    pub topology: Topology,
    /// Number of replicas of each service.
    pub replicas: usize,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// Time from the beginning of one fault to the beginning of the next, in milliseconds.
const GAP_MS: (u64, u64) = (300, 2_600);
/// After this many faults, there is a fault-free period (in milliseconds) in which orders must end.
const BURST: usize = 12;
const QUIET_MS: u64 = 6_000;

impl Schedule {
    /// Generates the schedule of this seed for single servers: faults of these kinds until there are `count`, or until
    /// `end_ms` has passed.
    #[must_use]
    pub fn new(seed: u64, replicas: usize, kinds: &[Kind], count: usize, end_ms: u64) -> Self {
        let mut random = Random::new(seed);
        let mut faults: Vec<Fault> = Vec::new();
        let mut at_ms = 2_000;
        // Some faults exclude each other, so not every draw yields one.
        let mut draws = 0;
        while !kinds.is_empty() && faults.len() < count && at_ms < end_ms && draws < count.saturating_mul(100) {
            draws += 1;
            let kind = *random.one_of(kinds);
            let fault = draw(&mut random, kind, at_ms, replicas);
            if faults.iter().rev().take(40).any(|other| excludes(other, &fault)) {
                at_ms += 100;
                continue;
            }
            faults.push(fault);
            at_ms += random.between(GAP_MS.0, GAP_MS.1);
            if faults.len().is_multiple_of(BURST) {
                let over = faults.iter().map(|fault| fault.at_ms + fault.lasts_ms).max().unwrap_or(at_ms);
                at_ms = over.max(at_ms) + QUIET_MS;
            }
        }
        Self { seed, topology: Topology::Single, replicas, faults }
    }

    /// Returns this schedule without the faults from `from` up to, but not including, `to`.
    #[must_use]
    pub fn without(&self, from: usize, to: usize) -> Self {
        let kept = self.faults.iter().enumerate().filter(|(index, _)| !(from..to).contains(index));
        Self { faults: kept.map(|(_, fault)| fault.clone()).collect(), ..self.clone() }
    }
}

fn draw(random: &mut Random, kind: Kind, at_ms: u64, replicas: usize) -> Fault {
    let service = *random.one_of(&Service::ALL);
    let number = usize::try_from(random.between(0, replicas as u64 - 1)).unwrap_or_default();
    let (target, lasts_ms) = match kind {
        Kind::Kill | Kind::SkewClock => (Target::Replica(service, number), random.between(0, 3_000)),
        Kind::Suspend => (Target::Replica(service, number), random.between(1_000, 20_000)),
        Kind::StartLate => (Target::Service(service), random.between(1_000, 6_000)),
        Kind::CrashDatabase => (Target::Database, random.between(0, 4_000)),
        Kind::SuspendDatabase => (Target::Database, random.between(1_000, 8_000)),
        Kind::EndSessions | Kind::Republish => (Target::Service(service), 0),
        Kind::RotatePassword => (Target::Database, random.between(1_000, 6_000)),
        Kind::LockRow | Kind::LockTable => (Target::Service(service), random.between(1_000, 12_000)),
        Kind::KillBroker => (Target::Broker, random.between(0, 3_000)),
        Kind::SuspendBroker | Kind::BrokerAlarm => (Target::Broker, random.between(1_000, 8_000)),
        Kind::FillDisk => (*random.one_of(&[Target::Database, Target::Broker]), random.between(2_000, 10_000)),
        Kind::CloseConnections => (Target::Broker, 0),
        Kind::Purge | Kind::DeleteQueue | Kind::DeleteExchange | Kind::DeleteBinding => (Target::Service(service), 0),
        Kind::TornDatabase | Kind::TornBroker => (Target::Service(service), 500),
        Kind::CutDatabase
        | Kind::StallDatabase
        | Kind::SlowDatabase
        | Kind::OneWayDatabase
        | Kind::CutBroker
        | Kind::StallBroker
        | Kind::SlowBroker
        | Kind::OneWayBroker => (Target::Service(service), random.between(1_000, 12_000)),
        Kind::KillNode | Kind::DrainNode => (node(random), random.between(0, 8_000)),
        Kind::KillLeader => (Target::Service(service), random.between(0, 8_000)),
        Kind::KillTwoNodes => (node(random), random.between(0, 5_000)),
        Kind::SuspendNode => (node(random), random.between(1_000, 20_000)),
        Kind::CutOffNode => (node(random), random.between(1_000, 25_000)),
        Kind::CutOffAllNodes => (Target::Broker, random.between(1_000, 25_000)),
        Kind::ReplaceNode => (node(random), 0),
        Kind::RollingRestart | Kind::RebalanceQueues => (Target::Broker, 0),
        Kind::FailOverDatabase | Kind::TwinDatabase => (Target::Database, random.between(1, 6_000)),
        Kind::SwitchOverDatabase => (Target::Database, 1),
        Kind::StandbyAway => (Target::Database, random.between(1_000, 12_000)),
    };
    Fault { at_ms, lasts_ms, kind, target }
}

fn node(random: &mut Random) -> Target {
    Target::Node(usize::try_from(random.between(0, NODES as u64 - 1)).unwrap_or_default())
}

/// Upper bound for the time that a server needs to be available again after its own fault, in milliseconds.
const RESTART_MS: u64 = 12_000;

/// Returns whether the two cannot be active at the same time, because one would undo the other or makes unavailable
/// what the other needs.
fn excludes(earlier: &Fault, later: &Fault) -> bool {
    let restarts = matches!(earlier.target, Target::Database | Target::Broker) && earlier.lasts_ms > 0;
    let over_ms = earlier.at_ms + earlier.lasts_ms + if restarts { RESTART_MS } else { 1_000 };
    if over_ms <= later.at_ms {
        return false;
    }
    let takes = |fault: &Fault| match fault.kind {
        Kind::CrashDatabase | Kind::SuspendDatabase => Some(Target::Database),
        Kind::KillBroker | Kind::SuspendBroker => Some(Target::Broker),
        Kind::FillDisk => Some(fault.target),
        kind if kind.is_of_nodes() => Some(Target::Broker),
        kind if kind.is_of_standby() => Some(Target::Database),
        _ => None,
    };
    let needs_what_is_unavailable = |gone: &Fault, other: &Fault| match takes(gone) {
        Some(Target::Database) => other.kind.needs_database() || other.target == Target::Database,
        Some(Target::Broker) => other.kind.needs_broker() || other.target == Target::Broker,
        _ => false,
    };
    let network = |fault: &Fault| fault.kind.name().ends_with("-database") || fault.kind.name().ends_with("-broker");
    let same_link = matches!((earlier.target, later.target), (Target::Service(one), Target::Service(two)) if one == two)
        && network(earlier)
        && network(later);
    let of_replicas = |fault: &Fault| matches!(fault.target, Target::Replica(..)) || fault.kind == Kind::StartLate;
    let same_replica = of_replicas(earlier)
        && of_replicas(later)
        && (earlier.target == later.target || earlier.kind == Kind::StartLate || later.kind == Kind::StartLate);
    let same_cluster = earlier.kind.is_of_nodes() && later.kind.is_of_nodes();
    same_link
        || same_cluster
        || same_replica
        || (earlier.kind == later.kind && earlier.target == later.target)
        || needs_what_is_unavailable(earlier, later)
        || needs_what_is_unavailable(later, earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_schedule() {
        let schedule = |seed| Schedule::new(seed, 2, Kind::ALL, 500, u64::MAX);
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
        let all = schedule(7).faults;
        assert_eq!(all.len(), 500);
        assert!(all.is_sorted_by_key(|fault| fault.at_ms));
        for kind in Kind::ALL {
            assert!(all.iter().any(|fault| fault.kind == *kind), "{kind} is never drawn");
        }
    }

    #[test]
    fn a_schedule_can_be_written_and_read() {
        let schedule = Schedule::new(7, 1, Kind::ALL, 50, u64::MAX);
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }

    #[test]
    fn a_fault_does_not_need_what_another_makes_unavailable() {
        let faults = Schedule::new(9, 2, Kind::ALL, 400, u64::MAX).faults;
        let takes = |fault: &Fault, server: Target| match fault.kind {
            Kind::KillBroker | Kind::SuspendBroker => server == Target::Broker,
            Kind::CrashDatabase | Kind::SuspendDatabase => server == Target::Database,
            Kind::FillDisk => server == fault.target,
            kind if kind.is_of_nodes() => server == Target::Broker,
            kind if kind.is_of_standby() => server == Target::Database,
            _ => false,
        };
        for (index, fault) in faults.iter().enumerate() {
            let mut active = faults[..index].iter().filter(|other| other.at_ms + other.lasts_ms > fault.at_ms);
            if fault.kind.needs_broker() || fault.target == Target::Broker {
                assert!(!active.clone().any(|other| takes(other, Target::Broker)), "{fault:?}");
            }
            if fault.kind.needs_database() || fault.target == Target::Database {
                assert!(!active.any(|other| takes(other, Target::Database)), "{fault:?}");
            }
        }
    }

    #[test]
    fn the_disks_of_both_servers_are_filled() {
        let faults = Schedule::new(3, 1, &[Kind::FillDisk, Kind::TornDatabase], 60, u64::MAX).faults;
        for target in [Target::Database, Target::Broker] {
            assert!(faults.iter().any(|fault| fault.kind == Kind::FillDisk && fault.target == target), "{target}");
        }
        assert!(faults.iter().any(|fault| fault.kind == Kind::TornDatabase));
    }

    #[test]
    fn a_part_can_be_left_out() {
        let schedule = Schedule::new(7, 1, Kind::ALL, 10, u64::MAX);
        let rest = schedule.without(2, 9).faults;
        assert_eq!(rest, [schedule.faults[0].clone(), schedule.faults[1].clone(), schedule.faults[9].clone()]);
    }
}
