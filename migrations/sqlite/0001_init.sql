-- The first schema. Times are microseconds since 1970 in UTC, ids are UUIDs of version 7, keys of numbers are HMACs.
-- Same tables, columns and order in both folders; a released file is never edited.

-- People. `wrapped_key` is the person's data key under the key file; without it nothing sealed here can be read again.
CREATE TABLE parties (
    party_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    wrapped_key BLOB,
    sealed_profile BLOB,
    version INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL
) STRICT;

-- Which numbers a person has or had; an ended link stays, so that old attempts can still be told apart.
CREATE TABLE party_numbers (
    tenant_id TEXT NOT NULL,
    party_id BLOB NOT NULL REFERENCES parties (party_id),
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    sealed_number BLOB,
    line_type TEXT NOT NULL CHECK (line_type IN ('landline', 'mobile', 'voip', 'unknown')),
    registers TEXT NOT NULL,
    reassigned_check TEXT,
    position INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    end_time INTEGER,
    PRIMARY KEY (tenant_id, number_key, party_id)
) STRICT;
CREATE INDEX party_numbers_by_party ON party_numbers (party_id);

-- Acts of consent. Append-only; what they add up to is computed.
CREATE TABLE consents (
    consent_event_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    party_id BLOB NOT NULL REFERENCES parties (party_id),
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    sealed_number BLOB,
    seller TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('given', 'withdrawn')),
    event_time INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    channels TEXT NOT NULL,
    form TEXT CHECK (form IN (
        'written', 'web_form', 'recorded_voice', 'third_party_verified', 'oral', 'implied', 'preticked',
        'terms_acceptance', 'bundled')),
    explicit INTEGER,
    documented INTEGER,
    out_of_hours INTEGER,
    period TEXT,
    initiated_by TEXT CHECK (initiated_by IN ('person', 'seller')),
    source TEXT,
    evidence_ref TEXT,
    wording_ref TEXT,
    actor TEXT NOT NULL
) STRICT;
CREATE INDEX consents_by_party ON consents (party_id, number_key);
CREATE INDEX consents_by_time ON consents (tenant_id, create_time, consent_event_id);

-- What blocks. A person's own wish never expires.
CREATE TABLE suppressions (
    suppression_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    number_key BLOB CHECK (length(number_key) = 32),
    party_id BLOB,
    seller TEXT,
    channels TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN (
        'party_request', 'objection', 'registry', 'court', 'minor', 'deceased', 'complaint', 'internal', 'litigator')),
    source TEXT NOT NULL CHECK (source IN ('agent', 'ivr', 'web', 'email', 'crm', 'import', 'regulator', 'api')),
    received_time INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER CHECK (expire_time IS NULL OR reason IN ('internal', 'litigator')),
    evidence_ref TEXT,
    sealed_note BLOB,
    actor TEXT NOT NULL,
    lift_request_time INTEGER,
    lift_time INTEGER,
    lift_requested_by TEXT,
    lift_approved_by TEXT,
    lift_reason TEXT,
    lift_evidence_ref TEXT,
    CHECK ((number_key IS NULL) <> (party_id IS NULL)),
    CHECK (lift_time IS NULL OR lift_request_time IS NOT NULL AND lift_approved_by IS NOT NULL),
    CHECK (lift_requested_by <> lift_approved_by)
) STRICT;
CREATE INDEX suppressions_by_number ON suppressions (tenant_id, number_key) WHERE number_key IS NOT NULL;
CREATE INDEX suppressions_by_party ON suppressions (tenant_id, party_id) WHERE party_id IS NOT NULL;
CREATE INDEX suppressions_by_time ON suppressions (tenant_id, create_time, suppression_id);

-- What was asked before.
CREATE TABLE requests (
    tenant_id TEXT NOT NULL,
    request_id BLOB NOT NULL,
    method TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    subject TEXT NOT NULL,
    passed INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
) STRICT;

