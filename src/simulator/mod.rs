//! A simulated contact centre with CXone's Reporting API in front of it, for trying things out and for tests.
//!
//! [`floor`] says who is where when, as a pure function of a seed and the time; [`Floor::truth`](floor::Floor::truth) adds it up.
//! No clock is read: now is an argument everywhere.

pub mod floor;
mod random;
mod truth;

pub use truth::Truth;
