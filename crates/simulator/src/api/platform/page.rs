//! Lists in pages, and the odd ways of telling them.

use http::StatusCode;
use serde_json::{Map, Value, json};

use cxone_core::time::Timestamp;

use super::super::super::faults::{Faults, Quirk};
use super::super::super::platform::wire::SPARE;
use super::super::super::random::{hash, hash_text};
use super::super::super::retelling::{Keys, odd_time, retold};
use super::super::answer::Reply;
use super::Asked;
use super::call::Query;

/// The fields of rows that are times.
const TIMES: [&str; 5] =
    ["earliestQueueTime", "lastUpdateTime", "serverTime", "sessionStartTime", "startDate"];

/// All rows of a list.
pub(super) struct List {
    /// The key that they stand under.
    pub(super) name: &'static str,
    /// Each with a number that its quirks follow from.
    pub(super) rows: Vec<(u64, Value)>,
    pub(super) poll_time: Option<Timestamp>,
}

/// Tells lists to one request.
pub(super) struct Teller<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) query: &'a Query,
    /// The most rows of a page.
    pub(super) most_rows: usize,
}

impl Teller<'_> {
    /// The page of `list` that is asked for.
    pub(super) fn tell(&self, list: List) -> Reply {
        let total = list.rows.len();
        let skip = self.query.skip.min(total);
        let page = self.page_rows().min(total - skip);
        if page == 0 && self.asked.odd(Quirk::NoContent).is_some() {
            return Reply::empty(StatusCode::NO_CONTENT);
        }
        let end = skip + page;
        let rows: Vec<Value> = list
            .rows
            .into_iter()
            .skip(skip)
            .take(page)
            .map(|(key, row)| self.row(key, row))
            .collect();
        let link = |skip: usize| Value::String(self.link(skip));
        let mut body = json!({
            "businessUnitId": 4_594_001,
            "totalRecords": total,
            "_links": {
                "self": link(skip),
                "next": if end < total { link(end) } else { Value::Null },
                "previous": if skip > 0 { link(skip.saturating_sub(self.page_rows())) } else { Value::Null },
            },
        });
        body[list.name] = Value::Array(rows);
        if let Some(time) = list.poll_time {
            body["lastPollTime"] = json!(time.to_string());
        }
        self.odd(StatusCode::OK, &body)
    }

    /// `body` with the quirks of whole answers.
    pub(super) fn odd(&self, status: StatusCode, body: &Value) -> Reply {
        let keys = self.asked.odd(Quirk::KeyCase).map(Keys::new);
        let strings = self.asked.odd(Quirk::Strings).is_some();
        if keys.is_none() && !strings {
            return Reply::json(status, body);
        }
        Reply::json(status, &retold(body, keys, strings))
    }

    /// How many rows this page may have.
    fn page_rows(&self) -> usize {
        let asked = self.query.top.unwrap_or(self.most_rows).min(self.most_rows).max(1);
        let Some(how) = self.asked.odd(Quirk::ShortPages) else { return asked };
        let least = asked.div_ceil(4);
        let more = u64::try_from(asked - least).expect("a page's rows fit 64 bits") + 1;
        least + usize::try_from(how % more).expect("below the rows that are asked for")
    }

    /// The address of the page from `skip` on.
    fn link(&self, skip: usize) -> String {
        let uri = self.asked.request.uri();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let asked = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        query.extend_pairs(asked.filter(|(name, _)| !name.eq_ignore_ascii_case("skip")));
        let query = query.append_pair("skip", &skip.to_string()).finish();
        format!("{}{}?{query}", self.asked.origin(), uri.path())
    }

    /// A row with the fields that are asked for and the quirks of rows.
    fn row(&self, key: u64, row: Value) -> Value {
        let Value::Object(mut fields) = row else { return row };
        if !self.query.fields.is_empty() {
            fields.retain(|name, _| {
                self.query.fields.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            });
        }
        odd_fields(self.asked.faults, key, &mut fields);
        Value::Object(fields)
    }
}

/// Leaves out, empties and writes otherwise what the quirks say.
fn odd_fields(faults: &Faults, key: u64, fields: &mut Map<String, Value>) {
    let spare = |name: &str, quirk| {
        SPARE.contains(&name) && faults.odd(hash(key, &[hash_text(name)]), quirk).is_some()
    };
    fields.retain(|name, _| !spare(name, Quirk::Missing));
    for (_, value) in fields.iter_mut().filter(|(name, _)| spare(name, Quirk::Nulls)) {
        *value = Value::Null;
    }
    let Some(how) = faults.odd(key, Quirk::TimeFormat) else { return };
    for name in TIMES {
        if let Some(Value::String(time)) = fields.get_mut(name) {
            *time = odd_time(time, how);
        }
    }
}
