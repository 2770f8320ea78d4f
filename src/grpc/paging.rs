//! Lists: page sizes, filters, and page tokens. A token is opaque and bound to everything else that was asked, so that a
//! client that changes its filter midway learns so instead of reading nonsense.

use sha2::{Digest, Sha256};
use tonic::Status;
use uuid::Uuid;

use crate::domain::account::AccountKey;
use crate::domain::filter::{Field, Filter, FilterError, Literal, Operator};
use crate::domain::phone::NumberKey;
use crate::domain::time::Micros;
use crate::store::{ListQuery, Page, PageKey};

use super::convert::Fields;
use super::status;
use crate::domain::hex::{hex, unhex};

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;

/// Clients take messages of 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Layout of a token: version, digest of the arguments, time and id of the last row shown.
const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 16;
const TOKEN_BYTES: usize = 1 + DIGEST_BYTES + 8 + 16;

/// What a list can be filtered by: the fields of the store, under the names that the messages give them.
#[derive(Clone, Copy)]
pub(super) struct Filterable {
    /// As the store names them.
    pub fields: &'static [Field],
    /// Name in the message, name in the store, where the two differ.
    pub renamed: &'static [(&'static str, &'static str)],
}

impl Filterable {
    fn parse(self, text: &str) -> Result<Filter, FilterError> {
        let shown = |field: &Field| {
            let renamed = self
                .renamed
                .iter()
                .find(|(_, stored)| *stored == field.name);
            Field {
                name: renamed.map_or(field.name, |(shown, _)| *shown),
                kind: field.kind,
            }
        };
        let fields: Vec<Field> = self.fields.iter().map(shown).collect();
        Ok(self.stored(Filter::parse(text, &fields)?))
    }

    /// The same filter in the names of the store. Its depth is bounded by the parser.
    fn stored(self, filter: Filter) -> Filter {
        let all =
            |filters: Vec<Filter>| filters.into_iter().map(|each| self.stored(each)).collect();
        match filter {
            Filter::Everything => Filter::Everything,
            Filter::And(filters) => Filter::And(all(filters)),
            Filter::Or(filters) => Filter::Or(all(filters)),
            Filter::Not(filter) => Filter::Not(Box::new(self.stored(*filter))),
            Filter::Compare {
                field,
                operator,
                literal,
            } => {
                let renamed = self.renamed.iter().find(|(shown, _)| *shown == field);
                Filter::Compare {
                    field: renamed.map_or(field, |(_, stored)| *stored),
                    operator,
                    literal,
                }
            }
        }
    }
}

/// What the arguments of one list request amount to.
pub(super) struct Listing {
    digest: [u8; DIGEST_BYTES],
    after: Option<PageKey>,
    filter: Filter,
}

/// Reads the size of a page.
pub(super) fn page_size(fields: &mut Fields, asked: i32) -> Result<u32, super::convert::Noted> {
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => fields.wrong("page_size", "is negative; send 0 for the default of 100"),
    }
}

impl Listing {
    /// Reads token and filter. `rest` is the request without page size and token; `method` keeps the tokens of two lists
    /// apart.
    pub fn read(
        method: &str,
        rest: &impl prost::Message,
        page_token: &str,
        filter: &str,
        filterable: Filterable,
    ) -> Result<Self, Status> {
        let digest = digest_of(method, rest);
        let after = match page_token {
            "" => None,
            token => Some(open_token(token, &digest).ok_or_else(|| {
                status::token(
                    "PAGE_TOKEN_INVALID",
                    "page_token",
                    "is not the token of a page of this very list; start again without one",
                )
            })?),
        };
        let filter = filterable
            .parse(filter)
            .map_err(|error| status::filter(error.position, &error.to_string()))?;
        Ok(Self {
            digest,
            after,
            filter,
        })
    }

    /// Narrows the list to rows of this number.
    pub fn of_number(self, key: Option<NumberKey>) -> Self {
        match key {
            Some(key) => self.narrowed("number_key", Literal::Key(key.0)),
            None => self,
        }
    }

    /// Narrows the list to rows that are about this number among other subjects.
    pub fn of_subject(self, key: Option<NumberKey>) -> Self {
        match key {
            Some(key) => self.narrowed("subject_key", Literal::Key(key.0)),
            None => self,
        }
    }

    /// Narrows the list to rows of this person.
    pub fn of_party(self, party_id: Option<Uuid>) -> Self {
        match party_id {
            Some(id) => self.narrowed("party_id", Literal::Uuid(id)),
            None => self,
        }
    }

    /// Narrows the list to rows of this account.
    pub fn of_account(self, key: Option<AccountKey>) -> Self {
        match key {
            Some(key) => self.narrowed("account_key", Literal::Key(key.0)),
            None => self,
        }
    }

    fn narrowed(mut self, field: &'static str, literal: Literal) -> Self {
        let only = Filter::Compare {
            field,
            operator: Operator::Equal,
            literal,
        };
        self.filter = match self.filter {
            Filter::Everything => only,
            other => Filter::And(vec![only, other]),
        };
        self
    }

    /// What to ask the store.
    pub fn query(&self, page_size: u32) -> ListQuery {
        ListQuery {
            filter: self.filter.clone(),
            page_size,
            after: self.after,
        }
    }

