//! The console over real sockets: a listener in this process on a loopback port, over a store of its own. Time stands still.

/// Runs each of these functions of the file on both engines.
macro_rules! on_both {
    ($($case:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(crate::support::builders::TestStore::sqlite().await).await;
                }
            )+
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(store) = crate::support::builders::TestStore::postgres().await {
                        super::$case(store).await;
                    }
                }
            )+
        }
    };
}

mod figures;
mod forms;
mod house;
mod refused;
