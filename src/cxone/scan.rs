//! Cuts a report, as it arrives in pieces, into the members of its object and the elements of its
//! list of rows.
//!
//! Only what stands between these is judged here; whether a member or an element is JSON in itself
//! is for whoever reads it.

use super::error::ErrorKind;
use super::json::{self, BYTE_ORDER_MARK};

/// The longest member or row, in bytes: what is held in memory at once.
pub(crate) const MAX_ITEM_BYTES: usize = 16 * 1024 * 1024;

/// Why a report cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentFault {
    pub(crate) kind: ErrorKind,
    /// What was found; may repeat what the server wrote, so it has to be cleaned.
    pub(crate) detail: String,
}

impl DocumentFault {
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Malformed, detail: detail.into() }
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::TooLarge, detail: detail.into() }
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DocumentPart<'a> {
    /// A member other than the list of rows: its name, and its value as written.
    Member(&'a str, &'a [u8]),
    /// The list of rows begins.
    DataBegins,
    /// The input from the beginning of an element that is an object, as far as it has arrived. A
    /// callback that reads the whole element sets how many bytes it has, and the element does not
    /// come again; otherwise it comes as [`DocumentPart::Element`] where it ends.
    Ahead(&'a str, &'a mut usize),
    /// An element of it, as written.
    Element(&'a [u8]),
}

/// Where in the document the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Before the object; so much of a byte order mark has been seen.
    Before(usize),
    KeyOrEnd,
    Key,
    Colon,
    Value,
    CommaOrEnd,
    ElementOrEnd,
    Element,
    ElementCommaOrEnd,
    /// In a name, a member's value or an element of the list.
    In(OpenItem),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenItem {
    Key,
    Value,
    Element,
}

/// How far the item at hand has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// A number or a word: ends before the next separator.
    Word,
    /// A string, list or object: ends when no bracket and no quote is open.
    Nested { depth: usize, quoted: bool, escaped: bool },
}

#[derive(Debug)]
pub(crate) struct Scanner {
    /// The name of the list of rows, in any case.
    list: &'static str,
    position: Position,
    extent: Extent,
    /// The beginning of an item whose end has not arrived yet.
    carry: Vec<u8>,
    key: String,
}

impl Scanner {
    /// A document of which nothing has arrived; its rows are in the member named `list`.
    pub(crate) fn new(list: &'static str) -> Self {
        Self {
            list,
            position: Position::Before(0),
            extent: Extent::Word,
            carry: Vec::new(),
            key: String::new(),
        }
    }

    /// Takes in the next piece of the document; every whole item in it goes to `found`.
    pub(crate) fn feed<F>(&mut self, mut input: &[u8], found: &mut F) -> Result<(), DocumentFault>
    where
        F: FnMut(DocumentPart<'_>) -> Result<(), DocumentFault>,
    {
        let (all, text) = (input.len(), valid_beginning(input));
        while let Some(&byte) = input.first() {
            if let Position::In(item) = self.position {
                input = self.within(item, input, found)?;
            } else if let (b'{', Position::ElementOrEnd | Position::Element) = (byte, self.position)
                && let Some(read) = ahead(text.get(all - input.len()..), found)?
            {
                self.position = Position::ElementCommaOrEnd;
                input = &input[read..];
            } else if self.is_space(byte) || self.between(byte, found)? {
                input = &input[1..];
            }
        }
        Ok(())
    }

    /// Whether anything but space has arrived.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.position, Position::Before(_))
    }

