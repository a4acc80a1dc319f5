//! What an API does otherwise than one might think, without anything being wrong.

/// A way to tell the same thing otherwise. The first, second and fifth are of both APIs, the others
/// of the platform's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quirk {
    /// Keys in lower case, upper case or Pascal case. Chance is by answer.
    KeyCase,
    /// Numbers and booleans as strings. Chance is by answer.
    Strings,
    /// A field of a row that says nothing about who was where when is `null`. Chance is by field.
    Nulls,
    /// Such a field is not there. Chance is by field.
    Missing,
    /// Times with no fraction of a second, a shorter one, or one of seven digits. In reports also
    /// with an offset, without a zone or with a space, and year 1 for no end. Chance is by row.
    TimeFormat,
    /// A duration as a number of seconds instead of in the form of ISO 8601. Chance is by row.
    Seconds,
    /// No rows are told as 204 instead of 200 with an empty list. Chance is by answer.
    NoContent,
    /// 304 when nothing changed since `updatedSince`. Chance is by answer.
    NotModified,
    /// A page holds fewer rows than were asked for, though more follow. Chance is by answer.
    ShortPages,
    /// The history does not tell of a stay while it lasts. Chance is by stay.
    OpenOmitted,
    /// The history tells of a stay while it lasts how long it has lasted, as if that were all.
    /// Chance is by stay.
    OpenSoFar,
    /// The agent is hidden from this role: no call tells of it. Chance is by agent.
    HiddenAgents,
    /// The call for the history of all agents is answered 404 or 405. Chance is by request.
    NoAllHistory,
}

impl Quirk {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::KeyCase,
        Self::Strings,
        Self::Nulls,
        Self::Missing,
        Self::TimeFormat,
        Self::Seconds,
        Self::NoContent,
        Self::NotModified,
        Self::ShortPages,
        Self::OpenOmitted,
        Self::OpenSoFar,
        Self::HiddenAgents,
        Self::NoAllHistory,
    ];

    /// The name that the command line knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyCase => "odd-keys",
            Self::Strings => "strings",
            Self::Nulls => "nulls",
            Self::Missing => "missing",
            Self::TimeFormat => "odd-times",
            Self::Seconds => "seconds",
            Self::NoContent => "no-content",
            Self::NotModified => "not-modified",
            Self::ShortPages => "short-pages",
            Self::OpenOmitted => "open-untold",
            Self::OpenSoFar => "open-so-far",
            Self::HiddenAgents => "hidden-agents",
            Self::NoAllHistory => "no-all-history",
        }
    }
}
