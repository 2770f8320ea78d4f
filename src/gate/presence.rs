//! Who is at a call: the streams by which whoever placed it follows it on this node, and since when there has been none.
//!
//! A person who picks up must not find nobody there. So a call that was followed, and is not any more, is ended after a grace
//! period as if its agent had hung up. The node where the last stream broke decides, on its own clock; what it has to know of
//! other nodes, where the client may have come back, stands in the store (`call_attendants`), and only while there are others.
//! The worker looks at all of this (`dialer/unattended.rs`). A call that nobody ever followed goes on, unless that was asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::domain::call::{EventDetail, EventKind};
use crate::domain::ids::{AuditEntryId, CallId, Incarnation, TenantId};
use crate::domain::time::Mono;
use crate::store::{AuditEntry, NewEvent, Notice, Urgency};

use super::error::GateError;
use super::{Gate, ReadClocks};

/// What the history of a call says that is ended for want of an agent.
const UNATTENDED: &str =
    "nobody follows the call any more; it is ended as if the agent had hung up";

/// The calls that are followed on this node, and those that were until a moment ago.
#[derive(Debug, Default)]
pub struct Presence {
    book: Mutex<BTreeMap<CallId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    tenant: TenantId,
    streams: usize,
    /// Since when there has been no stream.
    alone_since: Option<Mono>,
    /// The store has a row of ours, for other nodes.
    told: bool,
    /// The call is over, or somebody else cares for it: only the row is left to be taken back.
    over: bool,
}

/// What other nodes are to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PresenceChanges {
    /// Calls that are followed here.
    pub come: Vec<(TenantId, CallId)>,
    /// Calls that are not any more.
    pub gone: Vec<CallId>,
}

impl PresenceChanges {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.come.is_empty() && self.gone.is_empty()
    }
}

impl Presence {
    fn book(&self) -> MutexGuard<'_, BTreeMap<CallId, Entry>> {
        // Whole after a panic: each change is one insertion, removal or assignment.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn come(&self, tenant: &TenantId, call_id: CallId) {
        let mut book = self.book();
        let entry = book.entry(call_id).or_insert_with(|| Entry {
            tenant: tenant.clone(),
            streams: 0,
            alone_since: None,
            told: false,
            over: false,
        });
        entry.streams += 1;
        entry.alone_since = None;
        entry.over = false;
    }

    fn go(&self, call_id: CallId, is_over: bool, now: Mono) {
        let mut book = self.book();
        let Some(entry) = book.get_mut(&call_id) else {
            return;
        };
        entry.streams = entry.streams.saturating_sub(1);
        if entry.streams > 0 {
            return;
        }
        entry.alone_since = Some(now);
        entry.over = is_over;
        if is_over && !entry.told {
            book.remove(&call_id);
        }
    }

    /// Whether a stream follows it here.
    #[must_use]
    pub fn is_followed(&self, call_id: CallId) -> bool {
        let book = self.book();
        book.get(&call_id).is_some_and(|entry| entry.streams > 0)
    }

    /// The calls that nobody has followed here for so long.
    #[must_use]
    pub fn alone(&self, grace: Duration, now: Mono) -> Vec<(TenantId, CallId)> {
        let book = self.book();
        let alone = book.iter().filter(|(_, entry)| {
            let since = entry.alone_since;
            !entry.over && since.is_some_and(|since| now.since(since) >= grace)
        });
        alone
            .map(|(call_id, entry)| (entry.tenant.clone(), *call_id))
            .collect()
    }

    /// It is cared for, unless somebody follows it again.
    pub fn forget(&self, call_id: CallId) {
        let mut book = self.book();
        if let Some(entry) = book.get_mut(&call_id).filter(|entry| entry.streams == 0) {
            entry.over = true;
            if !entry.told {
                book.remove(&call_id);
            }
        }
    }

    /// What other nodes are to be told, if there are any.
    #[must_use]
    pub fn changes(&self, has_peers: bool) -> PresenceChanges {
        let mut changes = PresenceChanges::default();
        for (call_id, entry) in self.book().iter() {
            match (entry.streams > 0, entry.told) {
                (true, false) if has_peers => changes.come.push((entry.tenant.clone(), *call_id)),
                (false, true) => changes.gone.push(*call_id),
                _ => {}
            }
        }
        changes
    }

    /// They were told.
    pub fn told(&self, changes: &PresenceChanges) {
        let mut book = self.book();
        for (_, call_id) in &changes.come {
            if let Some(entry) = book.get_mut(call_id) {
                entry.told = true;
            }
        }
        for call_id in &changes.gone {
            if let Some(entry) = book.get_mut(call_id) {
                entry.told = false;
                if entry.over {
                    book.remove(call_id);
                }
            }
        }
    }
}

/// A stream by which a call is followed; dropped, it has broken.
pub struct Attendance {
    presence: Arc<Presence>,
    call_id: CallId,
    read: ReadClocks,
    is_over: bool,
}

impl Attendance {
    /// The call's last event was sent: nobody is missed any more.
    pub fn over(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let now = (self.read)().mono;
        self.presence.go(self.call_id, self.is_over, now);
    }
}

