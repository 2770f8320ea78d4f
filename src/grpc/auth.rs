//! Who may ask what. The table [`METHODS`] is the only place that says so: a method that is not named there cannot be
//! reached, and a test walks over the contract to see that each is named.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::clock::Clock;
use crate::domain::access::Role::{Administrator, Agent, Approver, Auditor};
use crate::domain::access::{ApiKey, Principal, Role};
use crate::domain::ids::ApiKeyId;
use crate::domain::time::Mono;
use crate::store::{Store, StoreError};

use super::access;
use super::counted;
use super::credential::Credential;
use super::deadline::{self, AnswerBy};
use super::ending;
use super::status;

/// One method and who may call it.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Path as HTTP/2 carries it.
    pub path: &'static str,
    /// The roles, each of which is enough.
    pub roles: &'static [Role],
}

/// Every method that needs a credential, and the roles that may call it.
pub const METHODS: &[Method] = &[
    // Questions and calls: whoever talks to people, and who looks after their wishes.
    method(
        "/dialgate.v1.CallService/CheckCall",
        &[Agent, Administrator],
    ),
    method(
        "/dialgate.v1.CallService/CheckCalls",
        &[Agent, Administrator],
    ),
    method("/dialgate.v1.CallService/PlaceCall", &[Agent]),
    method("/dialgate.v1.CallService/GetCall", FOLLOWERS),
    method("/dialgate.v1.CallService/ListCalls", FOLLOWERS),
    method("/dialgate.v1.CallService/WatchCall", FOLLOWERS),
    method(
        "/dialgate.v1.CallService/HangUpCall",
        &[Agent, Administrator],
    ),
    // What is said and heard in a call is its agent's.
    method("/dialgate.v1.CallService/OfferMedia", &[Agent]),
    method("/dialgate.v1.CallService/AnswerMediaOffer", &[Agent]),
    method("/dialgate.v1.CallService/SendDtmf", &[Agent]),
    method(
        "/dialgate.v1.CallService/RecordDisposition",
        &[Agent, Administrator],
    ),
    method(
        "/dialgate.v1.CallService/AmendDisposition",
        &[Agent, Administrator],
    ),
    method(
        "/dialgate.v1.ConsentService/RecordConsent",
        &[Agent, Administrator],
    ),
    method(
        "/dialgate.v1.ConsentService/WithdrawConsent",
        &[Agent, Administrator],
    ),
    method("/dialgate.v1.ConsentService/ListConsents", EVERYBODY),
    method(
        "/dialgate.v1.SuppressionService/CreateSuppression",
        &[Agent, Administrator],
    ),
    // An agent may stop calls to a person, never make them possible again. The administrator asks, the approver agrees.
    method(
        "/dialgate.v1.SuppressionService/LiftSuppression",
        &[Administrator, Approver],
    ),
    method("/dialgate.v1.SuppressionService/GetSuppression", EVERYBODY),
    method(
        "/dialgate.v1.SuppressionService/ListSuppressions",
        EVERYBODY,
    ),
    method("/dialgate.v1.SuppressionService/CheckNumbers", EVERYBODY),
    method(
        "/dialgate.v1.SuppressionService/WatchSuppressions",
        &[Administrator, Auditor],
    ),
    // Lists are the administrator's business, and what became of them the auditor's too.
    method(
        "/dialgate.v1.ConsentService/ImportConsents",
        &[Administrator],
    ),
    method(
        "/dialgate.v1.ConsentService/GetConsentImport",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.ConsentService/ListConsentImports",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.ConsentService/ListConsentImportRejects",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.SuppressionService/ImportSuppressions",
        &[Administrator],
    ),
    method(
        "/dialgate.v1.SuppressionService/GetSuppressionImport",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.SuppressionService/ListSuppressionImports",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.SuppressionService/ListSuppressionImportRejects",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.SuppressionService/ExportSuppressions",
        &[Administrator, Auditor],
    ),
    // What is recorded of a person opens and closes calls: the administrator's business. An auditor sees no names.
    method(
        "/dialgate.v1.ContactService/UpsertContact",
        &[Administrator],
    ),
    method(
        "/dialgate.v1.ContactService/GetContact",
        &[Agent, Administrator],
    ),
    method(
        "/dialgate.v1.AuditService/ListDecisions",
        &[Administrator, Auditor],
    ),
    method("/dialgate.v1.AuditService/GetDecision", FOLLOWERS),
    method(
        "/dialgate.v1.AuditService/ReplayDecisions",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.AuditService/ListEntries",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.AuditService/GetEntry",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.AuditService/ExportEntries",
        &[Administrator, Auditor],
    ),
    // A checkpoint is kept by as many as possible: it says nothing of anybody.
    method("/dialgate.v1.AuditService/GetCheckpoint", EVERYBODY),
    method("/dialgate.v1.AuditService/GetConsistencyProof", EVERYBODY),
    // What the registers say decides over calls, and whoever loads a list answers for it.
    method(
        "/dialgate.v1.RegisterService/ImportRegister",
        &[Administrator],
    ),
    method("/dialgate.v1.RegisterService/ListRegisters", EVERYBODY),
    method(
        "/dialgate.v1.RegisterService/ListRegisterSnapshots",
        EVERYBODY,
    ),
    method(
        "/dialgate.v1.RegisterService/DiffRegister",
        &[Administrator, Auditor],
    ),
    // Who is told of opt-outs is the administrator's business, and whether they are the auditor's too.
    method(
        "/dialgate.v1.WebhookService/ListWebhooks",
        &[Administrator, Auditor],
    ),
    method(
        "/dialgate.v1.WebhookService/ResumeWebhook",
        &[Administrator],
    ),
    // Where calls go is not every agent's business.
    method(
        "/dialgate.v1.TrunkService/ListTrunks",
        &[Administrator, Auditor],
    ),
    // The law is no secret.
    method("/dialgate.v1.PolicyService/ListRules", EVERYBODY),
    method("/dialgate.v1.PolicyService/GetRule", EVERYBODY),
    method("/dialgate.v1.PolicyService/ListActivations", EVERYBODY),
    method("/dialgate.v1.PolicyService/ListRegionStops", EVERYBODY),
    method("/dialgate.v1.PolicyService/ListClosedDays", EVERYBODY),
    // What another law would have said is asked by who changes it and by who looks back; who changes it is one.
    method(
        "/dialgate.v1.PolicyService/Evaluate",
        &[Administrator, Auditor],
    ),
    method("/dialgate.v1.PolicyService/ActivatePack", &[Administrator]),
    method("/dialgate.v1.PolicyService/SetRegionStop", &[Administrator]),
    method(
        "/dialgate.v1.PolicyService/LiftRegionStop",
        &[Administrator],
    ),
    method("/dialgate.v1.PolicyService/AddClosedDay", &[Administrator]),
    method(
        "/dialgate.v1.PolicyService/RemoveClosedDay",
        &[Administrator],
    ),
    method("/dialgate.v1.PolicyService/DisableRule", &[Administrator]),
    method("/dialgate.v1.PolicyService/EnableRule", &[Administrator]),
];

