//! Placeholder: simulator.
