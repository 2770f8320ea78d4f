//! The beginning of a transaction on PostgreSQL, which has to come to its end also where nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use sqlx::postgres::PgPool;
use sqlx::{Postgres, SqlSafeStr as _, Transaction};

use super::Result;

type Begun = sqlx::Result<Transaction<'static, Postgres>>;

/// Begins a transaction on a connection of the pool.
pub(super) async fn begin(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>> {
    let connection = pool.acquire().await?;
    let begun = Transaction::begin(connection, Some(statement.into_sql_str()));
    Ok(Completed(Some(begun)).await?)
}

/// A BEGIN that goes on by itself when it is dropped, and rolls back then. The driver counts a transaction only once BEGIN was
/// answered. One that was dropped before went back to the pool with a transaction open that the driver did not know of, and
/// there a BEGIN of the other kind, after anything that had read, failed within it: so did every request that met this
/// connection from then on.
struct Completed(Option<Pin<Box<dyn Future<Output = Begun> + Send>>>);

impl Future for Completed {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Begun> {
        let Some(begun) = self.0.as_mut() else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(begun.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for Completed {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            tokio::spawn(begun);
        }
    }
}
