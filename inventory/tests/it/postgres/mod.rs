//! What only PostgreSQL has.

mod sequence;
