//! `erase`: removes an agent from the store.

use super::CommandError;
use super::packaging::print;
use crate::cli::EraseArgs;
use crate::config::{AgentIds, Flags, TargetsNeeded, load};
use crate::store::DiskStore;
use cxone_core::counts::RecordKey;

/// Removes the agent. The store is rewritten, so that nothing of the agent remains in its file.
///
/// # Errors
/// When the configuration is invalid, the store cannot be used (for example because an exporter
/// does), or does not contain the agent.
pub fn run(args: &EraseArgs) -> Result<(), CommandError> {
    let (ids, owner) = match &args.config_file {
        Some(file) => {
            let config = load(Some(file), &Flags::default(), TargetsNeeded::No)?.0;
            let owner = config.api.owner();
            (config.metrics.agent_ids, Some(owner))
        }
        None => (AgentIds::Raw, None),
    };
    // The ID in the metrics is accepted as well: with hashed IDs it may be the only one known.
    let names = [AgentIds::Raw.of(&args.agent), ids.of(&args.agent)];
    let mut agents = 0;
    let records = DiskStore::rewrite(&args.storage_path, owner.as_ref(), |key| {
        let erased = names.iter().any(|name| key.is_about(name));
        agents += usize::from(erased && matches!(key, RecordKey::Agent(_)));
        !erased
    })?;
    if records == 0 {
        let hint = match args.config_file {
            Some(_) => "",
            None => "; if `metrics.agent_ids` is hmac, add --config.file",
        };
        return Err(CommandError::Failed(format!("no agent {} in the store{hint}", args.agent)));
    }
    print(
        format!(
            "erased: {agents} agent, {records} records; aggregate counters are unchanged\n\
             If a target covers the agent, the next report adds it again\n"
        )
        .as_bytes(),
    )
}
