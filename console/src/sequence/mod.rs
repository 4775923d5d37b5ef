//! The sequence diagram of one order, as SVG.