const EVERYBODY: &[Role] = &[Agent, Administrator, Approver, Auditor];
/// Who may see calls and why they were allowed: not whoever is there only to approve.
const FOLLOWERS: &[Role] = &[Agent, Administrator, Auditor];

/// Services that need no credential: they tell nothing about anybody.
pub(super) const OPEN: &[&str] = &[
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// How long an accepted key is remembered: so long may a revoked one still be used.
const KEY_LIFE: Duration = Duration::from_secs(2);
/// A key that was not used for so long is used anew.
const SESSION: Duration = Duration::from_mins(15);
/// Keys remembered at once.
const KEYS_MAX: usize = 1024;

const fn method(path: &'static str, roles: &'static [Role]) -> Method {
    Method { path, roles }
}

/// Whether this role is shown readable numbers, notes and SDP.
pub(super) fn reads_personal_data(role: Role) -> bool {
    match role {
        Agent | Administrator => true,
        Approver | Auditor => false,
    }
}

/// Whom the guard let in.
pub(super) fn principal<T>(request: &tonic::Request<T>) -> Result<Principal, Status> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(|| status::internal("a method was reached past the guard"))
}

/// Stands before every service.
#[derive(Clone)]
pub(super) struct GuardLayer(Arc<Guard>);

impl GuardLayer {
    pub fn new(store: Store, clock: Clock) -> Self {
        let keys = Mutex::default();
        let seen = Mutex::default();
        Self(Arc::new(Guard {
            store,
            clock,
            keys,
            seen,
        }))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        let guard = Arc::clone(&self.0);
        Guarded { guard, inner }
    }
}

/// A service with the guard before it.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    guard: Arc<Guard>,
    inner: S,
}

