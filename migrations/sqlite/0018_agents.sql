-- Calls for which an agent's phone is called first. `agent` is the name of a section of the configuration; a call of which
-- the agent was not to be had has no attempt, for nothing was sent to the person. What stands in `sealed_offer` of such
-- a call a node of the release before cannot open, and ends the call undialed.
ALTER TABLE calls ADD COLUMN agent TEXT;
ALTER TABLE calls ADD COLUMN agent_result TEXT CHECK (agent_result IN (
        'busy', 'declined', 'no_answer', 'unreachable', 'media_incompatible', 'hung_up', 'kept_waiting'));

-- When a call was found to be abandoned: answered by a person, and nobody there to talk.
ALTER TABLE calls ADD COLUMN abandon_time INTEGER;
ALTER TABLE attempts ADD COLUMN abandon_time INTEGER;

-- The call that each agent was last called for; they have no other while it is leased or claimed.
CREATE TABLE agent_seats (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    PRIMARY KEY (tenant_id, agent)
) STRICT;

-- SQLite changes no CHECK of a table that is there.
CREATE TABLE call_events_of_agents (
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    tenant_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'queued', 'claimed', 'inviting', 'progress', 'ringing', 'early_media', 'answered', 'media_offer',
        'hang_up_requested', 'opt_out', 'late_send', 'note', 'denied', 'expired', 'ended', 'agent_called',
        'agent_ringing', 'agent_answered', 'agent_gone', 'connected')),
    detail TEXT NOT NULL,
    sealed_sdp BLOB,
    PRIMARY KEY (call_id, sequence)
) STRICT;
INSERT INTO call_events_of_agents (call_id, sequence, event_id, tenant_id, event_time, kind, detail, sealed_sdp)
SELECT call_id, sequence, event_id, tenant_id, event_time, kind, detail, sealed_sdp FROM call_events;
DROP TABLE call_events;
ALTER TABLE call_events_of_agents RENAME TO call_events;
