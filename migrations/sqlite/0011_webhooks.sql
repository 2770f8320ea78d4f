-- How far each webhook is in the changes of suppressions, and whose turn it is. A change is an outgoing message by its
-- position, so nothing is written when one happens. `owner` is the process that delivers just now; it is taken by counting
-- `epoch` up, and whoever lost it can record nothing any more. A row outlives its section of the configuration.
CREATE TABLE webhooks (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    round INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    batch_end INTEGER,
    state TEXT NOT NULL CHECK (state IN ('delivering', 'parked')),
    tries INTEGER NOT NULL,
    failing_since_time INTEGER,
    tried_time INTEGER,
    failing_micros INTEGER NOT NULL,
    next_try_time INTEGER,
    last_problem TEXT,
    delivered_time INTEGER,
    owner BLOB,
    epoch INTEGER NOT NULL,
    lease_micros INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;
