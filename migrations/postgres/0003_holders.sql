-- Who held the number of an opt-out when it was recorded. Their wish stays theirs when the link ends, whatever the clock of
-- the node that ends it says; only added, beside the link, so that an opt-out waits for nobody who is changing the person.
-- `held_until` is microseconds since 1970: the link lasted at least until then.
CREATE TABLE suppression_holders (
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL,
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    suppression_id UUID NOT NULL,
    held_until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, party_id, number_key, suppression_id)
);

-- What a sweeper ended on record though its owner lives; the owner looks for it four times a second.
CREATE INDEX attempts_interrupted ON attempts (owner) WHERE outcome = 'interrupted_unknown';
