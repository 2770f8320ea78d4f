//! What a node counts of itself, by name: one function a figure, called where the thing has happened. The names are public
//! and stand in docs/METRICS.md; `console` shows them.
//!
//! No label may carry a number, a name of a person, or an id that somebody made up: labels are words of closed sets, the
//! registers of the rules, the webhooks, the trunks and the media anchors of the configuration. Nothing is counted, and it costs next to nothing, while nobody shows it.

use std::time::Duration;

use metrics::{Unit, counter, gauge, histogram};

use crate::domain::call::Outcome;
use crate::domain::decision::Verdict;
use crate::domain::import::ImportKind;
use crate::domain::trunk::{RegistrationState, TargetState, TrunkState, TrunkStatus};

const DECISIONS: &str = "dialgate_decisions_total";
const OPT_OUT_WAIT: &str = "dialgate_opt_out_wait_seconds";
const INVITES: &str = "dialgate_invites_total";
const INBOUND_REFUSED: &str = "dialgate_inbound_calls_refused_total";
const CALLS_ENDED: &str = "dialgate_calls_ended_total";
const CALLS_ABANDONED: &str = "dialgate_calls_abandoned_total";
const AGENT_CALLS: &str = "dialgate_agent_calls_total";
const IMPORT_ROWS: &str = "dialgate_import_rows_total";
const REQUESTS: &str = "dialgate_requests_total";
const FORM_REQUESTS: &str = "dialgate_form_requests_total";
const WEBHOOK_TRIES: &str = "dialgate_webhook_tries_total";
const AUDIT_PLACED: &str = "dialgate_audit_placed_total";
const AUDIT_WITNESSED: &str = "dialgate_audit_witnessed_total";
const WEBHOOK_CHANGES: &str = "dialgate_webhook_changes_total";
const HEALTH_QUESTIONS: &str = "dialgate_health_questions_total";
const REGISTRATIONS: &str = "dialgate_registrations_total";
const ANCHOR_QUESTIONS: &str = "dialgate_anchor_questions_total";
const ANCHOR_ENGINES_UP: &str = "dialgate_anchor_engines_up";
const TRUNK_UP: &str = "dialgate_trunk_up";
const TRUNK_TARGETS_UP: &str = "dialgate_trunk_targets_up";
const TRUNK_CALLS: &str = "dialgate_trunk_calls";
const TRUNK_REGISTERED: &str = "dialgate_trunk_registered";
const SIP_ENTRIES: &str = "dialgate_sip_entries";
const STORE_UP: &str = "dialgate_store_up";
const CALLS_QUEUED: &str = "dialgate_calls_queued";
const ATTEMPTS_OPEN: &str = "dialgate_attempts_open";
const REGISTER_AGE: &str = "dialgate_register_age_days";
const REGISTER_AGE_MAX: &str = "dialgate_register_age_max_days";
const REGISTER_STALE: &str = "dialgate_register_stale";
const REGISTER_LOADED: &str = "dialgate_register_loaded";
const AUDIT_SIZE: &str = "dialgate_audit_log_entries";
const AUDIT_UNPLACED: &str = "dialgate_audit_unplaced_entries";
const AUDIT_OLDEST: &str = "dialgate_audit_oldest_unplaced_seconds";
const WEBHOOK_PENDING: &str = "dialgate_webhook_pending_changes";
const WEBHOOK_OLDEST: &str = "dialgate_webhook_oldest_seconds";
const WEBHOOK_PARKED: &str = "dialgate_webhook_parked";

/// Every histogram with the bounds of its buckets, in its unit. An opt-out with nothing open is answered right after its
/// commit, any other at the latest when the barrier of two seconds has passed.
pub const HISTOGRAMS: &[(&str, &[f64])] = &[(
    OPT_OUT_WAIT,
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0],
)];

/// Where in a call's life a decision was made, beside the stages that are recorded: a row of a list.
pub const LIST: &str = "list";

/// The gate has decided that often, and what it decided is recorded (a row of a list: answered).
pub fn decided(stage: &'static str, verdict: Verdict, times: u64) {
    counter!(DECISIONS, "stage" => stage, "verdict" => verdict.as_str()).increment(times);
}

/// An opt-out was acknowledged, so long after it was asked for.
pub fn opt_out_acknowledged(wait: Duration) {
    histogram!(OPT_OUT_WAIT).record(wait.as_secs_f64());
}

