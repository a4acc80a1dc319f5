//! A strict parser of both text formats: finds errors that `promtool check metrics` accepts.

use std::collections::{BTreeMap, HashMap};

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

/// A sample's name and labels, the labels sorted by name.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// A valid page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Type and HELP by family.
    pub(crate) families: BTreeMap<String, (String, String)>,
    /// The values, unparsed.
    pub(crate) samples: HashMap<Series, String>,
}

struct Family {
    name: String,
    kind: String,
    /// Histograms: the current label set, and its last bucket.
    bucket: Option<(BTreeMap<String, String>, f64, f64)>,
}

/// Parses `text` up to the first error.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Page, String> {
    let body = match dialect {
        Dialect::OpenMetrics => {
            text.strip_suffix("# EOF\n").ok_or("no # EOF and newline at the end")?
        }
        Dialect::Text => text,
    };
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("no newline at the end".to_owned());
    }
    let mut page = Page::default();
    let mut family: Option<Family> = None;
    let mut help: Option<(String, String)> = None;
    for line in body.split_terminator('\n') {
        let fault = |what: &str| format!("{what}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| fault("HELP without text"))?;
            if help.is_some() {
                return Err(fault("HELP after HELP"));
            }
            close(family.take())?;
            help = Some((
                name.to_owned(),
                unescape(text, dialect == Dialect::OpenMetrics).map_err(|e| fault(&e))?,
            ));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| fault("TYPE without type"))?;
            let (helped, text) = help.take().ok_or_else(|| fault("TYPE without HELP"))?;
            if helped != name {
                return Err(fault("TYPE under another family's HELP"));
            }
            let known: &[&str] = match dialect {
                Dialect::OpenMetrics => &["counter", "gauge", "histogram", "info"],
                Dialect::Text => &["counter", "gauge", "histogram"],
            };
            if !known.contains(&kind) {
                return Err(fault("type not known to this format"));
            }
            if page.families.insert(name.to_owned(), (kind.to_owned(), text)).is_some() {
                return Err(fault("family repeated or interleaved"));
            }
            let reserved = name.ends_with("_total") || name.ends_with("_info");
            if dialect == Dialect::OpenMetrics && reserved
                || dialect == Dialect::Text && kind == "counter" && !name.ends_with("_total")
            {
                return Err(fault("head does not fit the type"));
            }
            family = Some(Family { name: name.to_owned(), kind: kind.to_owned(), bucket: None });
        } else if line.starts_with('#') || line.is_empty() {
            return Err(fault("unexpected line"));
        } else {
            let family = family.as_mut().ok_or_else(|| fault("sample without a head"))?;
            let (series, value) = sample(line).map_err(|e| fault(&e))?;
            belongs(family, &series, &value, dialect).map_err(|e| fault(&e))?;
            if page.samples.insert(series, value).is_some() {
                return Err(fault("sample repeated"));
            }
        }
    }
    close(family)?;
    Ok(page)
}

/// Whether the sample belongs to the family, and a histogram's buckets are consistent.
fn belongs(
    family: &mut Family,
    series: &Series,
    value: &str,
    dialect: Dialect,
) -> Result<(), String> {
    let (name, labels) = series;
    let number: f64 = value.parse().map_err(|_| "value is not a number")?;
    let suffix = name.strip_prefix(&family.name).ok_or("sample of another family")?;
    let wanted: &[&str] = match (family.kind.as_str(), dialect) {
        ("counter", Dialect::OpenMetrics) => &["_total"],
        ("info", _) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    if !wanted.contains(&suffix) {
        return Err("sample does not fit the head".to_owned());
    }
    if family.kind == "counter" && (number < 0.0 || number.is_nan()) {
        return Err("counter below zero".to_owned());
    }
    if family.kind != "histogram" {
        return if labels.contains_key("le") {
            Err("le outside a histogram".to_owned())
        } else {
            Ok(())
        };
    }
    let mut rest = labels.clone();
    if suffix != "_bucket" {
        return Ok(());
    }
    let le = rest.remove("le").ok_or("bucket without le")?;
    if le != "+Inf" && !le.contains('.') {
        return Err("le is not canonical".to_owned());
    }
    let bound: f64 = le.parse().map_err(|_| "le is not a number")?;
    if let Some((labels, last_bound, last_count)) = &family.bucket {
        if *labels == rest && (bound <= *last_bound || number < *last_count) {
            return Err("buckets do not grow".to_owned());
        }
        if *labels != rest && last_bound.is_finite() {
            return Err("histogram without +Inf".to_owned());
        }
    }
    family.bucket = Some((rest, bound, number));
    Ok(())
}

fn close(family: Option<Family>) -> Result<(), String> {
    match family.and_then(|f| f.bucket) {
        Some((_, bound, _)) if bound.is_finite() => Err("histogram without +Inf".to_owned()),
        _ => Ok(()),
    }
}

/// `name{label="value",…} value`, exactly: no other spaces, no timestamp.
fn sample(line: &str) -> Result<(Series, String), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    check_name(name)?;
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("label without value")?;
            check_name(label)?;
            let close = closing_quote(after).ok_or("label value without end")?;
            if labels.insert(label.to_owned(), unescape(&after[..close], true)?).is_some() {
                return Err("label repeated".to_owned());
            }
            rest = &after[close + 1..];
            match rest.as_bytes().first() {
                Some(b',') => rest = &rest[1..],
                Some(b'}') => break,
                _ => return Err("neither comma nor brace after a label".to_owned()),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    if value.is_empty() || value.contains(|c: char| !c.is_ascii_digit() && !"+-.eInfNa".contains(c))
    {
        return Err("value is not a number, or is followed by something".to_owned());
    }
    Ok(((name.to_owned(), labels), value.to_owned()))
}

fn check_name(name: &str) -> Result<(), String> {
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good { Ok(()) } else { Err(format!("bad name {name:?}")) }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let found = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        found
    })
}

fn unescape(text: &str, quotes_too: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if quotes_too => out.push('"'),
                other => return Err(format!("bad escape \\{other:?}")),
            },
            '"' if quotes_too => return Err("quote that is not escaped".to_owned()),
            other => out.push(other),
        }
    }
    Ok(out)
}
