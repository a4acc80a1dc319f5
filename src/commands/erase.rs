//! `erase`: forgets an agent in the store.

use super::CommandError;
use super::pages::print;
use crate::cli::EraseArgs;
use crate::config::{AgentIds, Flags, TargetsNeeded, load};
use crate::store::DiskStore;
use cxone_core::counts::RecordKey;

/// Forgets the agent, and says so. The store is written anew, so that nothing of the agent is left
/// in its file.
///
/// # Errors
/// When the configuration is wrong, the store cannot be used (it cannot while an exporter runs on
/// it), or knows no such agent.
pub fn run(args: &EraseArgs) -> Result<(), CommandError> {
    let (ids, owner) = match &args.config_file {
        Some(file) => {
            let config = load(Some(file), &Flags::default(), TargetsNeeded::No)?.0;
            let owner = config.api.owner();
            (config.metrics.agent_ids, Some(owner))
        }
        None => (AgentIds::Raw, None),
    };
    // What the metrics call the agent will do as well: with hashed ids it may be all that a person
    // has.
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
            None => "; if `metrics.agent_ids` is hmac, give --config.file, too",
        };
        return Err(CommandError::Failed(format!("the store knows no agent {}{hint}", args.agent)));
    }
    print(
        format!(
            "erased: {agents} agent, {records} records; what all agents together did stays counted\n\
             CXone still knows the agent: if a target covers it, it comes back with the next report\n"
        )
        .as_bytes(),
    )
}