    /// The page for the client, and the token of the next one. A page that would be too large a message ends early: a
    /// short page is not the end.
    pub fn answer<R, M: prost::Message>(
        &self,
        page: Page<R>,
        key: impl Fn(&R) -> (Micros, Uuid),
        mut show: impl FnMut(R) -> M,
    ) -> (Vec<M>, String) {
        let mut shown = Vec::with_capacity(page.rows.len());
        let mut bytes = 0;
        let mut last = None;
        for row in page.rows {
            let (at, id) = key(&row);
            let message = show(row);
            bytes += message.encoded_len();
            if let (true, Some(last)) = (bytes > PAGE_BYTES_MAX, last) {
                return (shown, seal_token(last, &self.digest));
            }
            last = Some(PageKey { at, id });
            shown.push(message);
        }
        (shown, self.token(page.next))
    }

    /// The token of the page that begins after this row; empty where none does.
    pub fn token(&self, next: Option<PageKey>) -> String {
        next.map(|key| seal_token(key, &self.digest))
            .unwrap_or_default()
    }
}

fn digest_of(method: &str, rest: &impl prost::Message) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    hash.update(method.as_bytes());
    hash.update([0]);
    hash.update(rest.encode_to_vec());
    let whole: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST_BYTES];
    for (byte, of) in digest.iter_mut().zip(whole) {
        *byte = of;
    }
    digest
}

fn seal_token(key: PageKey, digest: &[u8; DIGEST_BYTES]) -> String {
    let mut bytes = Vec::with_capacity(TOKEN_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(digest);
    bytes.extend_from_slice(&key.at.0.to_be_bytes());
    bytes.extend_from_slice(key.id.as_bytes());
    hex(&bytes)
}

fn open_token(token: &str, expected: &[u8; DIGEST_BYTES]) -> Option<PageKey> {
    let bytes: [u8; TOKEN_BYTES] = unhex(token)?;
    let (version, rest) = bytes.split_first()?;
    let (digest, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
    let (at, id) = rest.split_first_chunk::<8>()?;
    let sound = *version == VERSION && digest == expected;
    sound.then_some(PageKey {
        at: Micros(i64::from_be_bytes(*at)),
        id: Uuid::from_slice(id).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::FieldKind;
    use crate::grpc::pb::{self, ListCallsRequest};

    const FILTERABLE: Filterable = Filterable {
        fields: &[
            Field {
                name: "create_time",
                kind: FieldKind::Time,
            },
            Field {
                name: "actor",
                kind: FieldKind::Text,
            },
        ],
        renamed: &[("decided_time", "create_time")],
    };

    #[test]
    fn fields_are_filtered_by_the_names_of_the_messages() {
        let text = "NOT decided_time > \"2026-01-31T00:00:00Z\" AND actor = \"x\"";
        let shown = format!("{:?}", FILTERABLE.parse(text).unwrap());
        assert!(
            shown.contains("\"create_time\"") && shown.contains("\"actor\""),
            "{shown}"
        );
        assert!(!shown.contains("decided_time"), "{shown}");
        let text = "create_time > \"2026-01-31T00:00:00Z\"";
        assert_eq!(FILTERABLE.parse(text).unwrap_err().position, 1);
    }

    fn listing(filter: &str, token: &str) -> Result<Listing, Status> {
        let rest = ListCallsRequest {
            filter: filter.to_owned(),
            ..Default::default()
        };
        Listing::read("ListCalls", &rest, token, "", FILTERABLE)
    }

    #[test]
    fn a_token_opens_its_own_list_only() {
        let key = PageKey {
            at: Micros(-5),
            id: Uuid::from_bytes([7; 16]),
        };
        let first = listing("a", "").unwrap();
        let token_of = |next| {
            let page = Page {
                rows: Vec::<()>::new(),
                next,
            };
            let (shown, token) = first.answer(page, |()| (Micros(0), Uuid::nil()), |()| ());
            assert!(shown.is_empty());
            token
        };
        let token = token_of(Some(key));
        assert_eq!(listing("a", &token).unwrap().query(1).after, Some(key));
        for (filter, token) in [
            ("b", token.clone()),
            ("a", "x".to_owned()),
            ("a", token.replacen("01", "02", 1)),
            ("a", format!("{token}00")),
        ] {
            let status = listing(filter, &token).err().unwrap();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{token}");
        }
        assert_eq!(token_of(None), "");
    }

    /// Rows of half a mebibyte each: a page of ten is cut into messages that every client takes.
    #[test]
    fn a_page_ends_before_its_message_is_too_large() {
        let listing = listing("a", "").unwrap();
        let key = |row: &u8| (Micros(i64::from(*row)), Uuid::from_bytes([*row; 16]));
        let show = |row: u8| pb::RuleResult {
            rule: row.to_string(),
            reason: "x".repeat(512 * 1024),
            ..Default::default()
        };
        let page = |rows: Vec<u8>| Page { rows, next: None };
        let (first, token) = listing.answer(page((0..10).collect()), key, show);
        assert_eq!(first.len(), 5);
        let after = open_token(&token, &listing.digest).unwrap();
        assert_eq!((after.at, after.id), key(&4));
        let (rest, token) = listing.answer(page((5..10).collect()), key, show);
        assert_eq!((rest.len(), token.as_str()), (5, ""));
        let huge = |_: u8| pb::RuleResult {
            reason: "x".repeat(4 * 1024 * 1024),
            ..Default::default()
        };
        let (one, token) = listing.answer(page(vec![1, 2]), key, huge);
        assert_eq!(one.len(), 1, "never an empty page for ever");
        assert!(!token.is_empty());
    }

    #[test]
    fn page_sizes_are_bounded() {
        let read = |asked| page_size(&mut Fields::default(), asked).ok();
        assert_eq!(read(0), Some(100));
        assert_eq!(read(7), Some(7));
        assert_eq!(read(1000), Some(1000));
        assert_eq!(read(i32::MAX), Some(1000));
        assert_eq!(read(-1), None);
    }
}
