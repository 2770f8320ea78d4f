-- From when an opt-out binds a person who was given its number afterwards, where that is later than its own time: by the
-- clocks nobody can tell whether it came before a consent of theirs. Only added, beside the opt-out, so that nobody waits;
-- the latest counts. `binds_from` is microseconds since 1970.
CREATE TABLE suppression_raises (
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL,
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    suppression_id UUID NOT NULL,
    binds_from BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, party_id, suppression_id, number_key, binds_from)
);
