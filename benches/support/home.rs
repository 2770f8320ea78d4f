//! Stores to measure on, and the same databases without dialgate in between.

use std::path::Path;

use dialgate::store::{Store, StoreConfig};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tempfile::TempDir;

use super::postgres;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Those that are installed; or of them the one that the environment names.
    pub fn all() -> Vec<Self> {
        let named = std::env::var("DIALGATE_BENCH_STORE").ok();
        let is_wanted = |engine: &Self| named.as_ref().is_none_or(|name| name == engine.name());
        let postgres = postgres::newest_programs().map(|_| Self::Postgres);
        [Some(Self::Sqlite), postgres]
            .into_iter()
            .flatten()
            .filter(is_wanted)
            .collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A new database in a temporary folder, its schema made.
pub struct Home {
    pub engine: Engine,
    pub folder: TempDir,
    pub config: StoreConfig,
    pub store: Store,
}

impl Home {
    pub async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::Sqlite => {
                format!("sqlite://{}", folder.path().join("dialgate.db").display())
            }
            Engine::Postgres => tokio::task::spawn_blocking(postgres::database)
                .await
                .unwrap()
                .unwrap(),
        };
        let config = StoreConfig {
            url,
            key_file: folder.path().join("numbers.key"),
            max_connections: 8,
        };
        let store = Store::open(&config).await.unwrap();
        Self {
            engine,
            folder,
            config,
            store,
        }
    }

    /// The database by itself, as durable as dialgate opens it.
    pub async fn bare(&self) -> Bare {
        match self.engine {
            Engine::Sqlite => {
                let path = self.config.url.strip_prefix("sqlite://").unwrap();
                let options = SqliteConnectOptions::new()
                    .filename(Path::new(path))
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .pragma("cache_size", "-65536")
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new().max_connections(1);
                Bare::Sqlite(pool.connect_with(options).await.unwrap())
            }
            Engine::Postgres => {
                let pool = PgPoolOptions::new().max_connections(1);
                Bare::Postgres(pool.connect(&self.config.url).await.unwrap())
            }
        }
    }

    /// The server process of PostgreSQL.
    pub fn server(&self) -> Option<u32> {
        let socket = self.config.url.split_once("?host=")?.1;
        let file = Path::new(socket).join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        Some(text.lines().next().unwrap().trim().parse().unwrap())
    }
}

pub enum Bare {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs one expression against whichever driver it is.
macro_rules! on {
    ($bare:expr, |$pool:ident| $body:expr) => {
        match $bare {
            $crate::support::home::Bare::Sqlite($pool) => $body,
            $crate::support::home::Bare::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on;

pub fn sqlite_version() -> String {
    super::block_on(async {
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&pool)
            .await
            .unwrap()
    })
}
