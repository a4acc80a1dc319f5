//! An answer with a list of rows and what stands beside it, read while it arrives.

use serde::de::IgnoredAny;

use super::object::JsonObject;
use crate::cxone::error::ErrorKind;
use crate::cxone::scan::{DocumentFault, DocumentPart, Scanner};
use cxone_core::time::Timestamp;

/// What an answer contains beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// 204: there are no rows.
    pub no_content: bool,
    /// 304: nothing has changed since the time that was asked about.
    pub not_modified: bool,
    /// How many rows there were, invalid ones included.
    pub rows: u64,
    /// `totalRecords`.
    pub total: Option<u64>,
    /// Whether `_links` announces a next page; `None` where there is no `_links`. Its address is
    /// never followed.
    pub next: Option<bool>,
    /// `lastPollTime`; `None` where it is none.
    pub last_poll_time: Option<Timestamp>,
    /// A number that is, as a rule, another one for other rows.
    pub fingerprint: u64,
}

/// A row as it is in the list: an object, or something that is none.
pub type Element<'a> = Option<JsonObject<'a>>;

/// An answer as far as it has arrived.
pub(crate) struct ListReader<F> {
    scanner: Scanner,
    /// The name of the member with the rows.
    list: &'static str,
    /// Whether the list was there.
    listed: bool,
    /// What the member with the rows is, where it is not a list.
    instead: Option<String>,
    /// The names of the other members, for a message.
    others: Vec<String>,
    envelope: Envelope,
    max_rows: u64,
    element: F,
}

/// How many names of members a message shows.
const SHOWN_MEMBERS: usize = 8;

impl<F: FnMut(Element<'_>) + Send> ListReader<F> {
    /// An answer of which nothing has arrived; its rows are in the member named `list`, and go to
    /// `element`.
    pub(crate) fn new(list: &'static str, max_rows: u64, element: F) -> Self {
        Self {
            scanner: Scanner::new(list),
            list,
            listed: false,
            instead: None,
            others: Vec::new(),
            envelope: Envelope::default(),
            max_rows,
            element,
        }
    }

    /// Takes in the next piece.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<(), DocumentFault> {
        let Self { scanner, list, listed, instead, others, envelope, max_rows, element } = self;
        scanner.feed(input, &mut |piece| match piece {
            DocumentPart::DataBegins => {
                *listed = true;
                Ok(())
            }
            DocumentPart::Ahead(..) => Ok(()),
            DocumentPart::Member(name, value) => {
                let value = String::from_utf8_lossy(value);
                if name.eq_ignore_ascii_case(list) {
                    *instead = Some(kind_of(&value).to_owned());
                } else if others.len() < SHOWN_MEMBERS {
                    others.push(name.to_owned());
                }
                member(envelope, name, &value)
            }
            DocumentPart::Element(value) => {
                envelope.rows += 1;
                if envelope.rows > *max_rows {
                    return Err(DocumentFault {
                        kind: ErrorKind::TooLarge,
                        detail: format!("has more than {max_rows} rows"),
                    });
                }
                envelope.fingerprint = value.iter().fold(envelope.fingerprint, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(FNV)
                });
                let value = String::from_utf8_lossy(value);
                let row = JsonObject::parse(&value).map_err(|_| {
                    DocumentFault::malformed(format!(
                        "contains invalid JSON in row {}",
                        envelope.rows
                    ))
                })?;
                element(row);
                Ok(())
            }
        })
    }

    /// What stood beside the rows, now that all of it has arrived. An answer without the list is an
    /// empty one only where it says that there are no rows: an error that is reported with 200 must
    /// not look as if nothing had happened.
    pub(crate) fn finish(self) -> Result<Envelope, DocumentFault> {
        if !self.scanner.has_begun() {
            return Err(DocumentFault::malformed("is empty, where a list was expected"));
        }
        if !self.scanner.is_done() {
            return Err(DocumentFault::malformed("ends early, or is not valid JSON"));
        }
        let says_none = self.envelope.total == Some(0);
        match self.instead.as_deref() {
            _ if self.listed => Ok(self.envelope),
            None | Some("null") if says_none => Ok(self.envelope),
            Some(what) => Err(DocumentFault::malformed(format!(
                "has `{}`, but it is {what} and no list",
                self.list
            ))),
            None if self.others.is_empty() => {
                Err(DocumentFault::malformed(format!("is an object without `{}`", self.list)))
            }
            None => Err(DocumentFault::malformed(format!(
                "has no list `{}`, but only: {}",
                self.list,
                self.others.join(", ")
            ))),
        }
    }
}

/// What kind of JSON `value` is, for a message.
fn kind_of(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'"') => "a string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(_) | None => "a number",
    }
}

/// The factor of the hash FNV-1a.
const FNV: u64 = 0x0100_0000_01b3;

