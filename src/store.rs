//! The stores that outlive the process: on a disk, and shared by replicas.

mod disk;
pub mod shared;
#[cfg(test)]
mod tests;

pub use disk::DiskStore;
