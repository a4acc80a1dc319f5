//! YAML text as a tree that knows its lines. Built from the parser's events without recursion, so
//! that no text can exhaust the stack.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Event, Input, Parser, ScalarStyle, Span, StrInput, Tag};

use super::mistake::{Findings, Mistake, Origin, shown};

/// The deepest nesting; the configuration itself needs five levels.
const MAX_DEPTH: usize = 32;

/// How much aliases may copy, in nodes and bytes of text together: enough for any real use, far too
/// little for a bomb.
const MAX_COPIED: usize = 1 << 20;

/// A value and the line that it begins on, from 1.
#[derive(Clone, Debug)]
pub(super) struct YamlNode {
    pub(super) line: usize,
    pub(super) value: YamlValue,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum YamlValue {
    /// Text, as it was written; `plain` when without quotes.
    Scalar { text: String, plain: bool },
    /// `[a, b]`.
    List(Vec<YamlNode>),
    /// `{a: b}`, in the order of the file; no key twice.
    Map(Vec<YamlEntry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct YamlEntry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: YamlNode,
}

impl YamlNode {
    /// Whether this is YAML's nothing: an empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            YamlValue::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            YamlValue::List(_) | YamlValue::Map(_) => false,
        }
    }

    /// Its text, if it is a single value and not nothing.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Scalar { text, .. } if !self.is_null() => Some(text),
            YamlValue::Scalar { .. } | YamlValue::List(_) | YamlValue::Map(_) => None,
        }
    }

    /// Nodes and bytes of text, itself included.
    fn weight(&self) -> usize {
        match &self.value {
            YamlValue::Scalar { text, .. } => 1 + text.len(),
            YamlValue::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            YamlValue::Map(entries) => {
                1 + entries
                    .iter()
                    .map(|entry| entry.key.len() + entry.value.weight())
                    .sum::<usize>()
            }
        }
    }

    /// Levels of nesting, itself included.
    fn height(&self) -> usize {
        let below = match &self.value {
            YamlValue::Scalar { .. } => None,
            YamlValue::List(items) => items.iter().map(Self::height).max(),
            YamlValue::Map(entries) => entries.iter().map(|entry| entry.value.height()).max(),
        };
        1 + below.unwrap_or(0)
    }
}

/// Reads `text`, one YAML document. `None` when it cannot be read; then `findings` says why. An empty
/// text is an empty map.
pub(super) fn read(text: &str, findings: &mut Findings) -> Option<YamlNode> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = TreeBuilder {
        findings,
        frames: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        copied: 0,
    };
    let mut parser = Parser::new(Tabbed(StrInput::new(text)));
    while let Some(event) = parser.next_event() {
        let done = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                Err(at_line(error.marker().line(), format!("not YAML: {}", shown(error.info()))))
            }
        };
        if let Err(mistake) = done {
            builder.findings.mistakes.push(mistake);
            return None;
        }
    }
    let empty = YamlNode { line: 1, value: YamlValue::Map(Vec::new()) };
    Some(builder.root.filter(|root| !root.is_null()).unwrap_or(empty))
}

/// Text in which a tab separates as a space does: YAML has it so between a key's colon and its
/// value, where the parser alone does not.
struct Tabbed<I>(I);

impl<I: Input> Input for Tabbed<I> {
    fn lookahead(&mut self, count: usize) {
        self.0.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.0.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.0.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.0.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.0.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.0.skip_n(count);
    }

    fn peek(&self) -> char {
        self.0.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.0.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.0.peek_opt()
    }

    fn skip_ws_to_eol(&mut self, tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (skipped, found) = self.0.skip_ws_to_eol(tabs);
        let found = found.map(|found| {
            SkipTabs::Result(found.found_tabs(), found.found_tabs() || found.has_valid_yaml_ws())
        });
        (skipped, found)
    }
}

/// A mistake of the text as such, at no key.
fn at_line(line: usize, message: String) -> Mistake {
    Mistake { line: Some(line), key: String::new(), message }
}

/// The tree under construction.
struct TreeBuilder<'n> {
    findings: &'n mut Findings,
    frames: Vec<Frame>,
    root: Option<YamlNode>,
    documents: usize,
    anchors: HashMap<usize, YamlNode>,
    copied: usize,
}

