//! The machinery of "two databases, one text": one expression run against either driver, rows that both can fill, many
//! rows in one statement, and the few pieces of text that must differ.

use sqlx::{Postgres, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::seats::agent_free;

/// Most rows of one multi-row VALUES: SQLite gains nothing above it.
const ROWS_A_STATEMENT: usize = 64;

/// The rows in portions of 64, 32, 16 … 1: so few texts that each stays prepared, whatever the size of the batch.
pub(super) fn portions<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let most = rows.len().checked_ilog2().map_or(0, |power| 1 << power);
        let (portion, rest) = rows.split_at_checked(most.min(ROWS_A_STATEMENT))?;
        rows = rest;
        (!portion.is_empty()).then_some(portion)
    })
}

/// The values, the last of them again and again up to a power of two: it changes no answer, and so few texts stay
/// prepared.
fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let marks = if values.is_empty() {
        0
    } else {
        values.len().next_power_of_two()
    };
    values
        .iter()
        .chain(values.last().into_iter().cycle())
        .take(marks)
}

/// Runs one expression against whichever driver is behind the transaction; or one for each, side by side. `Db` is the
/// driver's type within the expression.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        $crate::store::sql::on!($tx, postgres | $conn | $body, sqlite | $conn | $body)
    };
    ($tx:expr, postgres |$pg:ident| $on_postgres:expr, sqlite |$lite:ident| $on_sqlite:expr) => {{
        let result = match &mut $tx.inner {
            $crate::store::Inner::Postgres(inner) => {
                #[allow(
                    dead_code,
                    reason = "only statements that are put together name their driver"
                )]
                type Db = sqlx::Postgres;
                let $pg = &mut **inner;
                $on_postgres
            }
            $crate::store::Inner::Sqlite(inner) => {
                #[allow(
                    dead_code,
                    reason = "only statements that are put together name their driver"
                )]
                type Db = sqlx::Sqlite;
                let $lite = &mut **inner;
                $on_sqlite
            }
        };
        $tx.settle(result)
    }};
}

/// Declares a row that both drivers can fill, and the list of its columns.
macro_rules! row {
    ($name:ident { $first:ident: $first_type:ty $(, $field:ident: $type:ty)* $(,)? }) => {
        pub(super) struct $name {
            pub(super) $first: $first_type,
            $(pub(super) $field: $type,)*
        }

        impl $name {
            #[allow(dead_code, reason = "not every row is selected through the shared list")]
            pub(super) const COLUMNS: &'static str = concat!(stringify!($first) $(, ", ", stringify!($field))*);
        }

        $crate::store::sql::row!(@from sqlx::postgres::PgRow, $name, $first $(, $field)*);
        $crate::store::sql::row!(@from sqlx::sqlite::SqliteRow, $name, $first $(, $field)*);
    };
    (@from $row:ty, $name:ident, $($field:ident),+) => {
        impl sqlx::FromRow<'_, $row> for $name {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)+ })
            }
        }
    };
}

/// Inserts many rows with one list of columns: UNNEST of arrays on PostgreSQL, multi-row VALUES on SQLite. Answers how
/// many rows there are more.
macro_rules! insert_rows {
    ($tx:expr, $table:literal, $rows:expr, |$row:ident| {
        $first:ident: $first_type:literal = $first_value:expr
        $(, $column:ident: $type:literal = $value:expr)* $(,)?
    } $(, $tail:literal)?) => {{
        const HEAD: &str = concat!(
            "INSERT INTO ", $table, " (", stringify!($first) $(, ", ", stringify!($column))*, ") "
        );
        let rows = $rows;
        $crate::store::sql::on!($tx, postgres |conn| if rows.is_empty() { Ok(0) } else {
            let mut query = sqlx::QueryBuilder::<sqlx::Postgres>::new(HEAD);
            query.push("SELECT * FROM UNNEST(");
            query.push_bind(rows.iter().map(|$row| { let _ = $row; $first_value }).collect::<Vec<_>>());
            query.push(concat!("::", $first_type, "[]"));
            $(
                query.push(", ");
                query.push_bind(rows.iter().map(|$row| { let _ = $row; $value }).collect::<Vec<_>>());
                query.push(concat!("::", $type, "[]"));
            )*
            query.push(")");
            $(query.push($tail);)?
            query.build().execute(conn).await.map(|done| done.rows_affected())
        }, sqlite |conn| async {
            let mut added = 0;
            for chunk in $crate::store::sql::portions(&rows[..]) {
                let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(HEAD);
                query.push_values(chunk, |mut values, $row| {
                    values.push_bind($first_value);
                    $(values.push_bind($value);)*
                });
                // SQLite reads ON CONFLICT after SELECT as a join; after VALUES it needs no help.
                $(query.push($tail);)?
                added += query.build().execute(&mut *conn).await?.rows_affected();
            }
            Ok::<u64, sqlx::Error>(added)
        }.await)
    }};
}

