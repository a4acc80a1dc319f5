//! Lists in pages, with the quirks of their form.

use http::StatusCode;
use serde_json::{Map, Value, json};

use cxone_core::time::Timestamp;

use super::PlatformRequest;
use super::route::ListQuery;
use super::wire::OPTIONAL_FIELDS;
use crate::faults::{Faults, Quirk};
use crate::random::{hash, hash_text};
use crate::response::ApiReply;
use crate::rewrite::{KeyStyle, rewrite, with_other_digits};

/// The fields of rows that are times.
const TIMES: [&str; 5] =
    ["earliestQueueTime", "lastUpdateTime", "serverTime", "sessionStartTime", "startDate"];

/// All rows of a list, each with a number that its quirks follow from.
pub(super) type KeyedRows = Vec<(u64, Value)>;

/// Answers one request for a list.
pub(super) struct ListWriter<'a> {
    pub(super) request: PlatformRequest<'a>,
    pub(super) query: &'a ListQuery,
    /// The most rows of a page.
    pub(super) max_rows: usize,
}

impl ListWriter<'_> {
    /// The requested page of the list under the key `name`.
    pub(super) fn page(
        &self,
        name: &str,
        rows: KeyedRows,
        poll_time: Option<Timestamp>,
    ) -> ApiReply {
        let total = rows.len();
        let skip = self.query.skip.min(total);
        let page = self.page_rows().min(total - skip);
        if page == 0 && self.request.quirk(Quirk::NoContent).is_some() {
            return ApiReply::empty(StatusCode::NO_CONTENT);
        }
        let end = skip + page;
        let previous = skip.saturating_sub(self.page_rows());
        let mut body = json!({
            "businessUnitId": 4_594_001,
            "totalRecords": total,
            "_links": {
                "self": self.link(skip),
                "next": (end < total).then(|| self.link(end)),
                "previous": (skip > 0).then(|| self.link(previous)),
            },
        });
        let rows = rows.into_iter().skip(skip).take(page).map(|(key, row)| self.row(key, row));
        body[name] = rows.collect();
        if let Some(time) = poll_time {
            body["lastPollTime"] = json!(time.to_string());
        }
        self.json(&body)
    }

    /// `body` with the quirks of whole answers.
    pub(super) fn json(&self, body: &Value) -> ApiReply {
        let keys = self.request.quirk(Quirk::KeyCase).map(KeyStyle::new);
        let strings = self.request.quirk(Quirk::Strings).is_some();
        ApiReply::json(StatusCode::OK, &rewrite(body, keys, strings))
    }

    /// How many rows this page may have.
    fn page_rows(&self) -> usize {
        let requested = self.query.top.unwrap_or(self.max_rows).min(self.max_rows).max(1);
        let Some(number) = self.request.quirk(Quirk::ShortPages) else { return requested };
        let min = requested.div_ceil(4);
        let choices = u64::try_from(requested - min).expect("a page's rows fit 64 bits") + 1;
        min + usize::try_from(number % choices).expect("below the requested rows")
    }

    /// The URL of the page from `skip` on.
    fn link(&self, skip: usize) -> String {
        let uri = self.request.http.uri();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let requested = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        query.extend_pairs(requested.filter(|(name, _)| !name.eq_ignore_ascii_case("skip")));
        let query = query.append_pair("skip", &skip.to_string()).finish();
        format!("{}{}?{query}", self.request.origin(), uri.path())
    }

    /// A row with the requested fields and the quirks of rows.
    fn row(&self, key: u64, row: Value) -> Value {
        let Value::Object(mut fields) = row else { return row };
        let requested = &self.query.fields;
        if !requested.is_empty() {
            fields.retain(|name, _| requested.iter().any(|it| it.eq_ignore_ascii_case(name)));
        }
        apply_quirks(self.request.faults, key, &mut fields);
        Value::Object(fields)
    }
}

fn apply_quirks(faults: &Faults, key: u64, fields: &mut Map<String, Value>) {
    let has = |name: &str, quirk| {
        OPTIONAL_FIELDS.contains(&name)
            && faults.quirk(hash(key, &[hash_text(name)]), quirk).is_some()
    };
    fields.retain(|name, _| !has(name, Quirk::Missing));
    for (_, value) in fields.iter_mut().filter(|(name, _)| has(name, Quirk::Nulls)) {
        *value = Value::Null;
    }
    let Some(number) = faults.quirk(key, Quirk::TimeFormat) else { return };
    for name in TIMES {
        if let Some(Value::String(time)) = fields.get_mut(name) {
            *time = with_other_digits(time, number);
        }
    }
}
