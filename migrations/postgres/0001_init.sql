-- The first schema. Times are microseconds since 1970 in UTC, ids are UUIDs of version 7, keys of numbers are HMACs.
-- Same tables, columns and order in both folders; a released file is never edited.

-- People. `wrapped_key` is the person's data key under the key file; without it nothing sealed here can be read again.
CREATE TABLE parties (
    party_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    wrapped_key BYTEA,
    sealed_profile BYTEA,
    version BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);

-- Which numbers a person has or had; an ended link stays, so that old attempts can still be told apart.
CREATE TABLE party_numbers (
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL REFERENCES parties (party_id),
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    sealed_number BYTEA,
    line_type TEXT NOT NULL CHECK (line_type IN ('landline', 'mobile', 'voip', 'unknown')),
    registers TEXT NOT NULL,
    reassigned_check TEXT,
    position BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    end_time BIGINT,
    PRIMARY KEY (tenant_id, number_key, party_id)
);
CREATE INDEX party_numbers_by_party ON party_numbers (party_id);

-- Acts of consent. Append-only; what they add up to is computed.
CREATE TABLE consents (
    consent_event_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL REFERENCES parties (party_id),
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    sealed_number BYTEA,
    seller TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('given', 'withdrawn')),
    event_time BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    channels TEXT NOT NULL,
    form TEXT CHECK (form IN (
        'written', 'web_form', 'recorded_voice', 'third_party_verified', 'oral', 'implied', 'preticked',
        'terms_acceptance', 'bundled')),
    explicit BOOLEAN,
    documented BOOLEAN,
    out_of_hours BOOLEAN,
    period TEXT,
    initiated_by TEXT CHECK (initiated_by IN ('person', 'seller')),
    source TEXT,
    evidence_ref TEXT,
    wording_ref TEXT,
    actor TEXT NOT NULL
);
CREATE INDEX consents_by_party ON consents (party_id, number_key);
CREATE INDEX consents_by_time ON consents (tenant_id, create_time, consent_event_id);

-- What blocks. A person's own wish never expires.
CREATE TABLE suppressions (
    suppression_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number_key BYTEA CHECK (length(number_key) = 32),
    party_id UUID,
    seller TEXT,
    channels TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN (
        'party_request', 'objection', 'registry', 'court', 'minor', 'deceased', 'complaint', 'internal', 'litigator')),
    source TEXT NOT NULL CHECK (source IN ('agent', 'ivr', 'web', 'email', 'crm', 'import', 'regulator', 'api')),
    received_time BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT CHECK (expire_time IS NULL OR reason IN ('internal', 'litigator')),
    evidence_ref TEXT,
    sealed_note BYTEA,
    actor TEXT NOT NULL,
    lift_request_time BIGINT,
    lift_time BIGINT,
    lift_requested_by TEXT,
    lift_approved_by TEXT,
    lift_reason TEXT,
    lift_evidence_ref TEXT,
    CHECK ((number_key IS NULL) <> (party_id IS NULL)),
    CHECK (lift_time IS NULL OR lift_request_time IS NOT NULL AND lift_approved_by IS NOT NULL),
    CHECK (lift_requested_by <> lift_approved_by)
);
CREATE INDEX suppressions_by_number ON suppressions (tenant_id, number_key) WHERE number_key IS NOT NULL;
CREATE INDEX suppressions_by_party ON suppressions (tenant_id, party_id) WHERE party_id IS NOT NULL;
CREATE INDEX suppressions_by_time ON suppressions (tenant_id, create_time, suppression_id);

-- What was asked before.
CREATE TABLE requests (
    tenant_id TEXT NOT NULL,
    request_id UUID NOT NULL,
    method TEXT NOT NULL,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    subject TEXT NOT NULL,
    passed BOOLEAN NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);

-- Verdicts with every rule. `denied_by` holds the rules that denied, a blank before and after each.
CREATE TABLE decisions (
    decision_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('check', 'place', 'claim')),
    call_id UUID,
    party_id UUID NOT NULL REFERENCES parties (party_id),
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    campaign_id TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('allow', 'deny')),
    denied_by TEXT NOT NULL,
    judgement TEXT NOT NULL,
    pack_version TEXT NOT NULL,
    pack_sha256 TEXT NOT NULL,
    zone_data TEXT NOT NULL,
    sealed_case BYTEA,
    actor TEXT NOT NULL
);
CREATE INDEX decisions_by_number ON decisions (tenant_id, number_key, create_time);
CREATE INDEX decisions_by_time ON decisions (tenant_id, create_time, decision_id);
CREATE INDEX decisions_by_call ON decisions (call_id) WHERE call_id IS NOT NULL;

