//! Placeholder: cxone.