pub(super) use {insert_rows, on, row};

/// What is pushed alike onto either driver's builder, and the few pieces that differ.
pub(super) trait Text {
    /// Literal text.
    fn text(&mut self, sql: &'static str) -> &mut Self;
    /// A mark for a text.
    fn bind_text(&mut self, value: &str) -> &mut Self;
    /// A mark for a number.
    fn bind_number(&mut self, value: i64) -> &mut Self;
    /// A mark for an identifier.
    fn bind_uuid(&mut self, value: Uuid) -> &mut Self;
    /// A mark for bytes.
    fn bind_bytes(&mut self, value: &[u8]) -> &mut Self;
    /// ` = ANY(…)` or ` IN (…)`, for a list that may be empty.
    fn among_uuids(&mut self, values: &[Uuid]) -> &mut Self;
    /// The same for keys.
    fn among_keys(&mut self, values: &[Vec<u8>]) -> &mut Self;
    /// ` = ANY(…)` or ` IN (…)` of the oldest queued calls of a campaign, without those that another worker is taking.
    fn among_queued(&mut self, campaign: &str, limit: i64) -> &mut Self;
    /// A table `t (column1, column2, column3)` of these triples; at least one.
    fn table_of(&mut self, rows: &[(Uuid, i64, Uuid)]) -> &mut Self;
}

macro_rules! alike {
    () => {
        fn text(&mut self, sql: &'static str) -> &mut Self {
            self.push(sql)
        }
        fn bind_text(&mut self, value: &str) -> &mut Self {
            self.push_bind(value.to_owned())
        }
        fn bind_number(&mut self, value: i64) -> &mut Self {
            self.push_bind(value)
        }
        fn bind_uuid(&mut self, value: Uuid) -> &mut Self {
            self.push_bind(value)
        }
        fn bind_bytes(&mut self, value: &[u8]) -> &mut Self {
            self.push_bind(value.to_vec())
        }
    };
}

impl Text for QueryBuilder<Postgres> {
    alike!();

    fn among_uuids(&mut self, values: &[Uuid]) -> &mut Self {
        self.push(" = ANY(").push_bind(values.to_vec()).push(")")
    }
    fn among_keys(&mut self, values: &[Vec<u8>]) -> &mut Self {
        self.push(" = ANY(").push_bind(values.to_vec()).push(")")
    }
    fn among_queued(&mut self, campaign: &str, limit: i64) -> &mut Self {
        // ARRAY, so that the rows are picked once: a plain IN may be planned as a join that picks again.
        self.push(
            " = ANY(ARRAY(SELECT call_id FROM calls WHERE queue_state = 'queued' AND campaign_id = ",
        )
        .push_bind(campaign.to_owned())
        .push(agent_free!())
        .push(" ORDER BY create_time, call_id LIMIT ")
        .push_bind(limit)
        .push(" FOR UPDATE SKIP LOCKED))")
    }
    fn table_of(&mut self, rows: &[(Uuid, i64, Uuid)]) -> &mut Self {
        self.push("UNNEST(")
            .push_bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
            .push(", ")
            .push_bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
            .push(", ")
            .push_bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
            .push(") AS t (column1, column2, column3)")
    }
}

impl Text for QueryBuilder<Sqlite> {
    alike!();

    fn among_uuids(&mut self, values: &[Uuid]) -> &mut Self {
        self.push(" IN (");
        let mut list = self.separated(", ");
        for value in padded(values) {
            list.push_bind(*value);
        }
        self.push(")")
    }
    fn among_keys(&mut self, values: &[Vec<u8>]) -> &mut Self {
        self.push(" IN (");
        let mut list = self.separated(", ");
        for value in padded(values) {
            list.push_bind(value.clone());
        }
        self.push(")")
    }
    fn among_queued(&mut self, campaign: &str, limit: i64) -> &mut Self {
        self.push(" IN (SELECT call_id FROM calls WHERE queue_state = 'queued' AND campaign_id = ")
            .push_bind(campaign.to_owned())
            .push(agent_free!())
            .push(" ORDER BY create_time, call_id LIMIT ")
            .push_bind(limit)
            .push(")")
    }
    fn table_of(&mut self, rows: &[(Uuid, i64, Uuid)]) -> &mut Self {
        self.push("(");
        self.push_values(rows, |mut values, row| {
            values.push_bind(row.0).push_bind(row.1).push_bind(row.2);
        });
        self.push(") AS t")
    }
}