-- Calls. `state` is what clients see; `queue_state` is what the fence compares.
CREATE TABLE calls (
    call_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL REFERENCES parties (party_id),
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    sealed_number BYTEA,
    sealed_from BYTEA,
    campaign_id TEXT NOT NULL,
    seller TEXT NOT NULL,
    subject TEXT,
    call_kind TEXT NOT NULL CHECK (call_kind IN ('live_manual', 'autodialed', 'prerecorded')),
    trunk TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'queued', 'claimed', 'inviting', 'ringing', 'early_media', 'answered', 'ended', 'denied', 'expired',
        'canceled', 'failed')),
    queue_state TEXT NOT NULL CHECK (queue_state IN ('queued', 'leased', 'claimed', 'done')),
    lease_owner UUID,
    lease_epoch BIGINT NOT NULL,
    lease_time BIGINT,
    attempt_id UUID,
    place_decision_id UUID NOT NULL,
    claim_decision_id UUID,
    outcome TEXT CHECK (outcome IN (
        'answered', 'answered_after_cancel', 'busy', 'no_answer', 'unreachable', 'rejected', 'unwanted',
        'blocked_by_analytics', 'invalid_number', 'number_changed', 'no_route', 'congestion', 'carrier_error',
        'redirected', 'canceled', 'trunk_auth_failed', 'trunk_refused', 'identity_rejected', 'media_incompatible',
        'feature_refused', 'too_large', 'permit_expired', 'interrupted_unknown')),
    sip_code BIGINT,
    q850_cause BIGINT,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    invite_time BIGINT,
    ring_time BIGINT,
    answer_time BIGINT,
    end_time BIGINT,
    last_sequence BIGINT NOT NULL,
    hang_up_requested BOOLEAN NOT NULL,
    sealed_offer BYTEA
);
CREATE INDEX calls_queued ON calls (trunk, create_time, call_id) WHERE queue_state = 'queued';
CREATE INDEX calls_leased ON calls (lease_owner) WHERE queue_state = 'leased';
CREATE INDEX calls_by_time ON calls (tenant_id, create_time, call_id);

-- The durable twins of permits. A build with a longer permit than the barrier's proof allows cannot insert one.
CREATE TABLE attempts (
    attempt_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    call_id UUID NOT NULL REFERENCES calls (call_id),
    party_id UUID NOT NULL,
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    seller TEXT NOT NULL,
    subject TEXT,
    sealed_from BYTEA,
    decision_id UUID NOT NULL,
    trunk TEXT NOT NULL,
    sip_call_id TEXT NOT NULL,
    owner UUID NOT NULL,
    permit_ms BIGINT NOT NULL CHECK (permit_ms BETWEEN 1 AND 1500),
    permit_open BOOLEAN NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    create_time BIGINT NOT NULL,
    outcome TEXT CHECK (outcome IN (
        'answered', 'answered_after_cancel', 'busy', 'no_answer', 'unreachable', 'rejected', 'unwanted',
        'blocked_by_analytics', 'invalid_number', 'number_changed', 'no_route', 'congestion', 'carrier_error',
        'redirected', 'canceled', 'trunk_auth_failed', 'trunk_refused', 'identity_rejected', 'media_incompatible',
        'feature_refused', 'too_large', 'permit_expired', 'interrupted_unknown', 'superseded')),
    result TEXT CHECK (result IN ('no_answer', 'answered', 'refused', 'hung_up')),
    end_time BIGINT
);
CREATE INDEX attempts_by_party ON attempts (tenant_id, party_id, create_time);
CREATE INDEX attempts_by_number ON attempts (tenant_id, number_key, create_time);
CREATE INDEX attempts_by_call ON attempts (call_id);
CREATE INDEX attempts_unended ON attempts (owner) WHERE outcome IS NULL;
CREATE INDEX attempts_open ON attempts (attempt_id) WHERE permit_open;

