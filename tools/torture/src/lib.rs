//! A test in the style of [Jepsen](https://jepsen.io): clients load the system and record the responses, nemeses cause
//! faults according to a schedule that is generated from a seed, and a checker looks for responses that contradict each
//! other.
//!
//! The schedule is the same for the same seed. The rest of a run is not, because the machine's speed determines how far
//! each process is when a fault occurs.

mod checker;
mod end_state;
mod faults;
mod full_disk;
mod history;
mod judge;
mod load;
mod nemesis;
mod nodes;
mod random;
mod refunds;
mod report;
mod run;
mod schedule;
mod setup;
mod signals;
mod standby;
mod streams;
mod topology;
mod unanswered;
mod wants;

pub use faults::{Fault, Kind, Target};
pub use report::Report;
pub use run::{Settings, shrink, torture};
pub use schedule::Schedule;
pub use topology::Topology;
