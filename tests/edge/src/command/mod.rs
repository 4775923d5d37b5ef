//! The commands of the program.

pub(crate) mod attack;
pub(crate) mod fuzz;
