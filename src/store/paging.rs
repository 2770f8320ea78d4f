//! Lists: newest first, ties broken by id, so that pages have neither gaps nor repeats.

use uuid::Uuid;

use super::sql::Text;
use crate::domain::filter::{Field, FieldKind, Filter, Literal, Operator};
use crate::domain::ids::TenantId;
use crate::domain::time::Micros;

/// Most rows of one page, whatever is asked.
const PAGE_MAX: u32 = 1000;

/// What a list is asked for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Which rows.
    pub filter: Filter,
    /// How many at most; 1 to 1000.
    pub page_size: u32,
    /// Only what comes after this row.
    pub after: Option<PageKey>,
}

/// A row's place in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    /// The time it is sorted by.
    pub at: Micros,
    /// Its id.
    pub id: Uuid,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page starts; absent at the end.
    pub next: Option<PageKey>,
}

impl ListQuery {
    fn limit(&self) -> usize {
        self.page_size.clamp(1, PAGE_MAX) as usize
    }

    /// One row more than fits, to know whether there is another page.
    pub(super) fn one_more(&self) -> i64 {
        i64::try_from(self.limit())
            .unwrap_or(i64::MAX)
            .saturating_add(1)
    }

    /// The page from rows of which one more was asked for than fits; `key` tells a row's place.
    pub(super) fn page<R>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> (i64, Uuid)) -> Page<R> {
        let more = rows.len() > self.limit();
        rows.truncate(self.limit());
        let next = rows.last().filter(|_| more).map(|row| {
            let (at, id) = key(row);
            PageKey { at: Micros(at), id }
        });
        Page { rows, next }
    }
}

impl<T> Page<T> {
    /// The same page of other values.
    pub(super) fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let rows = self.rows.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Page {
            rows,
            next: self.next,
        })
    }
}

/// A field by which every list can be filtered.
pub(super) const CREATE_TIME: Field = field("create_time", FieldKind::Time);

/// A field of a list.
pub(super) const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind }
}

/// Adds the conditions of a list, after `… WHERE tenant_id = `, and its order. The id's column breaks ties.
pub(super) fn push_list<Q: Text>(
    query: &mut Q,
    tenant: &TenantId,
    list: &ListQuery,
    id: &'static str,
) {
    query.bind_text(&tenant.0);
    if let Some(after) = list.after {
        query.text(" AND (create_time, ").text(id).text(") < (");
        query
            .bind_number(after.at.0)
            .text(", ")
            .bind_uuid(after.id)
            .text(")");
    }
    query.text(" AND ");
    push_filter(query, &list.filter);
    query
        .text(" ORDER BY create_time DESC, ")
        .text(id)
        .text(" DESC LIMIT ");
    query.bind_number(list.one_more());
}

/// Adds a condition. Names of fields come from the closed sets of this module; everything else is bound. A field without
/// a value meets no comparison but `!=`, and so meets NOT of any other.
fn push_filter<Q: Text>(query: &mut Q, filter: &Filter) {
    match filter {
        Filter::Everything => {
            query.text("TRUE");
        }
        Filter::Compare {
            field,
            operator,
            literal: Literal::Member(word),
        } => {
            push_is(query, *operator);
            query
                .text(field)
                .text(" LIKE ")
                .bind_text(&among_words(word))
                .text(" ESCAPE '\\')");
        }
        Filter::Compare {
            field,
            operator,
            literal: Literal::Covered(word),
        } => {
            push_is(query, *operator);
            query
                .text(field)
                .text(" = '' OR ' ' || ")
                .text(field)
                .text(" || ' ' LIKE ")
                .bind_text(&among_words(word))
                .text(" ESCAPE '\\')");
        }
        Filter::Compare {
            field,
            operator,
            literal,
        } => {
            query.text(field).text(symbol(*operator));
            push_literal(query, literal);
        }
        Filter::And(parts) => push_joined(query, parts, " AND "),
        Filter::Or(parts) => push_joined(query, parts, " OR "),
        Filter::Not(part) => {
            query.text("NOT COALESCE((");
            push_filter(query, part);
            query.text("), FALSE)");
        }
    }
}

/// Opens what is asked of a set of words.
fn push_is<Q: Text>(query: &mut Q, operator: Operator) {
    query.text(if operator == Operator::NotEqual {
        "NOT ("
    } else {
        "("
    });
}

/// The pattern of a text with blanks between words, of which this is one.
fn among_words(word: &str) -> String {
    let pattern = word
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    format!("% {pattern} %")
}

fn push_joined<Q: Text>(query: &mut Q, parts: &[Filter], word: &'static str) {
    query.text("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            query.text(word);
        }
        push_filter(query, part);
    }
    query.text(")");
}

fn push_literal<Q: Text>(query: &mut Q, literal: &Literal) {
    match literal {
        Literal::Text(text) | Literal::Member(text) | Literal::Covered(text) => {
            query.bind_text(text)
        }
        Literal::Number(number) => query.bind_number(*number),
        Literal::Time(at) => query.bind_number(at.0),
        Literal::Uuid(id) => query.bind_uuid(*id),
        Literal::Key(key) => query.bind_bytes(key),
    };
}

const fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => " = ",
        Operator::NotEqual => " IS DISTINCT FROM ",
        Operator::Less => " < ",
        Operator::LessOrEqual => " <= ",
        Operator::Greater => " > ",
        Operator::GreaterOrEqual => " >= ",
    }
}