/// A call was handed to SIP, its permit in hand.
pub fn invited() {
    counter!(INVITES).increment(1);
}

/// Somebody called us and was refused: we only place calls.
pub fn inbound_refused() {
    counter!(INBOUND_REFUSED).increment(1);
}

/// The outcome of a call was written down.
pub fn call_ended(outcome: Outcome) {
    counter!(CALLS_ENDED, "outcome" => outcome.as_str()).increment(1);
}

/// A call was answered and nobody was there to talk.
pub fn call_abandoned() {
    counter!(CALLS_ABANDONED).increment(1);
}

/// An agent's phone was called: `answered`, or why they were not there.
pub fn agent_called(result: &'static str) {
    counter!(AGENT_CALLS, "result" => result).increment(1);
}

/// Rows of a list were recorded: new, on record already, and rejected ones.
pub fn import_rows(list: ImportKind, created: u64, repeated: u64, rejected: u64) {
    for (result, rows) in [
        ("created", created),
        ("repeated", repeated),
        ("rejected", rejected),
    ] {
        counter!(IMPORT_ROWS, "list" => list.as_str(), "result" => result).increment(rows);
    }
}

/// A request over gRPC was answered.
pub fn requested(rpc: &'static str, code: &'static str) {
    counter!(REQUESTS, "rpc" => rpc, "code" => code).increment(1);
}

/// A web form was answered.
pub fn form_requested(code: u16) {
    counter!(FORM_REQUESTS, "code" => code.to_string()).increment(1);
}

/// So many audit entries got their places in the log.
pub fn audit_placed(entries: usize) {
    counter!(AUDIT_PLACED).increment(u64::try_from(entries).unwrap_or(u64::MAX));
}

/// A checkpoint was handed to the witness, who took it or did not.
pub fn audit_witnessed(is_taken: bool) {
    let result = if is_taken { "taken" } else { "failed" };
    counter!(AUDIT_WITNESSED, "result" => result).increment(1);
}

/// A message was sent to a webhook's receiver, who took it with so many changes, or did not.
pub fn webhook_tried(webhook: &str, is_taken: bool, changes: usize) {
    let result = if is_taken { "taken" } else { "failed" };
    counter!(WEBHOOK_TRIES, "webhook" => webhook.to_owned(), "result" => result).increment(1);
    let changes = u64::try_from(changes).unwrap_or(u64::MAX);
    counter!(WEBHOOK_CHANGES, "webhook" => webhook.to_owned()).increment(changes);
}

/// A trunk's target was asked for a sign of life, and gave one or did not.
pub fn asked_for_life(trunk: &str, is_life: bool) {
    let result = if is_life { "life" } else { "failed" };
    counter!(HEALTH_QUESTIONS, "trunk" => trunk.to_owned(), "result" => result).increment(1);
}

/// A trunk's registrar was asked to keep our address, and does or does not.
pub fn registered(trunk: &str, is_registered: bool) {
    let result = if is_registered {
        "registered"
    } else {
        "failed"
    };
    counter!(REGISTRATIONS, "trunk" => trunk.to_owned(), "result" => result).increment(1);
}

/// What this node knows of itself when somebody looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeStanding {
    /// Its trunks.
    pub trunks: Vec<TrunkStatus>,
    /// What its SIP endpoint holds.
    pub sip: SipStanding,
}

/// Entries of the SIP endpoint's tables. All of them are zero again when the last call is over and its stragglers are answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SipStanding {
    /// Calls that have not ended.
    pub active: usize,
    /// Ended calls that still answer stragglers.
    pub lingering: usize,
    /// Those of them of which the far end may not know, or that may still ring.
    pub unsettled: usize,
    /// Calls that wait for a timer.
    pub timers: usize,
    /// Requests outside of calls that await their answer.
    pub requests: usize,
    /// Messages and INVITEs that wait for the socket.
    pub waiting: usize,
}

/// An engine of a media anchor was asked this, and did it (`done`), refused it or was silent.
pub fn anchor_asked(anchor: &str, command: &'static str, result: &'static str) {
    counter!(ANCHOR_QUESTIONS, "anchor" => anchor.to_owned(), "command" => command, "result" => result)
        .increment(1);
}

/// So many engines of a media anchor answered when they were last asked.
pub fn anchor_stands(anchor: &str, engines_up: usize) {
    let up = i64::try_from(engines_up).unwrap_or(i64::MAX);
    gauge!(ANCHOR_ENGINES_UP, "anchor" => anchor.to_owned()).set(count(up));
}

