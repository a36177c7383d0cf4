//! Pages of lists: `page` and `per_page`, and `cursor`.
//!
//! A cursor is where the last page ended, so walking by `links.next` repeats and omits nothing however much
//! is added meanwhile, and costs the same on the last page as on the first. It is opaque: base64 of the
//! page's number, the place, and a keyed checksum that also covers what the list was filtered and sorted
//! by, so that a damaged or forged cursor, or one of another list, is refused and not misunderstood. The
//! key comes from the server's secret, so cursors outlive a restart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use poem_openapi::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::values::list::{Page, PageRequest, SearchPage, Start, Total};

use crate::http::problem::Problem;
use crate::http::request::query::{Param, Query, Shape};

/// Rows of a page unless it is asked for another number.
const PER_PAGE_DEFAULT: u32 = 50;
/// The most rows of a page.
const PER_PAGE_MAX: u32 = 200;
/// How far `page` × `per_page` reaches.
const REACH: u64 = 10_000;
/// Bytes of the checksum.
const CHECK: usize = 12;

/// The parameters of every list.
pub const PARAMS: [Param; 3] = [
    Param {
        name: "page",
        shape: Shape::Integer { min: 1, max: REACH as i64 },
        description: "The page, from 1. `page` × `per_page` reaches up to 10,000; beyond, follow `links.next`.",
        example: "1",
    },
    Param {
        name: "per_page",
        shape: Shape::Integer { min: 1, max: PER_PAGE_MAX as i64 },
        description: "Rows of a page; 50 unless given.",
        example: "50",
    },
    Param {
        name: "cursor",
        shape: Shape::Text { max: 1_024 },
        description: "Where to go on: the cursor of `links.next`, and of nothing else. Takes the place of `page`.",
        // An invented one is refused, and tools send examples as they are.
        example: "",
    },
];

/// What cursors are signed with.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    pub fn new(key: [u8; 32]) -> CursorKey {
        CursorKey(key)
    }
}

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
struct Held<K> {
    page: u32,
    key: K,
}

/// A list request: the page that is asked for, and what is needed to link to others.
pub struct Paging {
    path: String,
    /// The query without `page` and `cursor`.
    rest: String,
    page: u32,
    per_page: u32,
    by_cursor: bool,
    key: CursorKey,
    scope: String,
    this: String,
}

impl Paging {
    /// Reads the parameters. `path` is the list's own path with its base; `scope` tells this list from
    /// others (whose it is), so that a cursor of one is not taken for another's.
    pub fn read<K: DeserializeOwned>(
        query: &mut Query,
        key: &CursorKey,
        path: String,
        scope: &str,
    ) -> Option<(Paging, PageRequest<K>)> {
        let per_page = query.integer("per_page", 1, i64::from(PER_PAGE_MAX));
        let per_page = per_page.and_then(|n| u32::try_from(n).ok()).unwrap_or(PER_PAGE_DEFAULT);
        let rest = query.without(&["page", "cursor"]).finish();
        let filters = query.without(&["page", "cursor", "per_page"]).finish();
        let scope = format!("{scope}?{filters}");

        let (page, start) = match query.text("cursor").map(str::to_owned) {
            Some(cursor) => {
                if query.text("page").is_some() {
                    query.fail("page", "cannot be combined with cursor; send one of the two");
                }
                let Some(held) = decode::<K>(&cursor, key, &scope) else {
                    query.fail("cursor", "is damaged or belongs to another list; take it from links.next, and keep filters and sort as they were");
                    return None;
                };
                (held.page, Start::After(held.key))
            }
            None => {
                let page = query.integer("page", 1, i64::MAX).unwrap_or(1);
                if u64::try_from(page).unwrap_or(1).saturating_mul(u64::from(per_page)) > REACH {
                    query.fail(
                        "page",
                        format!(
                            "reaches beyond row {REACH}; follow links.next instead, which reaches every row"
                        ),
                    );
                    return None;
                }
                let page = u32::try_from(page).unwrap_or(1);
                (page, Start::Page(page))
            }
        };
        let by_cursor = query.text("cursor").is_some();
        let this = query.without(&[]).finish();
        let paging = Paging { path, rest, page, per_page, by_cursor, key: key.clone(), scope, this };
        Some((paging, PageRequest { start, per_page }))
    }

    /// The links of the page that was read.
    pub fn links<T, K: Serialize + Clone>(&self, page: &Page<T, K>) -> Links {
        let link = |extra: Option<(&str, &str)>| {
            let mut query = url::form_urlencoded::Serializer::new(self.rest.clone());
            if let Some((name, value)) = extra {
                query.append_pair(name, value);
            }
            self.at(&query.finish())
        };
        let next =
            page.next.clone().map(|key| encode(&Held { page: self.page + 1, key }, &self.key, &self.scope));
        let prev = (!self.by_cursor && self.page > 1).then(|| (self.page - 1).to_string());
        Links {
            this: self.at(&self.this),
            first: link(None),
            prev: prev.map(|page| link(Some(("page", &page)))),
            next: next.map(|cursor| link(Some(("cursor", &cursor)))),
        }
    }

    fn at(&self, query: &str) -> String {
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }

    /// What is said about the page that was read.
    pub fn meta<T, K>(&self, page: &Page<T, K>) -> ListMeta {
        ListMeta {
            page: self.page,
            per_page: self.per_page,
            total: Some(page.total.rows),
            total_capped: page.total.capped.then_some(true),
            scanned: None,
            complete: None,
            datetime: DatetimeFormat::default(),
        }
    }
}

