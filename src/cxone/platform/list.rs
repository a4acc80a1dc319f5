//! An answer with a list of rows and what stands beside it, read while it arrives.

use serde::de::IgnoredAny;

use super::robust::Object;
use crate::cxone::error::ErrorKind;
use crate::cxone::scan::{Fault, Piece, Scanner};

/// What an answer tells beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// 204: there are no rows.
    pub no_content: bool,
    /// 304: nothing has changed since the time that was asked about.
    pub not_modified: bool,
    /// How many rows there were, those included that make no sense.
    pub rows: u64,
    /// `totalRecords`.
    pub total: Option<u64>,
    /// Whether `_links` tells of a next page; `None` where there is no `_links`. Its address is
    /// never followed.
    pub next: Option<bool>,
    /// `lastPollTime`, as it is written, to be sent back.
    pub last_poll_time: Option<String>,
    /// A number that is, as a rule, another one for other rows.
    pub fingerprint: u64,
}

/// A row as it is in the list: an object, or something that is none.
pub type Element<'a> = Option<Object<'a>>;

/// An answer as far as it has arrived.
pub(super) struct ListReader<F> {
    scanner: Scanner,
    envelope: Envelope,
    max_rows: u64,
    element: F,
}

impl<F: FnMut(Element<'_>) + Send> ListReader<F> {
    /// An answer of which nothing has arrived; its rows are in the member named `list`, and go to
    /// `element`.
    pub(super) fn new(list: &'static str, max_rows: u64, element: F) -> Self {
        Self { scanner: Scanner::new(list), envelope: Envelope::default(), max_rows, element }
    }

    /// Takes in the next piece.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<(), Fault> {
        let Self { scanner, envelope, max_rows, element } = self;
        scanner.feed(input, &mut |piece| match piece {
            Piece::DataBegins | Piece::Ahead(..) => Ok(()),
            Piece::Member(name, value) => member(envelope, name, &String::from_utf8_lossy(value)),
            Piece::Element(value) => {
                envelope.rows += 1;
                if envelope.rows > *max_rows {
                    return Err(Fault {
                        kind: ErrorKind::TooLarge,
                        detail: format!("has more than {max_rows} rows"),
                    });
                }
                envelope.fingerprint = value.iter().fold(envelope.fingerprint, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(FNV)
                });
                let value = String::from_utf8_lossy(value);
                let row = Object::parse(&value).map_err(|_| {
                    Fault::malformed(format!("is no JSON in row {}", envelope.rows))
                })?;
                element(row);
                Ok(())
            }
        })
    }

    /// What stood beside the rows, now that all of it has arrived.
    pub(super) fn finish(self) -> Result<Envelope, Fault> {
        if !self.scanner.is_done() {
            return Err(Fault::malformed("ends early, or is no JSON"));
        }
        Ok(self.envelope)
    }
}

/// The factor of the hash FNV-1a.
const FNV: u64 = 0x0100_0000_01b3;

fn member(envelope: &mut Envelope, name: &str, value: &str) -> Result<(), Fault> {
    serde_json::from_str::<IgnoredAny>(value).map_err(|_| Fault::malformed("is no JSON"))?;
    let alone = format!(r#"{{"it":{value}}}"#);
    let Ok(Some(object)) = Object::parse(&alone) else { return Ok(()) };
    if name.eq_ignore_ascii_case("totalRecords") {
        envelope.total = object.whole("it").and_then(|total| u64::try_from(total).ok());
    } else if name.eq_ignore_ascii_case("_links") || name.eq_ignore_ascii_case("links") {
        envelope.next =
            object.object("it").map(|links| links.raw("next").is_some_and(|next| next != "{}"));
    } else if name.eq_ignore_ascii_case("lastPollTime") {
        envelope.last_poll_time = object.text("it").map(std::borrow::Cow::into_owned);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, size: usize) -> Result<(Envelope, Vec<String>), Fault> {
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
            assert_eq!(envelope.last_poll_time.as_deref(), Some("2023-10-27T08:00:00.1Z"));
        }
    }

    #[test]
    fn a_page_is_the_last_one_where_links_tell_of_no_next_one() {
        for (links, next) in [
            ("{}", Some(false)),
            (r#"{"next":null}"#, Some(false)),
            (r#"{"next":""}"#, Some(false)),
            (r#"{"next":{}}"#, Some(false)),
            ("null", None),
            ("7", None),
        ] {
            let (envelope, rows) =
                read(&format!(r#"{{"_links":{links},"agentStateHistory":null}}"#), 9).unwrap();
            assert_eq!((envelope.next, rows.len()), (next, 0), "{links}");
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