/// How things stand, as the store tells it when somebody looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Calls that wait, in all queues.
    pub queued: i64,
    /// Attempts without an outcome, of all nodes.
    pub attempts: i64,
    /// Registers that have a list.
    pub registers: Vec<RegisterStanding>,
    /// Webhooks of this node's configuration.
    pub webhooks: Vec<WebhookStanding>,
    /// The transparency log.
    pub audit: AuditStanding,
}

/// How the transparency log stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditStanding {
    /// Entries that have their places.
    pub size: i64,
    /// Entries that have none yet.
    pub unplaced: i64,
    /// For how long the oldest of them has been waiting.
    pub oldest: Duration,
}

/// How a webhook stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookStanding {
    /// Its name in the configuration.
    pub name: String,
    /// Changes that were not delivered.
    pub pending: i64,
    /// For how long the oldest of them has been waiting.
    pub oldest: Duration,
    /// Whether it was given up.
    pub parked: bool,
}

/// How the list of one register stands.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterStanding {
    /// Its id in the rules.
    pub register: String,
    /// Its age in days.
    pub age_days: i64,
    /// The largest age that all rules which ask it take.
    pub max_age_days: Option<i64>,
    /// Whether rules deny for its age.
    pub stale: bool,
    /// Whether this node holds it.
    pub loaded: bool,
}

/// Tells this recorder how things stand; of the store nothing if it did not say. What is gone, a trunk or a register, is not told.
pub fn show(recorder: &dyn metrics::Recorder, node: &NodeStanding, standing: Option<&Standing>) {
    metrics::with_local_recorder(recorder, || {
        describe_node();
        show_node(node);
        describe_standing();
        gauge!(STORE_UP).set(f64::from(u8::from(standing.is_some())));
        let Some(standing) = standing else { return };
        gauge!(CALLS_QUEUED).set(count(standing.queued));
        gauge!(ATTEMPTS_OPEN).set(count(standing.attempts));
        gauge!(AUDIT_SIZE).set(count(standing.audit.size));
        gauge!(AUDIT_UNPLACED).set(count(standing.audit.unplaced));
        gauge!(AUDIT_OLDEST).set(standing.audit.oldest.as_secs_f64());
        for each in &standing.registers {
            let of = |name: &'static str| gauge!(name, "register" => each.register.clone());
            of(REGISTER_AGE).set(count(each.age_days));
            if let Some(days) = each.max_age_days {
                of(REGISTER_AGE_MAX).set(count(days));
            }
            of(REGISTER_STALE).set(f64::from(u8::from(each.stale)));
            of(REGISTER_LOADED).set(f64::from(u8::from(each.loaded)));
        }
        for each in &standing.webhooks {
            let of = |name: &'static str| gauge!(name, "webhook" => each.name.clone());
            of(WEBHOOK_PENDING).set(count(each.pending));
            of(WEBHOOK_OLDEST).set(each.oldest.as_secs_f64());
            of(WEBHOOK_PARKED).set(f64::from(u8::from(each.parked)));
        }
    });
}

fn show_node(node: &NodeStanding) {
    for trunk in &node.trunks {
        let of = |name: &'static str| gauge!(name, "trunk" => trunk.name.clone());
        let up = trunk.targets.iter();
        let up = up.filter(|target| target.state == TargetState::Up);
        of(TRUNK_UP).set(f64::from(u8::from(trunk.state == TrunkState::Up)));
        of(TRUNK_TARGETS_UP).set(counted(up.count()));
        of(TRUNK_CALLS).set(f64::from(trunk.calls));
        if let Some(registration) = &trunk.registration {
            let is_registered = registration.state == RegistrationState::Registered;
            of(TRUNK_REGISTERED).set(f64::from(u8::from(is_registered)));
        }
    }
    let sip = node.sip;
    for (table, entries) in [
        ("active", sip.active),
        ("lingering", sip.lingering),
        ("unsettled", sip.unsettled),
        ("timers", sip.timers),
        ("requests", sip.requests),
        ("waiting", sip.waiting),
    ] {
        gauge!(SIP_ENTRIES, "table" => table).set(counted(entries));
    }
}