    /// Whether the object has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.position == Position::Done
    }

    /// Whether `byte` means nothing where it stands. Before the object it ends the place of a byte
    /// order mark.
    const fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
            && !matches!(self.position, Position::Before(_))
    }

    /// Decides what `byte`, which is outside of all items, begins or ends; false when it is the
    /// first one of an item.
    fn between<F>(&mut self, byte: u8, found: &mut F) -> Result<bool, DocumentFault>
    where
        F: FnMut(DocumentPart<'_>) -> Result<(), DocumentFault>,
    {
        self.position = match (self.position, byte) {
            (Position::Before(seen), _) if BYTE_ORDER_MARK.get(seen) == Some(&byte) => {
                Position::Before(seen + 1)
            }
            (Position::Before(0 | 3), b'{') => Position::KeyOrEnd,
            (Position::Before(0 | 3), b' ' | b'\t' | b'\n' | b'\r') => Position::Before(3),
            (Position::KeyOrEnd | Position::Key, b'"') => return self.enter(OpenItem::Key, byte),
            (Position::Colon, b':') => Position::Value,
            (Position::Value, b'[') if self.key.eq_ignore_ascii_case(self.list) => {
                found(DocumentPart::DataBegins)?;
                Position::ElementOrEnd
            }
            (Position::Value, _) => return self.enter(OpenItem::Value, byte),
            (Position::KeyOrEnd | Position::CommaOrEnd, b'}') => Position::Done,
            (Position::CommaOrEnd, b',') => Position::Key,
            (Position::ElementOrEnd | Position::ElementCommaOrEnd, b']') => Position::CommaOrEnd,
            (Position::ElementOrEnd | Position::Element, _) => {
                return self.enter(OpenItem::Element, byte);
            }
            (Position::ElementCommaOrEnd, b',') => Position::Element,
            (Position::Before(_), _) => {
                return Err(DocumentFault::malformed("is not a JSON object"));
            }
            (Position::Done, _) => return Err(DocumentFault::malformed("goes on after its end")),
            (
                Position::KeyOrEnd
                | Position::Key
                | Position::Colon
                | Position::CommaOrEnd
                | Position::ElementCommaOrEnd
                | Position::In(_),
                _,
            ) => {
                return Err(DocumentFault::malformed("is not valid JSON"));
            }
        };
        Ok(true)
    }

    fn enter(&mut self, item: OpenItem, byte: u8) -> Result<bool, DocumentFault> {
        if matches!(byte, b',' | b':' | b']' | b'}') {
            return Err(DocumentFault::malformed("is not valid JSON"));
        }
        self.position = Position::In(item);
        self.extent = if matches!(byte, b'"' | b'[' | b'{') {
            Extent::Nested { depth: 0, quoted: false, escaped: false }
        } else {
            Extent::Word
        };
        Ok(false)
    }

    /// Reads on in an item, and reports it when it is complete; returns the rest of the input.
    fn within<'a, F>(
        &mut self,
        item: OpenItem,
        input: &'a [u8],
        found: &mut F,
    ) -> Result<&'a [u8], DocumentFault>
    where
        F: FnMut(DocumentPart<'_>) -> Result<(), DocumentFault>,
    {
        let end = self.end_of_item(input);
        let (here, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.carry.len() + here.len() > MAX_ITEM_BYTES {
            return Err(DocumentFault::too_large(format!(
                "has a row or member of more than {MAX_ITEM_BYTES} bytes"
            )));
        }
        if end.is_none() {
            self.carry.extend_from_slice(here);
            return Ok(rest);
        }
        let whole = if self.carry.is_empty() {
            here
        } else {
            self.carry.extend_from_slice(here);
            &self.carry
        };
        self.position = match item {
            OpenItem::Key => {
                let text = std::str::from_utf8(whole).ok();
                let checked =
                    text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                let name = checked
                    .and_then(json::string)
                    .ok_or_else(|| DocumentFault::malformed("is not valid JSON"))?;
                self.key.clear();
                self.key.push_str(&name);
                Position::Colon
            }
            OpenItem::Value => {
                found(DocumentPart::Member(&self.key, whole))?;
                Position::CommaOrEnd
            }
            OpenItem::Element => {
                found(DocumentPart::Element(whole))?;
                Position::ElementCommaOrEnd
            }
        };
        self.carry.clear();
        Ok(rest)
    }

    /// How many bytes of `input` belong to the item; `None` when all of them do and it may go on.
    fn end_of_item(&mut self, input: &[u8]) -> Option<usize> {
        let Extent::Nested { mut depth, mut quoted, mut escaped } = self.extent else {
            return input.iter().position(|byte| b" \t\n\r,:]}[{\"".contains(byte));
        };
        for (at, &byte) in input.iter().enumerate() {
            if quoted {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => quoted = false,
                    _ => continue,
                }
            } else {
                match byte {
                    b'"' => quoted = true,
                    b'[' | b'{' => depth += 1,
                    // A bracket that closes none ends the item as well; it is then no JSON to
                    // whoever reads it.
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => continue,
                }
            }
            if depth == 0 && !quoted {
                return Some(at + 1);
            }
        }
        self.extent = Extent::Nested { depth, quoted, escaped };
        None
    }
}

