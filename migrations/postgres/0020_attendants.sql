-- Which process has streams by which whoever placed a call follows it. Written only while several processes are at work: a stream
-- that breaks on one of them may go on at another, and nobody is to be hung up for that. A row of a process that is gone is found
-- by the next sweeper, which ends a call that nobody else follows.
CREATE TABLE call_attendants (
    call_id UUID NOT NULL REFERENCES calls (call_id),
    incarnation UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (call_id, incarnation)
);

CREATE INDEX call_attendants_of ON call_attendants (incarnation);

-- What was asked of calls is forgotten a day after it was answered.
CREATE INDEX instructions_ended ON instructions (end_time) WHERE end_time IS NOT NULL;