-- Verdicts with every rule. `denied_by` holds the rules that denied, a blank before and after each.
CREATE TABLE decisions (
    decision_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('check', 'place', 'claim')),
    call_id BLOB,
    party_id BLOB NOT NULL REFERENCES parties (party_id),
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    campaign_id TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('allow', 'deny')),
    denied_by TEXT NOT NULL,
    judgement TEXT NOT NULL,
    pack_version TEXT NOT NULL,
    pack_sha256 TEXT NOT NULL,
    zone_data TEXT NOT NULL,
    sealed_case BLOB,
    actor TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_number ON decisions (tenant_id, number_key, create_time);
CREATE INDEX decisions_by_time ON decisions (tenant_id, create_time, decision_id);
CREATE INDEX decisions_by_call ON decisions (call_id) WHERE call_id IS NOT NULL;

-- Calls. `state` is what clients see; `queue_state` is what the fence compares.
CREATE TABLE calls (
    call_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    party_id BLOB NOT NULL REFERENCES parties (party_id),
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    sealed_number BLOB,
    sealed_from BLOB,
    campaign_id TEXT NOT NULL,
    seller TEXT NOT NULL,
    subject TEXT,
    call_kind TEXT NOT NULL CHECK (call_kind IN ('live_manual', 'autodialed', 'prerecorded')),
    trunk TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'queued', 'claimed', 'inviting', 'ringing', 'early_media', 'answered', 'ended', 'denied', 'expired',
        'canceled', 'failed')),
    queue_state TEXT NOT NULL CHECK (queue_state IN ('queued', 'leased', 'claimed', 'done')),
    lease_owner BLOB,
    lease_epoch INTEGER NOT NULL,
    lease_time INTEGER,
    attempt_id BLOB,
    place_decision_id BLOB NOT NULL,
    claim_decision_id BLOB,
    outcome TEXT CHECK (outcome IN (
        'answered', 'answered_after_cancel', 'busy', 'no_answer', 'unreachable', 'rejected', 'unwanted',
        'blocked_by_analytics', 'invalid_number', 'number_changed', 'no_route', 'congestion', 'carrier_error',
        'redirected', 'canceled', 'trunk_auth_failed', 'trunk_refused', 'identity_rejected', 'media_incompatible',
        'feature_refused', 'too_large', 'permit_expired', 'interrupted_unknown')),
    sip_code INTEGER,
    q850_cause INTEGER,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER NOT NULL,
    invite_time INTEGER,
    ring_time INTEGER,
    answer_time INTEGER,
    end_time INTEGER,
    last_sequence INTEGER NOT NULL,
    hang_up_requested INTEGER NOT NULL,
    sealed_offer BLOB
) STRICT;
CREATE INDEX calls_queued ON calls (trunk, create_time, call_id) WHERE queue_state = 'queued';
CREATE INDEX calls_leased ON calls (lease_owner) WHERE queue_state = 'leased';
CREATE INDEX calls_by_time ON calls (tenant_id, create_time, call_id);

-- The durable twins of permits. A build with a longer permit than the barrier's proof allows cannot insert one.
CREATE TABLE attempts (
    attempt_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    party_id BLOB NOT NULL,
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    seller TEXT NOT NULL,
    subject TEXT,
    sealed_from BLOB,
    decision_id BLOB NOT NULL,
    trunk TEXT NOT NULL,
    sip_call_id TEXT NOT NULL,
    owner BLOB NOT NULL,
    permit_ms INTEGER NOT NULL CHECK (permit_ms BETWEEN 1 AND 1500),
    permit_open INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN (
        'answered', 'answered_after_cancel', 'busy', 'no_answer', 'unreachable', 'rejected', 'unwanted',
        'blocked_by_analytics', 'invalid_number', 'number_changed', 'no_route', 'congestion', 'carrier_error',
        'redirected', 'canceled', 'trunk_auth_failed', 'trunk_refused', 'identity_rejected', 'media_incompatible',
        'feature_refused', 'too_large', 'permit_expired', 'interrupted_unknown', 'superseded')),
    result TEXT CHECK (result IN ('no_answer', 'answered', 'refused', 'hung_up')),
    end_time INTEGER
) STRICT;
CREATE INDEX attempts_by_party ON attempts (tenant_id, party_id, create_time);
CREATE INDEX attempts_by_number ON attempts (tenant_id, number_key, create_time);
CREATE INDEX attempts_by_call ON attempts (call_id);
CREATE INDEX attempts_unended ON attempts (owner) WHERE outcome IS NULL;
CREATE INDEX attempts_open ON attempts (attempt_id) WHERE permit_open;