/// All of `input`, or what stands before the first byte that is not valid UTF-8, or not a complete
/// character yet.
fn valid_beginning(input: &[u8]) -> &str {
    std::str::from_utf8(input).unwrap_or_else(|error| {
        std::str::from_utf8(&input[..error.valid_up_to()]).expect("this much is valid")
    })
}

/// How many bytes the element has that `text` begins with, if `found` reads it whole.
fn ahead<F>(text: Option<&str>, found: &mut F) -> Result<Option<usize>, DocumentFault>
where
    F: FnMut(DocumentPart<'_>) -> Result<(), DocumentFault>,
{
    let mut read = 0;
    // An element in what is longer might be longer than is allowed.
    if let Some(text) = text.filter(|text| text.len() <= MAX_ITEM_BYTES) {
        found(DocumentPart::Ahead(text, &mut read))?;
    }
    Ok((read > 0).then_some(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(document: &str, size: usize) -> Result<Vec<String>, DocumentFault> {
        let mut scanner = Scanner::new("data");
        let mut pieces = Vec::new();
        for chunk in document.as_bytes().chunks(size) {
            scanner.feed(chunk, &mut |piece| {
                pieces.push(match piece {
                    DocumentPart::Ahead(..) => return Ok(()),
                    DocumentPart::Member(name, value) => {
                        format!("{name}={}", String::from_utf8_lossy(value))
                    }
                    DocumentPart::DataBegins => "data".to_owned(),
                    DocumentPart::Element(text) => format!("- {}", String::from_utf8_lossy(text)),
                });
                Ok(())
            })?;
        }
        if scanner.is_done() { Ok(pieces) } else { Err(DocumentFault::malformed("ended early")) }
    }

    #[test]
    fn a_document_falls_into_the_same_items_however_it_is_cut() {
        let document = "\u{feff} {\"id\" : \"a}]\\\"\\\\\" ,\"n\":-1.5e3,\"d\\u0061ta\":[ {\"x\":[1,{}],\"y\":\"]\"} , 7,\"s,\" ,null],\n\"o\":{\"data\":[1]},\"data\":[]}\r\n";
        let items = [
            "id=\"a}]\\\"\\\\\"",
            "n=-1.5e3",
            "data",
            "- {\"x\":[1,{}],\"y\":\"]\"}",
            "- 7",
            "- \"s,\"",
            "- null",
            "o={\"data\":[1]}",
            "data",
        ];
        for size in 1..=document.len() {
            assert_eq!(pieces(document, size).unwrap(), items, "in pieces of {size}");
        }
    }

    #[test]
    fn what_stands_between_the_items_must_be_json() {
        for document in [
            "",
            "[]",
            "null",
            "{",
            "}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":1 2}",
            "{\"a\":1\"b\":2}",
            "{a:1}",
            "{\"data\":[}",
            "{\"data\":[1,]}",
            "{\"data\":[,1]}",
            "{\"data\":[1 2]}",
            "{\"data\":[1}",
            "{\"data\":[[]]]}",
            "{\"data\":[]]}",
            "{} x",
            "{}{}",
            "{}\0",
            "<html>",
            "\u{feff}",
            "{\"\\x\":1}",
            "{\"a\nb\":1}",
            "\u{feff}\u{feff}{}",
            " \u{feff}{}",
        ] {
            for size in [1, 3, 100] {
                assert!(pieces(document, size).is_err(), "{document:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_item_is_held_in_memory_up_to_a_limit() {
        let mut scanner = Scanner::new("data");
        let chunk = [b'x'; 65536];
        scanner.feed(b"{\"a\":\"", &mut |_| Ok(())).unwrap();
        let fault = (0..=MAX_ITEM_BYTES / chunk.len())
            .find_map(|_| scanner.feed(&chunk, &mut |_| Ok(())).err());
        assert_eq!(fault.map(|fault| fault.kind), Some(ErrorKind::TooLarge));
    }
}