type Answer = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut request = ending::watched(request);
        let guard = Arc::clone(&self.guard);
        // The clone was not polled ready; the one that was goes into the future.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let limit = deadline::limit(request.headers());
        if let Some(limit) = limit {
            let by = guard.clock.read().mono.plus(limit);
            request.extensions_mut().insert(AnswerBy(by));
        }
        let begun = tokio::time::Instant::now();
        let rpc = counted::rpc(request.uri().path());
        Box::pin(async move {
            match guard.admit(request.uri().path(), request.headers()).await {
                Ok(None) => {}
                Ok(Some(principal)) => drop(request.extensions_mut().insert(principal)),
                Err(status) => return Ok(counting(rpc, status.into_http())),
            }
            let answer = inner.call(request);
            let answer = match limit {
                None => answer.await.map(status::complete),
                Some(limit) => match tokio::time::timeout_at(begun + limit, answer).await {
                    Ok(answer) => answer.map(status::complete),
                    Err(_) => Ok(status::deadline().into_http()),
                },
            };
            answer.map(|answer| counting(rpc, answer))
        })
    }
}

fn counting(rpc: &'static str, answer: Response<Body>) -> Response<Body> {
    counted::answered(rpc, &answer);
    answer
}

struct Guard {
    store: Store,
    clock: Clock,
    keys: Mutex<HashMap<ApiKeyId, Remembered>>,
    /// When the keys whose use is recorded were used last.
    seen: Mutex<HashMap<ApiKeyId, Mono>>,
}

/// A key as the store had it, and until when that is believed.
struct Remembered {
    key: ApiKey,
    until: Mono,
}

impl Guard {
    /// Lets in, refuses, or says that nobody is needed.
    async fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Option<Principal>, Status> {
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Ok(None);
        }
        let principal = self.authenticate(headers).await?;
        let method = METHODS
            .iter()
            .find(|method| method.path == path)
            .ok_or_else(|| status::method_unknown(path))?;
        if !method.roles.contains(&principal.role) {
            let needed: Vec<String> = method
                .roles
                .iter()
                .map(|role| format!("`{role}`"))
                .collect();
            let role = format!("`{}`", principal.role);
            return Err(status::scope_missing(path, &needed.join(" or "), &role));
        }
        self.note_entrance(&principal).await?;
        Ok(Some(principal))
    }

    /// Records that a key is used that was not for a while. Where that cannot be recorded, nobody comes in.
    async fn note_entrance(&self, who: &Principal) -> Result<(), Status> {
        let (Some(id), true) = (who.api_key_id, access::is_watched(who.role)) else {
            return Ok(());
        };
        let now = self.clock.read();
        let is_known = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let is_known = (seen.get(&id)).is_some_and(|last| now.mono.since(*last) < SESSION);
            if is_known {
                seen.insert(id, now.mono);
            }
            is_known
        };
        if is_known {
            return Ok(());
        }
        let noted = access::note_entrance(&self.store, who, now.wall).await;
        noted.map_err(|error| status::from_store(&error))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= KEYS_MAX {
            seen.retain(|_, last| now.mono.since(*last) < SESSION);
        }
        if seen.len() < KEYS_MAX {
            seen.insert(id, now.mono);
        }
        Ok(())
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Status> {
        let header = headers.get(http::header::AUTHORIZATION).ok_or_else(|| {
            status::unauthenticated(
                "CREDENTIAL_MISSING",
                "send an API key as metadata `authorization: Bearer dg_…`; `dialgate admin key create` makes one",
            )
        })?;
        // One answer for every kind of wrong key: nothing to learn by trying.
        let wrong = || {
            status::unauthenticated(
                "CREDENTIAL_INVALID",
                "the API key is not valid: unknown, revoked or mistyped; send `authorization: Bearer dg_…`",
            )
        };
        let sent = header
            .to_str()
            .ok()
            .and_then(bearer)
            .and_then(Credential::parse)
            .ok_or_else(wrong)?;
        let known = self
            .key(sent.api_key_id)
            .await
            .map_err(|error| status::from_store(&error))?
            .ok_or_else(wrong)?;
        if !bool::from(sent.secret_hash().ct_eq(&known.secret_hash)) {
            return Err(wrong());
        }
        Ok(Principal {
            tenant: known.tenant,
            api_key_id: Some(known.api_key_id),
            name: known.name,
            role: known.role,
        })
    }

    async fn key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let now = self.clock.read().mono;
        if let Some(key) = self.remembered(id, now) {
            return Ok(Some(key));
        }
        let found = self.store.read().await?.api_key(id).await?;
        if let Some(key) = &found {
            self.remember(key.clone(), now);
        }
        Ok(found)
    }

    fn remembered(&self, id: ApiKeyId, now: Mono) -> Option<ApiKey> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&id)
            .filter(|held| now < held.until)
            .map(|held| held.key.clone())
    }

    fn remember(&self, key: ApiKey, now: Mono) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.retain(|_, held| now < held.until);
        }
        if keys.len() < KEYS_MAX {
            let until = now.plus(KEY_LIFE);
            keys.insert(key.api_key_id, Remembered { key, until });
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| key.trim_start())
}
