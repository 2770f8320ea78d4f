//! Webhooks and how far they are.

use crate::domain::time::Micros;
use crate::gate::WebhookStatus;
use crate::grpc::pb;

use super::{text, time_option, wire};

/// A webhook as it stands at this instant.
pub(in crate::grpc) fn webhook(status: WebhookStatus, now: Micros) -> pb::Webhook {
    let overdue = status.is_overdue(now);
    let progress = status.progress;
    pb::Webhook {
        name: progress.name,
        configured: status.configured,
        state: wire(progress.state),
        delivered_position: progress.delivered,
        pending_changes: status.lag.changes,
        oldest_pending_time: time_option(status.lag.oldest_at),
        overdue,
        failed_tries: progress.tries,
        failing_since_time: time_option(progress.failing_since),
        next_try_time: time_option(progress.next_try_at),
        last_problem: text(progress.last_problem),
        last_delivery_time: time_option(progress.delivered_at),
    }
}