-- Opt-outs that a claim saw, a newer permission having opened again what they closed: no reason to cancel its attempt.
CREATE TABLE attempt_opt_outs (
    tenant_id TEXT NOT NULL,
    attempt_id UUID NOT NULL REFERENCES attempts (attempt_id),
    suppression_id UUID NOT NULL,
    PRIMARY KEY (attempt_id, suppression_id)
);

-- The history of calls.
CREATE TABLE call_events (
    call_id UUID NOT NULL REFERENCES calls (call_id),
    sequence BIGINT NOT NULL,
    event_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    event_time BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'queued', 'claimed', 'inviting', 'progress', 'ringing', 'early_media', 'answered', 'media_offer',
        'hang_up_requested', 'opt_out', 'late_send', 'note', 'denied', 'expired', 'ended')),
    detail TEXT NOT NULL,
    sealed_sdp BYTEA,
    PRIMARY KEY (call_id, sequence)
);

-- What agents said.
CREATE TABLE dispositions (
    disposition_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    call_id UUID NOT NULL REFERENCES calls (call_id),
    code TEXT NOT NULL CHECK (code IN (
        'connected_interested', 'connected_not_interested', 'meeting_booked', 'callback_requested', 'gatekeeper',
        'left_live_message', 'left_voicemail', 'wrong_person', 'wrong_number', 'opt_out_this_seller', 'opt_out_all',
        'objection_gdpr', 'language_barrier', 'deceased', 'minor', 'complaint', 'technical_failure')),
    sealed_note BYTEA,
    amends UUID,
    suppression_id UUID,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX dispositions_by_call ON dispositions (call_id);

-- One row for every effect, in its own transaction; never changed.
CREATE TABLE audit_entries (
    entry_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject_key BYTEA,
    payload TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX audit_entries_by_time ON audit_entries (tenant_id, create_time, entry_id);

-- Locks of numbers. No foreign key may point here: it would wait for the lock.
CREATE TABLE number_locks (
    tenant_id TEXT NOT NULL,
    number_key BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, number_key)
);

-- Rule packs by the hash that decisions name, each text kept once, so that an old decision can be made again.
CREATE TABLE packs (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE TABLE pack_files (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,
    PRIMARY KEY (tenant_id, sha256, name)
);
CREATE TABLE pack_texts (
    tenant_id TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (tenant_id, text_sha256)
);

-- Which pack decides since when; the highest epoch is in force. Append-only.
CREATE TABLE activations (
    activation_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    base_sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('configured', 'uploaded')),
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    UNIQUE (tenant_id, epoch)
);
CREATE INDEX activations_by_time ON activations (tenant_id, create_time, activation_id);

-- Regions in which nobody is called for a time.
CREATE TABLE region_stops (
    stop_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    region TEXT NOT NULL,
    reason TEXT NOT NULL,
    start_time BIGINT,
    expire_time BIGINT NOT NULL,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    lift_time BIGINT,
    lift_reason TEXT,
    lift_actor TEXT,
    CHECK (start_time < expire_time),
    CHECK (lift_time IS NULL OR lift_reason IS NOT NULL AND lift_actor IS NOT NULL)
);
CREATE INDEX region_stops_in_force ON region_stops (tenant_id, expire_time) WHERE lift_time IS NULL;
CREATE INDEX region_stops_by_time ON region_stops (tenant_id, create_time, stop_id);

-- Credentials, as hashes.
CREATE TABLE api_keys (
    api_key_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('agent', 'administrator', 'auditor')),
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    create_time BIGINT NOT NULL,
    revoke_time BIGINT
);

-- Processes and their heartbeats; they serve every tenant.
CREATE TABLE nodes (
    incarnation UUID PRIMARY KEY,
    node TEXT NOT NULL,
    beats BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);

