//! Opening a store: connect, refuse settings that the promises cannot rest on, migrate, unlock.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::notice::Notices;
use super::statistics::Growth;
use super::vault::{Vault, make_key_file, read_key_file};
use super::{Pools, Result, Shared, Store, StoreConfig, StoreError, Turnstile, migrate};

/// How long one waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an opt-out waits for one: as many as may be under way at once have their turn within it though a commit takes
/// a twentieth of a second.
const URGENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections to PostgreSQL that only opt-outs take, beside `max_connections`. One holds its connection for half a second
/// at most, and waits for the barrier without it.
const URGENT_CONNECTIONS: u32 = 4;

/// How long SQLite waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that the one writer of SQLite keeps, in KiB as the pragma counts them when negative. With the default of 2 MiB a
/// batch reads what the one before has thrown out.
const WRITER_CACHE: &str = "-65536";

/// Rows that wait between the thread that reads SQLite and whoever asked: with the driver's 50 the two woke each other
/// several times for every batch.
const ROWS_WAITING: usize = 1024;

/// What every connection to PostgreSQL is set to, and must read back: a stopped worker frees its locks after 2 s; an
/// ordinary claim waits for a lock no longer than its permit could live; a peer that is gone is noticed.
const SESSION: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "2s"),
    ("lock_timeout", "1s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

pub(super) async fn open(config: &StoreConfig) -> Result<Store> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(StoreError::Setting(problems.join("; ")));
    }
    // Before anything is connected: a key file that others may read is refused whatever the database holds.
    let secret = read_key_file(&config.key_file)?;
    let pools = match config.url.split(':').next() {
        Some("sqlite") => open_sqlite(config).await?,
        _ => open_postgres(config).await?,
    };
    let check = stored_check(&pools).await?;
    let vault = match (secret, check) {
        (Some(secret), _) => Vault::new(&secret),
        (None, None) => Vault::new(&*make_key_file(&config.key_file)?),
        (None, Some(_)) => return Err(missing_key_file(&config.key_file)),
    };
    if claim_check(&pools, vault.check()).await? != vault.check() {
        return Err(wrong_key_file(&config.key_file));
    }
    let notices = match &pools {
        Pools::Sqlite { .. } => Notices::local(),
        Pools::Postgres { ordinary, .. } => {
            let own = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(ACQUIRE_TIMEOUT);
            Notices::listening(
                own.connect_with((*ordinary.connect_options()).clone())
                    .await?,
            )
            .await?
        }
    };
    let vault = Arc::new(vault);
    Ok(Store {
        shared: Arc::new(Shared {
            pools,
            vault,
            notices,
            growth: Growth::default(),
            door: None,
        }),
    })
}

fn missing_key_file(path: &Path) -> StoreError {
    StoreError::Setting(format!(
        "the key file `{}` is missing, but the database was made with one: put it back, or numbers and names in it \
         cannot be read",
        path.display()
    ))
}

fn wrong_key_file(path: &Path) -> StoreError {
    StoreError::Setting(format!(
        "the key file `{}` does not belong to this database: put back the one it was made with",
        path.display()
    ))
}

/// The check value of the key file that this database was made with.
async fn stored_check(pools: &Pools) -> Result<Option<Vec<u8>>> {
    const SQL: &str = "SELECT value FROM store_meta WHERE name = 'key_check'";
    Ok(match pools {
        Pools::Postgres { ordinary, .. } => {
            sqlx::query_scalar(SQL).fetch_optional(ordinary).await?
        }
        Pools::Sqlite { writer, .. } => sqlx::query_scalar(SQL).fetch_optional(writer).await?,
    })
}

/// Stores the check value if there is none yet, and answers the one that stands: of two nodes that start at once with
/// different key files, one is refused.
async fn claim_check(pools: &Pools, check: &[u8; 32]) -> Result<Vec<u8>> {
    const SQL: &str = "INSERT INTO store_meta (name, value) VALUES ('key_check', $1) ON CONFLICT (name) DO NOTHING";
    match pools {
        Pools::Postgres { ordinary, .. } => {
            sqlx::query(SQL)
                .bind(check.to_vec())
                .execute(ordinary)
                .await?;
        }
        Pools::Sqlite { writer, .. } => {
            sqlx::query(SQL)
                .bind(check.to_vec())
                .execute(writer)
                .await?;
        }
    }
    Ok(stored_check(pools).await?.unwrap_or_default())
}

/// The file of an SQLite URL. The path is taken as it is written: no percent-decoding, no parameters.
pub(super) fn sqlite_file(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty() && !path.contains(":memory:") && !path.contains('?')).then_some(path)
}

/// Makes a database file that is not there yet, readable by its owner alone; SQLite gives the files beside it the same
/// mode. What goes wrong here goes wrong again, and is told, when SQLite opens it.
fn make_private(path: &std::path::Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

async fn open_sqlite(config: &StoreConfig) -> Result<Pools> {
    let path = sqlite_file(&config.url).unwrap_or_default();
    make_private(std::path::Path::new(path));
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL may lose acknowledged commits on power loss, and gains nothing once commits are grouped.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_WAITING)
        .disable_statement_logging();
    survive_size_limit();
    // Once alone, where an error is told as it is; a pool tries again until its time runs out.
    let mut first = options.connect().await.map_err(cannot_open)?;
    assert_sqlite(&mut first).await?;
    first.close().await?;
    let writer = sqlite_pool(1, options.clone().pragma("cache_size", WRITER_CACHE)).await?;
    migrate::run(&migrate::sqlite(), &writer).await?;
    let readers = sqlite_pool(config.max_connections, options.pragma("query_only", "ON")).await?;
    Ok(Pools::Sqlite {
        writer,
        readers,
        turnstile: Turnstile::default(),
    })
}

