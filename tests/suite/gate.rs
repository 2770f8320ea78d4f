//! The gate over a real store: what it lets through, what it refuses, and the joint between claims and opt-outs. Each
//! test runs on both databases.

mod accounts;
mod barrier;
pub mod bench;
mod caller_ids;
mod caps;
mod claims;
mod consent_imports;
mod dealings;
mod follows;
mod imports;
mod introduction;
mod numbers;
mod people;
mod places;
mod policy;
mod providers;
mod registers;
mod scrub;
mod stops;
mod twins;

/// Runs a test on SQLite always, and on PostgreSQL wherever its programs are installed.
macro_rules! on_both {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        mod $name {
            use crate::gate::bench::Bench;
            use crate::support::builders::TestStore;

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::tests::$name(Bench::over(TestStore::sqlite().await).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(store) = TestStore::postgres().await {
                    super::tests::$name(Bench::over(store).await).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;