-- About this database as a whole: the check value of the key file.
CREATE TABLE store_meta (
    name TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

-- For whoever looks with psql: times as times, keys as text, nothing sealed.
CREATE VIEW calls_readable AS SELECT
    call_id, tenant_id, party_id, encode(number_key, 'hex') AS number_key, campaign_id, seller, subject, call_kind, trunk, state,
    queue_state, attempt_id, place_decision_id, claim_decision_id, outcome, sip_code, q850_cause, actor, hang_up_requested,
    to_timestamp(create_time / 1000000.0) AS create_time, to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(invite_time / 1000000.0) AS invite_time, to_timestamp(ring_time / 1000000.0) AS ring_time,
    to_timestamp(answer_time / 1000000.0) AS answer_time, to_timestamp(end_time / 1000000.0) AS end_time
FROM calls;
CREATE VIEW decisions_readable AS SELECT
    decision_id, tenant_id, stage, verdict, trim(denied_by) AS denied_by, call_id, party_id,
    encode(number_key, 'hex') AS number_key, campaign_id, to_timestamp(create_time / 1000000.0) AS create_time,
    pack_version, pack_sha256, zone_data, actor, judgement
FROM decisions;
CREATE VIEW suppressions_readable AS SELECT
    suppression_id, tenant_id, encode(number_key, 'hex') AS number_key, party_id, seller, channels, reason, source,
    to_timestamp(received_time / 1000000.0) AS received_time, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(lift_request_time / 1000000.0) AS lift_request_time, to_timestamp(lift_time / 1000000.0) AS lift_time,
    evidence_ref, actor, lift_requested_by, lift_approved_by, lift_reason, lift_evidence_ref
FROM suppressions;
CREATE VIEW audit_readable AS SELECT
    entry_id, tenant_id, kind, actor, encode(subject_key, 'hex') AS subject_key, payload,
    to_timestamp(create_time / 1000000.0) AS create_time
FROM audit_entries;
CREATE VIEW consents_readable AS SELECT
    consent_event_id, tenant_id, party_id, encode(number_key, 'hex') AS number_key, seller, action,
    to_timestamp(event_time / 1000000.0) AS event_time, to_timestamp(create_time / 1000000.0) AS create_time,
    channels, form, explicit, documented, out_of_hours, period, initiated_by, source, evidence_ref, wording_ref, actor
FROM consents;
CREATE VIEW attempts_readable AS SELECT
    attempt_id, tenant_id, call_id, party_id, encode(number_key, 'hex') AS number_key, seller, subject, decision_id, trunk,
    sip_call_id, owner, permit_ms, permit_open, cancel_requested, to_timestamp(create_time / 1000000.0) AS create_time,
    outcome, result, to_timestamp(end_time / 1000000.0) AS end_time
FROM attempts;
CREATE VIEW call_events_readable AS SELECT
    call_id, sequence, event_id, tenant_id, to_timestamp(event_time / 1000000.0) AS event_time, kind, detail
FROM call_events;
CREATE VIEW dispositions_readable AS SELECT
    disposition_id, tenant_id, call_id, code, amends, suppression_id, actor,
    to_timestamp(create_time / 1000000.0) AS create_time
FROM dispositions;
CREATE VIEW parties_readable AS SELECT
    party_id, tenant_id, version, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(update_time / 1000000.0) AS update_time
FROM parties;
CREATE VIEW api_keys_readable AS SELECT
    api_key_id, tenant_id, name, role, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(revoke_time / 1000000.0) AS revoke_time
FROM api_keys;
CREATE VIEW nodes_readable AS SELECT
    incarnation, node, beats, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(update_time / 1000000.0) AS update_time
FROM nodes;
CREATE VIEW activations_readable AS SELECT
    activation_id, tenant_id, epoch, version, sha256, base_sha256, origin, reason, actor,
    to_timestamp(create_time / 1000000.0) AS create_time
FROM activations;
CREATE VIEW region_stops_readable AS SELECT
    stop_id, tenant_id, region, reason, actor, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(start_time / 1000000.0) AS start_time, to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(lift_time / 1000000.0) AS lift_time, lift_reason, lift_actor
FROM region_stops;
CREATE VIEW packs_readable AS SELECT
    p.tenant_id, p.sha256, p.version, p.actor, to_timestamp(p.create_time / 1000000.0) AS create_time, f.name, t.content
FROM packs AS p
    JOIN pack_files AS f ON f.tenant_id = p.tenant_id AND f.sha256 = p.sha256
    JOIN pack_texts AS t ON t.tenant_id = f.tenant_id AND t.text_sha256 = f.text_sha256;
