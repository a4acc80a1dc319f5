//! What really happened, in the terms of the platform API.

use cxone_core::time::Window;
use cxone_simulator::Floor;

use crate::counted::Sums;

/// Entries and milliseconds of an agent in this window.
pub(crate) fn actual(floor: &Floor, agent: &str, window: Window) -> Sums {
    let totals = floor.platform_totals(window).into_iter().filter(|actual| actual.agent == agent);
    let sums = totals.map(|actual| {
        (
            (actual.state.to_owned(), actual.skill.unwrap_or("").to_owned()),
            (actual.entries, actual.millis),
        )
    });
    sums.filter(|(_, sums)| *sums != (0, 0)).collect()
}
