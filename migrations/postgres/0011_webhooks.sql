-- How far each webhook is in the changes of suppressions, and whose turn it is. A change is an outgoing message by its
-- position, so nothing is written when one happens. `owner` is the process that delivers just now; it is taken by counting
-- `epoch` up, and whoever lost it can record nothing any more. A row outlives its section of the configuration.
CREATE TABLE webhooks (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    round BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    batch_end BIGINT,
    state TEXT NOT NULL CHECK (state IN ('delivering', 'parked')),
    tries BIGINT NOT NULL,
    failing_since_time BIGINT,
    tried_time BIGINT,
    failing_micros BIGINT NOT NULL,
    next_try_time BIGINT,
    last_problem TEXT,
    delivered_time BIGINT,
    owner UUID,
    epoch BIGINT NOT NULL,
    lease_micros BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE VIEW webhooks_readable AS SELECT
    tenant_id, name, round, delivered, batch_end, state, tries, to_timestamp(failing_since_time / 1000000.0) AS failing_since_time,
    to_timestamp(tried_time / 1000000.0) AS tried_time, failing_micros, to_timestamp(next_try_time / 1000000.0) AS next_try_time,
    last_problem, to_timestamp(delivered_time / 1000000.0) AS delivered_time, owner, epoch, lease_micros,
    to_timestamp(create_time / 1000000.0) AS create_time
FROM webhooks;
