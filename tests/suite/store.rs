//! The store's contract: one suite, run on SQLite always and on PostgreSQL wherever it is installed. Every public function
//! of a transaction is named here (`tests/tidy.rs` looks).

/// Runs each of these functions of the file on both engines.
macro_rules! contract {
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

mod accounts;
mod agents;
mod attempts;
mod attendants;
mod calls;
mod changes;
mod dealings;
mod decisions;
mod engines;
mod follows;
mod imports;
mod instructions;
mod log;
mod people;
mod plans;
mod policy;
mod privacy;
mod registers;
mod schema;
mod scrub_results;
mod suppressions;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dialgate::domain::access::{ApiKey, Role};
use dialgate::domain::call::{Call, CallKind, CallState, EventDetail, EventKind, Outcome, Purpose};
use dialgate::domain::consent::ConsentAction;
use dialgate::domain::disposition::{AttemptResult, Disposition, DispositionCode};
use dialgate::domain::filter::{Field, Filter};
use dialgate::domain::ids::{
    ApiKeyId, AttemptId, AuditEntryId, CallId, ConsentEventId, DecisionId, DispositionId,
    Incarnation, PartyId, RequestId, SuppressionId, TenantId,
};
use dialgate::domain::party::{
    Audience, LineType, ReassignedAnswer, ReassignedCheck, RegisterCheck,
};
use dialgate::domain::phone::{NumberKey, Phone};
use dialgate::domain::suppression::{
    Lift, LiftRequest, Suppression, SuppressionReason, SuppressionSubject,
};
use dialgate::domain::time::Micros;
use dialgate::policy::facts::{OptOutKind, OptOutScope};
use dialgate::store::{
    AUDIT_FIELDS, AttemptEnd, AuditEntry, CALL_FIELDS, CONSENT_FIELDS, CancelCause,
    DECISION_FIELDS, Engine, FactsWanted, ListQuery, NewAttempt, NewEvent, Notice, Page, PageKey,
    RecordedCase, SUPPRESSION_FIELDS, Store, StoreConfig, StoreError, StoredRequest, Tx, Urgency,
    party_lock_key,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use uuid::Uuid;

use crate::support::builders::{
    NOON, TestStore, after, attempt, audit, consent, decision, draft, judgement, new_call, phone,
    suppression, tenant,
};

fn everything() -> ListQuery {
    list("", &[])
}

fn list(filter: &str, fields: &[Field]) -> ListQuery {
    ListQuery {
        filter: Filter::parse(filter, fields).unwrap(),
        page_size: 1000,
        after: None,
    }
}

fn event(call_id: CallId, at: Micros, kind: EventKind, state: Option<CallState>) -> NewEvent {
    NewEvent {
        call_id,
        at,
        kind,
        detail: EventDetail::default(),
        state,
        close_permit: None,
    }
}

fn end(call_id: CallId, attempt_id: AttemptId, outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        attempt_id,
        call_id,
        outcome,
        counts_as: None,
        detail: EventDetail {
            sip_code: Some(486),
            sip_reason: Some("Busy Here".to_owned()),
            q850_cause: Some(17),
            ..EventDetail::default()
        },
        at: after(60),
        permit_gone: true,
    }
}

fn wanted(store: &TestStore, number: u32, party_id: PartyId) -> FactsWanted {
    FactsWanted {
        call_id: None,
        number: phone(number),
        number_key: store.key(phone(number)),
        party_id: Some(party_id),
        seller: "acme".to_owned(),
        purpose: Purpose::Sales,
        call_kind: CallKind::LiveManual,
        at: after(100),
    }
}