impl Gate {
    /// Somebody who placed this call follows it from now on.
    #[must_use]
    pub fn attend(&self, tenant: &TenantId, call_id: CallId) -> Attendance {
        let presence = Arc::clone(&self.core.presence);
        presence.come(tenant, call_id);
        Attendance {
            presence,
            call_id,
            read: Arc::clone(&self.core.read),
            is_over: false,
        }
    }

    /// Somebody is going to follow this call, or it is ended.
    pub fn await_attendance(&self, tenant: &TenantId, call_id: CallId) {
        drop(self.attend(tenant, call_id));
    }

    /// Who is at which call on this node.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.core.presence
    }

    /// Ends a call that nobody follows by way of this process any more, unless somebody does by way of another; tells whether
    /// it did.
    pub async fn end_unattended(
        &self,
        tenant: &TenantId,
        call_id: CallId,
        process: Incarnation,
    ) -> Result<bool, GateError> {
        let at = self.read().wall;
        let mut tx = self.store().write(Urgency::Ordinary).await?;
        let Some(call) = tx.call(tenant, call_id).await? else {
            return Ok(false);
        };
        if call.state.is_final() || tx.is_attended_elsewhere(call_id, process).await? {
            return Ok(false);
        }
        let why = NewEvent {
            call_id,
            at,
            kind: EventKind::Note,
            detail: EventDetail {
                note: Some(UNATTENDED.to_owned()),
                ..EventDetail::default()
            },
            state: None,
            close_permit: None,
        };
        tx.record_event(tenant, &why).await?;
        tx.request_hang_up(tenant, call_id, at).await?;
        let entry = AuditEntry {
            entry_id: AuditEntryId::new(at),
            kind: "call.unattended".to_owned(),
            actor: "system".to_owned(),
            subject_key: Some(call.number_key.0),
            payload: json!({ "call_id": call_id }),
            at,
        };
        tx.insert_audit(tenant, &[entry]).await?;
        tx.commit().await?;
        tracing::info!(call.id = %call_id, "nobody follows the call any more; ending it");
        if let Err(error) = self.store().notify(&Notice::CallChanged(call_id)).await {
            tracing::debug!(call.id = %call_id, %error, "the worker was not told; it looks by itself");
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    const GRACE: Duration = Duration::from_secs(5);

    fn at(millis: u64) -> Mono {
        Mono(Duration::from_millis(millis))
    }

    fn call() -> (TenantId, CallId) {
        (TenantId::default(), CallId::new(Micros(1)))
    }

    #[test]
    fn a_call_is_alone_once_its_last_stream_has_been_gone_for_the_grace_period() {
        let (presence, (tenant, id)) = (Presence::default(), call());
        presence.come(&tenant, id);
        presence.come(&tenant, id);
        presence.go(id, false, at(0));
        assert!(presence.is_followed(id));
        assert_eq!(presence.alone(GRACE, at(9_000)), []);
        presence.go(id, false, at(1_000));
        assert!(!presence.is_followed(id));
        assert_eq!(presence.alone(GRACE, at(5_999)), []);
        assert_eq!(presence.alone(GRACE, at(6_000)), [(tenant.clone(), id)]);
        // Somebody came back at the last moment, and the period begins anew when they go.
        presence.come(&tenant, id);
        assert_eq!(presence.alone(GRACE, at(60_000)), []);
        presence.forget(id);
        assert!(presence.is_followed(id), "who follows is not forgotten");
        presence.go(id, false, at(60_000));
        assert_eq!(presence.alone(GRACE, at(64_999)), []);
        assert_eq!(presence.alone(GRACE, at(65_000)), [(tenant, id)]);
        presence.forget(id);
        assert!(presence.book().is_empty());
    }

    #[test]
    fn nobody_is_missed_when_the_call_is_over() {
        let (presence, (tenant, id)) = (Presence::default(), call());
        presence.come(&tenant, id);
        presence.go(id, true, at(0));
        assert!(presence.book().is_empty());
    }

    #[test]
    fn others_are_told_once_of_each_change_and_only_if_there_are_any() {
        let (presence, (tenant, id)) = (Presence::default(), call());
        presence.come(&tenant, id);
        assert!(presence.changes(false).is_empty());
        let changes = presence.changes(true);
        assert_eq!(changes.come, [(tenant.clone(), id)]);
        assert_eq!(presence.changes(true), changes, "it is not written yet");
        presence.told(&changes);
        assert!(presence.changes(true).is_empty());
        // It is taken back also when the others are gone.
        presence.go(id, true, at(0));
        let changes = presence.changes(false);
        assert_eq!((changes.come.len(), &changes.gone), (0, &vec![id]));
        presence.told(&changes);
        assert!(presence.book().is_empty());
        // Who came back while that was written down is told again.
        presence.come(&tenant, id);
        presence.told(&presence.changes(true));
        presence.go(id, false, at(0));
        let changes = presence.changes(true);
        presence.come(&tenant, id);
        presence.told(&changes);
        assert_eq!(presence.changes(true).come, [(tenant, id)]);
    }
}
