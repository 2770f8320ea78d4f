-- What clients ask of calls that are up: another session, an answer to one that the far end offers, tones. The owner of the
-- call does it and writes down what became of it; then `sealed_body` is gone, for tones may be the digits of a card.
CREATE TABLE instructions (
    instruction_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    call_id BLOB NOT NULL REFERENCES calls (call_id),
    kind TEXT NOT NULL CHECK (kind IN ('offer', 'answer', 'decline', 'dtmf')),
    number INTEGER,
    sealed_body BLOB,
    result TEXT CHECK (result IN ('done', 'refused', 'not_up', 'offer_over', 'misfit', 'busy')),
    sip_code INTEGER,
    sealed_answer BLOB,
    create_time INTEGER NOT NULL,
    end_time INTEGER
) STRICT;

-- Of all that there ever were a few are open.
CREATE INDEX instructions_open ON instructions (call_id) WHERE result IS NULL;
