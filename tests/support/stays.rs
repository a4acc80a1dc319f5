//! What really happened, in the words of the platform's API.

use cxone_core::time::Window;
use cxone_simulator::Floor;

use crate::counted::Sums;

/// Entries and milliseconds of an agent in this window.
pub(crate) fn happened(floor: &Floor, agent: &str, window: Window) -> Sums {
    let truths = floor.platform_totals(window).into_iter().filter(|truth| truth.agent == agent);
    let sums = truths.map(|truth| {
        (
            (truth.state.to_owned(), truth.skill.unwrap_or("").to_owned()),
            (truth.entries, truth.millis),
        )
    });
    sums.filter(|(_, sums)| *sums != (0, 0)).collect()
}