async fn sqlite_pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, _| Box::pin(is_fit(conn)))
        .after_connect(|conn, _| Box::pin(assert_sqlite(conn)));
    pool.connect_with(options).await.map_err(cannot_open)
}

/// Whether a connection can begin a transaction. On a full disk SQLite rolls back by itself; the driver's own rollback
/// then fails, and it would take the connection to be within a transaction for ever.
async fn is_fit(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    if conn.is_in_transaction() {
        // A rollback that is under way is over when this is answered.
        conn.ping().await?;
    }
    Ok(!conn.is_in_transaction())
}

/// A limit on the size of files (`ulimit -f`) shall be an error of the write, as a full disk is, and not the end of the
/// process, which is what the signal does that nobody listens to.
fn survive_size_limit() {
    /// SIGXFSZ; the same on every platform that Rust calls tier 1.
    #[cfg(unix)]
    const SIGNAL: i32 = 25;
    #[cfg(unix)]
    if let Err(error) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGNAL))
    {
        tracing::warn!(%error, "a limit on the size of files would end this process");
    }
}

fn cannot_open(error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Unavailable(why) => {
            StoreError::Unavailable(format!("cannot open the database file: {why}"))
        }
        other => other,
    }
}

/// Reads back what was set: a file system without shared memory, for one, silently keeps another journal mode.
async fn assert_sqlite(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *conn)
        .await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut *conn)
        .await?;
    let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
        .fetch_one(&mut *conn)
        .await?;
    let busy_timeout: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
        .fetch_one(&mut *conn)
        .await?;
    let waits = u128::try_from(busy_timeout) == Ok(BUSY_TIMEOUT.as_millis());
    if journal == "wal" && synchronous == 2 && foreign_keys == 1 && waits {
        return Ok(());
    }
    Err(sqlx::Error::Configuration(
        format!(
            "SQLite did not take journal_mode=WAL, synchronous=FULL, foreign_keys=ON, busy_timeout (it has {journal}, \
             {synchronous}, {foreign_keys}, {busy_timeout}): use a local file system"
        )
        .into(),
    ))
}

async fn open_postgres(config: &StoreConfig) -> Result<Pools> {
    let options = PgConnectOptions::from_str(&config.url)?
        .application_name("dialgate")
        .disable_statement_logging();
    // Migrations may wait for each other longer than a claim may for a lock, so they have a connection of their own.
    let mut first = PgConnection::connect_with(&options).await?;
    assert_server(&mut first).await?;
    migrate::run(&migrate::postgres(), &mut first).await?;
    set_session(&mut first).await?;
    first.close().await?;
    let ordinary = postgres_pool(config.max_connections, ACQUIRE_TIMEOUT, options.clone()).await?;
    assert_isolation(&ordinary).await?;
    let urgent = postgres_pool(URGENT_CONNECTIONS, URGENT_TIMEOUT, options).await?;
    Ok(Pools::Postgres { ordinary, urgent })
}

async fn postgres_pool(
    connections: u32,
    patience: Duration,
    options: PgConnectOptions,
) -> Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(|conn, _| Box::pin(set_session(conn)));
    Ok(pool.connect_with(options).await?)
}

/// Refuses a server under which an acknowledged commit may be lost.
async fn assert_server(conn: &mut PgConnection) -> Result<()> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .fetch_one(&mut *conn)
        .await?;
    if version < 150_000 {
        let told = format!(
            "PostgreSQL must be of version 15 or newer, this one is of {}",
            version / 10_000
        );
        return Err(StoreError::Setting(told));
    }
    for (name, accepted) in [
        // `remote_write` and `local` promise less than `on`; `remote_apply` promises more.
        ("synchronous_commit", ["on", "remote_apply"].as_slice()),
        ("fsync", &["on"]),
        ("full_page_writes", &["on"]),
    ] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut *conn)
            .await?;
        if !accepted.contains(&value.as_str()) {
            return Err(StoreError::Setting(format!(
                "PostgreSQL runs with {name}={value}, under which an acknowledged opt-out may be lost: set it to on"
            )));
        }
    }
    Ok(())
}

/// Sets what every connection needs and reads it back, all in one statement: when a node that stood still makes its
/// connections anew, everybody waits for this.
async fn set_session(conn: &mut PgConnection) -> sqlx::Result<()> {
    // A Unix socket has no keep-alive and always reads back 0.
    const SQL: &str = r"SELECT name, wanted, set_config(name, wanted, FALSE) FROM UNNEST($1::text[], $2::text[]) AS t (name, wanted)
        WHERE inet_client_addr() IS NOT NULL OR name NOT LIKE 'tcp\_%'";
    let (names, wanted): (Vec<&str>, Vec<&str>) = SESSION.into_iter().unzip();
    let set: Vec<(String, String, String)> = sqlx::query_as(SQL)
        .bind(names)
        .bind(wanted)
        .fetch_all(&mut *conn)
        .await?;
    for (name, wanted, got) in set {
        if got != wanted {
            let told = format!("PostgreSQL did not take {name}={wanted} and stays with {got}");
            return Err(sqlx::Error::Configuration(told.into()));
        }
    }
    Ok(())
}

/// READ COMMITTED, and no more: under REPEATABLE READ a claim would not see the opt-out it had waited for.
async fn assert_isolation(pool: &PgPool) -> Result<()> {
    let mut tx = pool
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        .await?;
    let level: String = sqlx::query_scalar("SELECT current_setting('transaction_isolation')")
        .fetch_one(&mut *tx)
        .await?;
    if level != "read committed" {
        let told = format!(
            "PostgreSQL gives transactions the isolation level {level} instead of read committed"
        );
        return Err(StoreError::Setting(told));
    }
    Ok(())
}
