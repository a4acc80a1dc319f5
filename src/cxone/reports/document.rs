//! The answer to a poll, read while it arrives.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::cxone::error::ErrorKind;
use crate::cxone::json;
use crate::cxone::rows::RowSink;
use cxone_core::report::RejectedRow;

use super::JobStatus;
use super::row::{self, Understood};
use crate::cxone::scan::{DocumentFault, DocumentPart, Scanner};

/// A poll's answer as far as it has arrived.
#[derive(Debug)]
pub(crate) struct Document<R> {
    scanner: Scanner,
    has_begun: bool,
    content: PollContent<R>,
}

/// What the member `data` is. A missing or null one is not an empty list: an empty list says that
/// nothing happened, a missing one says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DataMember {
    #[default]
    Missing,
    List,
    /// Something else, in words.
    Odd(&'static str),
}

#[derive(Debug, Default)]
struct PollContent<R> {
    status: Option<String>,
    error_message: Option<String>,
    data: DataMember,
    rows: R,
    row_count: u64,
    max_rows: u64,
}

impl<R: RowSink> Document<R> {
    /// An answer of which nothing has arrived; it may have `max_rows` rows, rejected ones included.
    pub(crate) fn new(max_rows: u64) -> Self {
        let content = PollContent { max_rows, ..PollContent::default() };
        Self { scanner: Scanner::new("data"), has_begun: false, content }
    }

    /// Takes in the next piece.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<(), DocumentFault> {
        self.has_begun |= !input.is_empty();
        let content = &mut self.content;
        self.scanner.feed(input, &mut |piece| content.take(piece))
    }

    /// What the answer said, now that all of it has arrived. Only a `COMPLETED` job has rows.
    pub(crate) fn finish(self) -> Result<JobStatus<R>, DocumentFault> {
        if !self.has_begun {
            return Err(DocumentFault::malformed("is empty"));
        }
        if !self.scanner.is_done() {
            return Err(DocumentFault::malformed("ends early, or is not valid JSON"));
        }
        // In any case, as names are.
        let status = self.content.status.as_deref().map(str::trim);
        match status.map(str::to_ascii_uppercase).as_deref() {
            Some("PENDING") => Ok(JobStatus::Pending),
            Some("RUNNING") => Ok(JobStatus::Running),
            Some("FAILED") => Ok(JobStatus::Failed(
                self.content.error_message.unwrap_or_else(|| "Unknown error".to_owned()),
            )),
            Some("COMPLETED") => match self.content.data {
                DataMember::List => Ok(JobStatus::Completed(self.content.rows)),
                DataMember::Missing => Err(DocumentFault::malformed(
                    "is COMPLETED and has no `data`; no rows would be an empty list",
                )),
                DataMember::Odd(what) => Err(DocumentFault::malformed(format!(
                    "is COMPLETED and its `data` is {what}, which is not a list of rows"
                ))),
            },
            Some(_) => Err(DocumentFault::malformed(format!(
                "has an unknown status: {}",
                status.unwrap_or_default()
            ))),
            None => Err(DocumentFault::malformed("has no status")),
        }
    }
}

impl<R: RowSink> PollContent<R> {
    fn take(&mut self, piece: DocumentPart<'_>) -> Result<(), DocumentFault> {
        match piece {
            DocumentPart::Ahead(text, read) => {
                if let Some((row, bytes)) = row::read_beginning(text) {
                    self.count()?;
                    self.row(row);
                    *read = bytes;
                }
                Ok(())
            }
            DocumentPart::Element(element) => self.element(element),
            DocumentPart::DataBegins => {
                self.restart(DataMember::List);
                Ok(())
            }
            DocumentPart::Member(name, value) => {
                let value = String::from_utf8_lossy(value);
                serde_json::from_str::<IgnoredAny>(&value)
                    .map_err(|_| DocumentFault::malformed("is not valid JSON"))?;
                // In any case, as the names of a row's members are.
                let is = |known: &str| name.eq_ignore_ascii_case(known);
                if is("status") {
                    self.status = string_or_raw(&value).map(Cow::into_owned);
                } else if is("errorMessage") {
                    self.error_message = string_or_raw(&value).map(Cow::into_owned);
                } else if is("data") {
                    self.restart(DataMember::Odd(json::kind(&value)));
                }
                Ok(())
            }
        }
    }

    /// Of several members `data` the last one counts.
    fn restart(&mut self, data: DataMember) {
        self.rows = R::default();
        self.row_count = 0;
        self.data = data;
    }

    fn count(&mut self) -> Result<(), DocumentFault> {
        self.row_count += 1;
        if self.row_count > self.max_rows {
            return Err(DocumentFault {
                kind: ErrorKind::TooLarge,
                detail: format!("has more than {} rows", self.max_rows),
            });
        }
        Ok(())
    }

    fn element(&mut self, element: &[u8]) -> Result<(), DocumentFault> {
        self.count()?;
        // Looked at as a whole first: that is several times as fast as piece by piece.
        let element = std::str::from_utf8(element)
            .map_or_else(|_| String::from_utf8_lossy(element), Cow::Borrowed);
        let row = row::read(&element).map_err(|_| {
            DocumentFault::malformed(format!("contains invalid JSON in row {}", self.row_count))
        })?;
        self.row(row);
        Ok(())
    }

    fn row(&mut self, row: Result<Understood<'_>, RejectedRow<'_>>) {
        match row {
            Ok((row, forms)) => {
                self.rows.row(&row);
                if !forms.is_empty() {
                    self.rows.accept_lenient(forms);
                }
            }
            Err(rejected) => self.rows.reject(rejected),
        }
    }
}

/// A member that should be a string; any other value is taken as written, and null as absent.
fn string_or_raw(raw: &str) -> Option<Cow<'_, str>> {
    if raw == "null" { None } else { Some(json::string(raw).unwrap_or(Cow::Borrowed(raw))) }
}