-- Opt-outs that a claim saw, a newer permission having opened again what they closed: no reason to cancel its attempt.
CREATE TABLE attempt_opt_outs (
    tenant_id TEXT NOT NULL,
    attempt_id BLOB NOT NULL REFERENCES attempts (attempt_id),
    suppression_id BLOB NOT NULL,
    PRIMARY KEY (attempt_id, suppression_id)
) STRICT;

-- The history of calls.
CREATE TABLE call_events (
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    tenant_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'queued', 'claimed', 'inviting', 'progress', 'ringing', 'early_media', 'answered', 'media_offer',
        'hang_up_requested', 'opt_out', 'late_send', 'note', 'denied', 'expired', 'ended')),
    detail TEXT NOT NULL,
    sealed_sdp BLOB,
    PRIMARY KEY (call_id, sequence)
) STRICT;

-- What agents said.
CREATE TABLE dispositions (
    disposition_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    code TEXT NOT NULL CHECK (code IN (
        'connected_interested', 'connected_not_interested', 'meeting_booked', 'callback_requested', 'gatekeeper',
        'left_live_message', 'left_voicemail', 'wrong_person', 'wrong_number', 'opt_out_this_seller', 'opt_out_all',
        'objection_gdpr', 'language_barrier', 'deceased', 'minor', 'complaint', 'technical_failure')),
    sealed_note BLOB,
    amends BLOB,
    suppression_id BLOB,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL
) STRICT;
CREATE INDEX dispositions_by_call ON dispositions (call_id);

-- One row for every effect, in its own transaction; never changed.
CREATE TABLE audit_entries (
    entry_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject_key BLOB,
    payload TEXT NOT NULL,
    create_time INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_entries_by_time ON audit_entries (tenant_id, create_time, entry_id);

-- Locks of numbers. No foreign key may point here: it would wait for the lock.
CREATE TABLE number_locks (
    tenant_id TEXT NOT NULL,
    number_key BLOB NOT NULL,
    PRIMARY KEY (tenant_id, number_key)
) STRICT;

-- Rule packs by the hash that decisions name, each text kept once, so that an old decision can be made again.
CREATE TABLE packs (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
) STRICT;
CREATE TABLE pack_files (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,
    PRIMARY KEY (tenant_id, sha256, name)
) STRICT;
CREATE TABLE pack_texts (
    tenant_id TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (tenant_id, text_sha256)
) STRICT;

-- Which pack decides since when; the highest epoch is in force. Append-only.
CREATE TABLE activations (
    activation_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    base_sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('configured', 'uploaded')),
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    UNIQUE (tenant_id, epoch)
) STRICT;
CREATE INDEX activations_by_time ON activations (tenant_id, create_time, activation_id);

-- Regions in which nobody is called for a time.
CREATE TABLE region_stops (
    stop_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    region TEXT NOT NULL,
    reason TEXT NOT NULL,
    start_time INTEGER,
    expire_time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    lift_time INTEGER,
    lift_reason TEXT,
    lift_actor TEXT,
    CHECK (start_time < expire_time),
    CHECK (lift_time IS NULL OR lift_reason IS NOT NULL AND lift_actor IS NOT NULL)
) STRICT;
CREATE INDEX region_stops_in_force ON region_stops (tenant_id, expire_time) WHERE lift_time IS NULL;
CREATE INDEX region_stops_by_time ON region_stops (tenant_id, create_time, stop_id);

-- Credentials, as hashes.
CREATE TABLE api_keys (
    api_key_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('agent', 'administrator', 'auditor')),
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    create_time INTEGER NOT NULL,
    revoke_time INTEGER
) STRICT;

-- Processes and their heartbeats; they serve every tenant.
CREATE TABLE nodes (
    incarnation BLOB PRIMARY KEY NOT NULL,
    node TEXT NOT NULL,
    beats INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL
) STRICT;

-- About this database as a whole: the check value of the key file.
CREATE TABLE store_meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;