/// A list or map that has not ended yet.
struct Frame {
    line: usize,
    anchor: usize,
    content: FrameContent,
}

enum FrameContent {
    List(Vec<YamlNode>),
    Map { entries: Vec<YamlEntry>, first_lines: BTreeMap<String, usize>, pending: Pending },
}

/// The key that waits for its value.
enum Pending {
    None,
    Key {
        key: String,
        line: usize,
    },
    /// A key that was refused; its value is read and dropped.
    Refused,
}

impl TreeBuilder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Mistake> {
        let line = span.start.line();
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(at_line(
                        line,
                        "a second YAML document begins here; a configuration is one".to_owned(),
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), line);
                let value = YamlValue::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.finish(YamlNode { line, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), line);
                self.open(Frame { line, anchor, content: FrameContent::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), line);
                let content = FrameContent::Map {
                    entries: Vec::new(),
                    first_lines: BTreeMap::new(),
                    pending: Pending::None,
                };
                self.open(Frame { line, anchor, content })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.frames.pop().expect("the parser ends only what it began");
                let value = match frame.content {
                    FrameContent::List(items) => YamlValue::List(items),
                    FrameContent::Map { entries, .. } => YamlValue::Map(entries),
                };
                self.finish(YamlNode { line: frame.line, value }, frame.anchor)
            }
            Event::Alias(anchor) => self.copy(anchor, line),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, line: usize) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            let at = Origin { line: Some(line), key: self.path() };
            // It is not repeated: it may be a password that begins with `!`.
            let message = "a tag means nothing here; write a text that begins with `!` in quotes";
            self.findings.mistake(at, message);
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), Mistake> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(at_line(frame.line, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn copy(&mut self, anchor: usize, line: usize) -> Result<(), Mistake> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(at_line(line, "this alias stands inside of what it names".to_owned()));
        };
        if self.frames.len() + node.height() > MAX_DEPTH {
            return Err(at_line(line, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.copied = self.copied.saturating_add(node.weight());
        if self.copied > MAX_COPIED {
            return Err(at_line(line, "aliases copy too much".to_owned()));
        }
        let node = YamlNode { line, ..node.clone() };
        self.finish(node, 0)
    }

    /// Puts a whole node where it belongs.
    fn finish(&mut self, node: YamlNode, anchor: usize) -> Result<(), Mistake> {
        if anchor > 0 {
            self.copied = self.copied.saturating_add(node.weight());
            if self.copied > MAX_COPIED {
                return Err(at_line(node.line, "anchors hold too much".to_owned()));
            }
            self.anchors.insert(anchor, node.clone());
        }
        let path = self.path();
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.content {
            FrameContent::List(items) => items.push(node),
            FrameContent::Map { entries, first_lines, pending } => {
                match std::mem::replace(pending, Pending::None) {
                    Pending::Key { key, line } => {
                        entries.push(YamlEntry { key, line, value: node })
                    }
                    Pending::Refused => {}
                    Pending::None => *pending = take_key(self.findings, node, &path, first_lines),
                }
            }
        }
        Ok(())
    }

    /// The path of the place that is being filled.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.content {
                FrameContent::List(items) => path.push_str(&format!("[{}]", items.len())),
                FrameContent::Map { pending: Pending::Key { key, .. }, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&shown(key));
                }
                FrameContent::Map { pending: Pending::None | Pending::Refused, .. } => {}
            }
        }
        path
    }
}

/// `node` as a key of the map at `path`, unless it is there already or can be none.
fn take_key(
    findings: &mut Findings,
    node: YamlNode,
    path: &str,
    first_lines: &mut BTreeMap<String, usize>,
) -> Pending {
    let line = node.line;
    let YamlValue::Scalar { text: key, .. } = node.value else {
        findings.mistake(
            Origin { line: Some(line), key: path.to_owned() },
            "a key must be plain text, not a list or a map",
        );
        return Pending::Refused;
    };
    if let Some(first) = first_lines.get(&key) {
        let full = if path.is_empty() { shown(&key) } else { format!("{path}.{}", shown(&key)) };
        findings.mistake(
            Origin { line: Some(line), key: full },
            format!("given twice, first on line {first}"),
        );
        return Pending::Refused;
    }
    first_lines.insert(key.clone(), line);
    Pending::Key { key, line }
}
