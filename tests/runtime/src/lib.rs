//! The tests of the runtime, of its brokers and databases; all of them are in `tests/`.
