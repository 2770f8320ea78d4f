//! Tasks without which a node would only seem to live. It stands below all that start one, and knows none of them.

/// Runs such a task. If it panics, the process ends: its supervisor starts it anew, and another node's sweeper closes what it
/// left.
pub async fn vital(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = tokio::spawn(task).await
        && error.is_panic()
    {
        tracing::error!(
            task = name,
            "a task that the node cannot do without has failed; ending the process"
        );
        std::process::abort();
    }
}
