//! Placeholder: exposition.
