//! Targets: by their index in the configuration, and by the identity that records refer to.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A target, by its index in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(usize);

impl TargetId {
    /// The target at `index`.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A target, as agents' records refer to it: allotted when the target's filter is first seen, and
/// kept in the target's record. It is never reused, so records need not be rewritten when targets
/// are added, removed or reordered; references to a removed target are dropped when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct TargetKey(u32);

/// The keys of the configured targets.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetKeys {
    keys: Vec<TargetKey>,
    ids: HashMap<TargetKey, TargetId>,
    /// Every key from this one on is free.
    pub(super) next: u32,
}

impl TargetKeys {
    /// Keys for the targets in the order of the configuration, new ones for those without. `None`
    /// if the given keys are not those of different targets, allotted before `next`.
    pub(super) fn new(keys: impl Iterator<Item = Option<TargetKey>>, next: u32) -> Option<Self> {
        let mut table = Self { keys: Vec::new(), ids: HashMap::new(), next };
        for key in keys {
            if key.is_some_and(|key| key.0 >= next) {
                return None;
            }
            let key = key.unwrap_or(TargetKey(table.next));
            table.next = table.next.max(key.0.checked_add(1)?);
            if table.ids.insert(key, TargetId(table.keys.len())).is_some() {
                return None;
            }
            table.keys.push(key);
        }
        Some(table)
    }

    pub(super) fn key(&self, id: TargetId) -> TargetKey {
        self.keys[id.0]
    }

    /// `None` for a target that was removed from the configuration.
    pub(super) fn id(&self, key: TargetKey) -> Option<TargetId> {
        self.ids.get(&key).copied()
    }
}
