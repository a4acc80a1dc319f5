//! Placeholder: server.
