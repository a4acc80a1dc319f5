//! The store on a disk.

mod disk;
#[cfg(test)]
mod tests;

pub use disk::DiskStore;