/// Says what the figures are that are counted as things happen.
pub fn describe() {
    metrics::describe_counter!(DECISIONS, "Decisions of the gate, by stage and verdict.");
    metrics::describe_histogram!(
        OPT_OUT_WAIT,
        Unit::Seconds,
        "From an opt-out's arrival to its acknowledgement."
    );
    metrics::describe_counter!(INVITES, "Calls handed to SIP under a permit.");
    metrics::describe_counter!(INBOUND_REFUSED, "Calls to us, which are refused.");
    metrics::describe_counter!(CALLS_ENDED, "Calls that have their outcome, by outcome.");
    metrics::describe_counter!(CALLS_ABANDONED, "Calls answered with nobody there to talk.");
    metrics::describe_counter!(
        AGENT_CALLS,
        "Agents' phones called first, by what came of it."
    );
    metrics::describe_counter!(IMPORT_ROWS, "Rows of lists of opt-outs, by result.");
    metrics::describe_counter!(REQUESTS, "Requests over gRPC, by RPC and code.");
    metrics::describe_counter!(FORM_REQUESTS, "Posted web forms, by HTTP status.");
    metrics::describe_counter!(
        AUDIT_PLACED,
        "Audit entries that this node gave their places in the log."
    );
    metrics::describe_counter!(
        AUDIT_WITNESSED,
        "Checkpoints handed to the witness, by result."
    );
    metrics::describe_counter!(WEBHOOK_TRIES, "Messages sent to webhooks, by result.");
    metrics::describe_counter!(
        HEALTH_QUESTIONS,
        "OPTIONS sent to targets of trunks, by what they came to."
    );
    metrics::describe_counter!(REGISTRATIONS, "Registrations tried, by result.");
    metrics::describe_counter!(
        WEBHOOK_CHANGES,
        "Changes of opt-outs that webhooks' receivers took."
    );
    metrics::describe_counter!(
        ANCHOR_QUESTIONS,
        "Questions to engines of media anchors, by command and result."
    );
}

fn describe_node() {
    metrics::describe_gauge!(
        ANCHOR_ENGINES_UP,
        "Engines of the media anchor that answered last."
    );
    metrics::describe_gauge!(TRUNK_UP, "1 if the trunk takes calls of this node, else 0.");
    metrics::describe_gauge!(
        TRUNK_TARGETS_UP,
        "Targets of the trunk that are sent calls."
    );
    metrics::describe_gauge!(TRUNK_CALLS, "Calls of this node that are under way.");
    metrics::describe_gauge!(
        TRUNK_REGISTERED,
        "1 if the trunk's registrar keeps our address, else 0."
    );
    metrics::describe_gauge!(SIP_ENTRIES, "Entries of the SIP endpoint's tables.");
}

fn describe_standing() {
    metrics::describe_gauge!(STORE_UP, "1 if the store answered in time, else 0.");
    metrics::describe_gauge!(CALLS_QUEUED, "Calls that wait for a trunk, of all nodes.");
    metrics::describe_gauge!(ATTEMPTS_OPEN, "Attempts without an outcome, of all nodes.");
    metrics::describe_gauge!(REGISTER_AGE, "Age of a register's list in days.");
    metrics::describe_gauge!(REGISTER_AGE_MAX, "Largest age in days that the rules take.");
    metrics::describe_gauge!(
        REGISTER_STALE,
        "1 if rules deny for the list's age, else 0."
    );
    metrics::describe_gauge!(REGISTER_LOADED, "1 if this node holds the list, else 0.");
    metrics::describe_gauge!(AUDIT_SIZE, "Entries of the transparency log.");
    metrics::describe_gauge!(AUDIT_UNPLACED, "Audit entries without a place in the log.");
    metrics::describe_gauge!(
        AUDIT_OLDEST,
        Unit::Seconds,
        "For how long the oldest of them has been waiting."
    );
    metrics::describe_gauge!(WEBHOOK_PENDING, "Changes that a webhook has to deliver.");
    metrics::describe_gauge!(
        WEBHOOK_OLDEST,
        Unit::Seconds,
        "For how long the oldest of them has been waiting."
    );
    metrics::describe_gauge!(
        WEBHOOK_PARKED,
        "1 if the webhook delivers nothing until it is resumed, else 0."
    );
}

fn counted(value: usize) -> f64 {
    count(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Figures are floating point; counts beyond 2^53 do not occur.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and days stay far below 2^53"
)]
fn count(value: i64) -> f64 {
    value as f64
}
