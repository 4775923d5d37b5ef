//! A tester in the manner of [Jepsen](https://jepsen.io): clients load the system and write down what they were told, nemeses
//! bring faults about by a schedule that a seed decides, and a checker looks for an answer that cannot be true.
//!
//! The schedule is the same for the same seed; what happens in between is not, for the machine decides how far everybody is when a
//! fault strikes.

mod checker;
mod end_state;
mod faults;
mod full_disk;
mod history;
mod judge;
mod load;
mod nemesis;
mod random;
mod report;
mod run;
mod schedule;
mod setup;
mod signals;
mod streams;
mod unanswered;
mod wants;

pub use faults::{Fault, Kind, Target};
pub use report::Report;
pub use run::{Settings, shrink, torture};
pub use schedule::Schedule;
