//! Wake-up calls between nodes: PostgreSQL's NOTIFY, and a channel within the process. Hints only: losing one costs the
//! time until the next poll, never safety (docs/ARCHITECTURE.md, the barrier). No readable number travels here.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::Result;
use crate::domain::ids::CallId;
use crate::domain::phone::NumberKey;

/// The channel of NOTIFY.
const CHANNEL: &str = "dialgate";

/// How long to wait before the listener tries again after an error.
const RETRY: Duration = Duration::from_millis(250);

/// A hint that something changed; the truth is always read from the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// An opt-out covers this number.
    OptOut(NumberKey),
    /// An opt-out of a wider scope than one number.
    OptOutWide,
    /// A call waits for a worker.
    CallQueued,
    /// A register has another snapshot.
    RegisterChanged,
    /// A call has a new event or a wish to end it.
    CallChanged(CallId),
}

impl Notice {
    fn encode(self, sender: Uuid) -> String {
        let body = match self {
            Self::OptOut(key) => format!("opt-out {}", key.hex()),
            Self::OptOutWide => "opt-out-wide".to_owned(),
            Self::CallQueued => "queued".to_owned(),
            Self::RegisterChanged => "register".to_owned(),
            Self::CallChanged(call) => format!("changed {call}"),
        };
        format!("{sender} {body}")
    }

    /// The sender and the notice; none for what a newer release may send.
    fn decode(text: &str) -> Option<(Uuid, Self)> {
        let mut words = text.split(' ');
        let sender = words.next()?.parse().ok()?;
        let notice = match (words.next()?, words.next()) {
            ("opt-out", Some(key)) => Self::OptOut(NumberKey::from_hex(key)?),
            ("opt-out-wide", None) => Self::OptOutWide,
            ("queued", None) => Self::CallQueued,
            ("register", None) => Self::RegisterChanged,
            ("changed", Some(call)) => Self::CallChanged(call.parse().ok()?),
            _ => return None,
        };
        Some((sender, notice))
    }
}

/// The notices of one process.
pub(super) struct Notices {
    local: broadcast::Sender<Notice>,
    /// Tells our own notifications, delivered within the process already, from those of others.
    sender: Uuid,
    listener: Option<tokio::task::JoinHandle<()>>,
}

impl Notices {
    /// Notices within this process only.
    pub(super) fn local() -> Self {
        Self {
            local: broadcast::Sender::new(1024),
            sender: Uuid::new_v4(),
            listener: None,
        }
    }

    /// Notices from every process on this database. The pool is the listener's own: it holds one connection for ever.
    pub(super) async fn listening(pool: PgPool) -> Result<Self> {
        let mut notices = Self::local();
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        let (local, sender) = (notices.local.clone(), notices.sender);
        notices.listener = Some(tokio::spawn(listen(listener, local, sender)));
        Ok(notices)
    }

    /// Sends within this process.
    pub(super) fn send(&self, notice: Notice) {
        // Nobody listening is no error: the tables hold the truth.
        let _ = self.local.send(notice);
    }

    /// Sends to every other process.
    pub(super) async fn send_far(&self, pool: &PgPool, notice: Notice) -> Result<()> {
        const SQL: &str = "SELECT pg_notify($1, $2)";
        sqlx::query(SQL)
            .bind(CHANNEL)
            .bind(notice.encode(self.sender))
            .execute(pool)
            .await?;
        Ok(())
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.local.subscribe()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn listen(mut listener: PgListener, local: broadcast::Sender<Notice>, own: Uuid) {
    loop {
        match listener.try_recv().await {
            Ok(Some(notification)) => {
                if let Some((sender, notice)) = Notice::decode(notification.payload())
                    && sender != own
                {
                    let _ = local.send(notice);
                }
            }
            // The connection was lost and with it perhaps notices: whoever waits looks for themselves.
            Ok(None) => {
                let _ = local.send(Notice::OptOutWide);
                let _ = local.send(Notice::CallQueued);
            }
            Err(error) => {
                tracing::warn!(%error, "the database's notifications are interrupted; polling goes on");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    #[test]
    fn notices_survive_the_wire() {
        let sender = Uuid::new_v4();
        for notice in [
            Notice::OptOut(NumberKey([9; 32])),
            Notice::OptOutWide,
            Notice::CallQueued,
            Notice::RegisterChanged,
            Notice::CallChanged(CallId::new(Micros(5))),
        ] {
            assert_eq!(
                Notice::decode(&notice.encode(sender)),
                Some((sender, notice))
            );
        }
        for foreign in [
            "",
            "x",
            "x queued",
            &format!("{sender} something new"),
            &format!("{sender} opt-out 12"),
        ] {
            assert_eq!(Notice::decode(foreign), None, "{foreign}");
        }
    }
}
