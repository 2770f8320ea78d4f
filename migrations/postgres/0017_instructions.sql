-- What clients ask of calls that are up: another session, an answer to one that the far end offers, tones. The owner of the
-- call does it and writes down what became of it; then `sealed_body` is gone, for tones may be the digits of a card.
CREATE TABLE instructions (
    instruction_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    call_id UUID NOT NULL REFERENCES calls (call_id),
    kind TEXT NOT NULL CHECK (kind IN ('offer', 'answer', 'decline', 'dtmf')),
    number BIGINT,
    sealed_body BYTEA,
    result TEXT CHECK (result IN ('done', 'refused', 'not_up', 'offer_over', 'misfit', 'busy')),
    sip_code BIGINT,
    sealed_answer BYTEA,
    create_time BIGINT NOT NULL,
    end_time BIGINT
);

-- Of all that there ever were a few are open.
CREATE INDEX instructions_open ON instructions (call_id) WHERE result IS NULL;

CREATE VIEW instructions_readable AS SELECT
    instruction_id, tenant_id, call_id, kind, number, result, sip_code,
    to_timestamp(create_time / 1000000.0) AS create_time, to_timestamp(end_time / 1000000.0) AS end_time
FROM instructions;
