-- Calls for which an agent's phone is called first. `agent` is the name of a section of the configuration; a call of which
-- the agent was not to be had has no attempt, for nothing was sent to the person. What stands in `sealed_offer` of such
-- a call a node of the release before cannot open, and ends the call undialed.
ALTER TABLE calls ADD COLUMN agent TEXT;
ALTER TABLE calls ADD COLUMN agent_result TEXT CHECK (agent_result IN (
        'busy', 'declined', 'no_answer', 'unreachable', 'media_incompatible', 'hung_up', 'kept_waiting'));

-- When a call was found to be abandoned: answered by a person, and nobody there to talk.
ALTER TABLE calls ADD COLUMN abandon_time BIGINT;
ALTER TABLE attempts ADD COLUMN abandon_time BIGINT;

-- The call that each agent was last called for; they have no other while it is leased or claimed.
CREATE TABLE agent_seats (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    call_id UUID NOT NULL REFERENCES calls (call_id),
    PRIMARY KEY (tenant_id, agent)
);

ALTER TABLE call_events DROP CONSTRAINT call_events_kind_check,
    ADD CONSTRAINT call_events_kind_check CHECK (kind IN (
        'queued', 'claimed', 'inviting', 'progress', 'ringing', 'early_media', 'answered', 'media_offer',
        'hang_up_requested', 'opt_out', 'late_send', 'note', 'denied', 'expired', 'ended', 'agent_called',
        'agent_ringing', 'agent_answered', 'agent_gone', 'connected'));

CREATE OR REPLACE VIEW calls_readable AS SELECT
    call_id, tenant_id, party_id, encode(number_key, 'hex') AS number_key, campaign_id, seller, subject, call_kind, trunk, state,
    queue_state, attempt_id, place_decision_id, claim_decision_id, outcome, sip_code, q850_cause, actor, hang_up_requested,
    to_timestamp(create_time / 1000000.0) AS create_time, to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(invite_time / 1000000.0) AS invite_time, to_timestamp(ring_time / 1000000.0) AS ring_time,
    to_timestamp(answer_time / 1000000.0) AS answer_time, to_timestamp(end_time / 1000000.0) AS end_time,
    agent, agent_result, to_timestamp(abandon_time / 1000000.0) AS abandon_time
FROM calls;
CREATE OR REPLACE VIEW attempts_readable AS SELECT
    attempt_id, tenant_id, call_id, party_id, encode(number_key, 'hex') AS number_key, seller, subject, decision_id, trunk,
    sip_call_id, owner, permit_ms, permit_open, cancel_requested, to_timestamp(create_time / 1000000.0) AS create_time,
    outcome, result, to_timestamp(end_time / 1000000.0) AS end_time, purpose,
    to_timestamp(abandon_time / 1000000.0) AS abandon_time
FROM attempts;