fn member(envelope: &mut Envelope, name: &str, value: &str) -> Result<(), DocumentFault> {
    serde_json::from_str::<IgnoredAny>(value)
        .map_err(|_| DocumentFault::malformed("is not valid JSON"))?;
    let alone = format!(r#"{{"it":{value}}}"#);
    let Ok(Some(object)) = JsonObject::parse(&alone) else { return Ok(()) };
    if name.eq_ignore_ascii_case("totalRecords") {
        envelope.total = object.whole("it").and_then(|total| u64::try_from(total).ok());
    } else if name.eq_ignore_ascii_case("_links") || name.eq_ignore_ascii_case("links") {
        envelope.next =
            object.object("it").map(|links| links.raw("next").is_some_and(|next| next != "{}"));
    } else if name.eq_ignore_ascii_case("lastPollTime") {
        envelope.last_poll_time = object.time("it").ok().flatten();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, size: usize) -> Result<(Envelope, Vec<String>), DocumentFault> {
        let mut rows = Vec::new();
        let mut reader = ListReader::new("agentStateHistory", 3, |row: Element<'_>| {
            rows.push(row.map_or_else(
                || "odd".to_owned(),
                |row| row.text("agentId").unwrap_or_default().into_owned(),
            ));
        });
        document.as_bytes().chunks(size).try_for_each(|piece| reader.feed(piece))?;
        let envelope = reader.finish()?;
        Ok((envelope, rows))
    }

    #[test]
    fn rows_and_what_is_beside_them_are_read_however_the_answer_is_cut() {
        let document = r#"{"TotalRecords":"3","_links":{"self":"a","Next":"b"},"LastPollTime":"2023-10-27T08:00:00.1Z","resultSet":{"x":[1]},
            "AgentStateHistory":[{"agentId":7},null,{"AgentID":"8"}],"more":null}"#;
        for size in [1, 7, 1000] {
            let (envelope, rows) = read(document, size).unwrap();
            assert_eq!(rows, ["7", "odd", "8"]);
            assert_eq!((envelope.rows, envelope.total, envelope.next), (3, Some(3), Some(true)));
            assert_eq!(
                envelope.last_poll_time.map(|time| time.to_string()).as_deref(),
                Some("2023-10-27T08:00:00.100Z")
            );
        }
    }

    #[test]
    fn a_page_is_the_last_one_where_links_announce_no_next_one() {
        for (links, next) in [
            ("{}", Some(false)),
            (r#"{"next":null}"#, Some(false)),
            (r#"{"next":""}"#, Some(false)),
            (r#"{"next":{}}"#, Some(false)),
            ("null", None),
            ("7", None),
        ] {
            let (envelope, rows) =
                read(&format!(r#"{{"_links":{links},"agentStateHistory":[]}}"#), 9).unwrap();
            assert_eq!((envelope.next, rows.len()), (next, 0), "{links}");
        }
    }

    #[test]
    fn a_time_of_the_poll_that_is_none_is_left_out() {
        for text in ["soon", "", "7", &"2".repeat(1_000)] {
            let document = format!(r#"{{"lastPollTime":"{text}","agentStateHistory":[]}}"#);
            assert_eq!(read(&document, 7).unwrap().0.last_poll_time, None, "{text}");
        }
    }

    #[test]
    fn an_answer_without_the_list_is_not_an_empty_list() {
        for (document, said) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("{}", "is an object without `agentStateHistory`"),
            (r#"{"error":"not now","code":7}"#, "but only: error, code"),
            (r#"{"totalRecords":3}"#, "but only: totalRecords"),
            (r#"{"agentStates":[]}"#, "but only: agentStates"),
            (r#"{"agentStateHistory":null}"#, "but it is null"),
            (r#"{"agentStateHistory":null,"totalRecords":"7"}"#, "but it is null"),
            (r#"{"agentStateHistory":{"agentId":7},"totalRecords":0}"#, "but it is an object"),
            (r#"{"AGENTSTATEHISTORY":"[]"}"#, "but it is a string"),
            (r#"{"agentStateHistory":false}"#, "but it is a boolean"),
            (r#"{"agentStateHistory":0}"#, "but it is a number"),
        ] {
            let fault = read(document, 7).unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Malformed, "{document}");
            assert!(fault.detail.contains(said), "{document}: {}", fault.detail);
        }
        for document in [
            r#"{"agentStateHistory":[]}"#,
            r#"{"AgentStateHISTORY":[]}"#,
            r#"{"agentStateHistory":null,"totalRecords":0}"#,
            r#"{"totalRecords":"0","_links":{}}"#,
        ] {
            assert_eq!(read(document, 7).unwrap().1.len(), 0, "{document}");
        }
    }

    #[test]
    fn an_answer_cut_short_or_with_too_many_rows_counts_for_nothing() {
        assert_eq!(
            read(r#"{"agentStateHistory":[{"agentId":7}"#, 5).unwrap_err().kind,
            ErrorKind::Malformed
        );
        assert_eq!(
            read(r#"{"agentStateHistory":[{"agentId":}]}"#, 5).unwrap_err().kind,
            ErrorKind::Malformed
        );
        assert_eq!(
            read(r#"{"agentStateHistory":[1,2,3,4]}"#, 5).unwrap_err().kind,
            ErrorKind::TooLarge
        );
        assert_eq!(read("<html>", 5).unwrap_err().kind, ErrorKind::Malformed);
    }
}