impl Paging {
    /// The links and the rest of what is said about a page of a search that reads row by row.
    pub fn searched<T, K: Serialize + Clone>(&self, page: &SearchPage<T, K>) -> (Links, ListMeta) {
        let total = Total { rows: 0, capped: false };
        let as_page = Page::<T, K> { rows: vec![], total, next: page.next.clone() };
        let (scanned, complete) = (Some(page.scanned), Some(page.next.is_none()));
        let meta = ListMeta { total: None, scanned, complete, ..self.meta(&as_page) };
        (self.links(&as_page), meta)
    }

    /// Whether a page is asked for by a number other than the first.
    pub fn is_numbered(&self) -> bool {
        !self.by_cursor && self.page > 1
    }
}

fn checksum(payload: &[u8], key: &CursorKey, scope: &str) -> [u8; CHECK] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
    // A scope is text from a URL, in which no zero byte is.
    mac.update(scope.as_bytes());
    mac.update(&[0]);
    mac.update(payload);
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

fn encode<K: Serialize>(held: &Held<K>, key: &CursorKey, scope: &str) -> String {
    let payload = serde_json::to_vec(held).expect("a page number and a key are always JSON");
    URL_SAFE_NO_PAD.encode([checksum(&payload, key, scope).as_slice(), &payload].concat())
}

fn decode<K: DeserializeOwned>(cursor: &str, key: &CursorKey, scope: &str) -> Option<Held<K>> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (check, payload) = bytes.split_at_checked(CHECK)?;
    let is_ours: bool = check.ct_eq(&checksum(payload, key, scope)).into();
    if is_ours { serde_json::from_slice(payload).ok() } else { None }
}

/// Links of a list, as paths on this server.
#[derive(Debug, Clone, Object)]
pub struct Links {
    /// This page.
    #[oai(rename = "self")]
    pub this: String,
    /// The first page.
    pub first: String,
    /// The page before, when the pages are counted by `page`.
    pub prev: Option<String>,
    /// The page behind: a cursor that repeats and omits nothing. Null on the last page.
    pub next: Option<String>,
}

/// How times are written, for machines to check.
#[derive(Debug, Clone, Object)]
pub struct DatetimeFormat {
    /// `RFC3339`
    pub format: String,
    /// `UTC`
    pub timezone: String,
    /// `Z`
    pub suffix: String,
}

impl Default for DatetimeFormat {
    fn default() -> DatetimeFormat {
        DatetimeFormat { format: "RFC3339".to_owned(), timezone: "UTC".to_owned(), suffix: "Z".to_owned() }
    }
}

/// What is said about a page.
#[derive(Debug, Clone, Object)]
pub struct ListMeta {
    /// The page, from 1; walking by cursor counts on.
    pub page: u32,
    /// Rows of a page.
    pub per_page: u32,
    /// All rows that match: exact up to 10,000, above that 10,000 with `total_capped`. Absent with the filters
    /// `contains` and `error`.
    #[oai(skip_serializing_if_is_none)]
    pub total: Option<u64>,
    /// True when there are more rows than `total` says.
    #[oai(skip_serializing_if_is_none)]
    pub total_capped: Option<bool>,
    /// With the filters `contains` and `error`: how many rows were read for this page.
    #[oai(skip_serializing_if_is_none)]
    pub scanned: Option<u64>,
    /// With the filters `contains` and `error`: true if everything has been read. Else `links.next` goes on.
    #[oai(skip_serializing_if_is_none)]
    pub complete: Option<bool>,
    pub datetime: DatetimeFormat,
}

/// Ends the reading of a list's parameters: either all is well, or every problem is told.
pub fn settle<K>(
    query: Query,
    read: Option<(Paging, PageRequest<K>)>,
) -> Result<(Paging, PageRequest<K>), Problem> {
    query.finish()?;
    read.ok_or_else(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: CursorKey = CursorKey([7; 32]);

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_only_in_its_own_list(page in 1u32..1_000, key: i64) {
            let cursor = encode(&Held { page, key }, &KEY, "a?status=failed");
            let held: Held<i64> = decode(&cursor, &KEY, "a?status=failed").unwrap();
            prop_assert_eq!((held.page, held.key), (page, key));
            prop_assert!(decode::<i64>(&cursor, &KEY, "a?status=pending").is_none());
            prop_assert!(decode::<i64>(&cursor, &KEY, "b?status=failed").is_none());
            let forged = encode(&Held { page, key }, &CursorKey([8; 32]), "a?status=failed");
            prop_assert!(decode::<i64>(&forged, &KEY, "a?status=failed").is_none());
        }

        #[test]
        fn a_damaged_cursor_is_refused(key: i64, at in 0usize..200, with in "[A-Za-z0-9_-]") {
            let cursor = encode(&Held { page: 1, key }, &KEY, "a");
            let at = at % cursor.len();
            let mut bent = cursor.clone();
            bent.replace_range(at..=at, &with);
            prop_assert!(bent == cursor || decode::<i64>(&bent, &KEY, "a").is_none());
        }

        #[test]
        fn nonsense_is_refused(text in ".{0,40}") {
            prop_assert!(decode::<i64>(&text, &KEY, "a").is_none());
        }
    }
}
