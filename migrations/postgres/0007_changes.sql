-- What happened to suppressions, in one order that never changes afterwards, for who follows them. `told` counts what of a
-- suppression stands here: 1 that it was recorded, 2 that its lift was asked for, 3 that it was lifted. Who records one, and
-- a node of the release before, leave it behind; who follows catches up.
ALTER TABLE suppressions ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
CREATE INDEX suppressions_untold ON suppressions (tenant_id, create_time, suppression_id)
    WHERE told < CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END;
CREATE TABLE suppression_changes (
    tenant_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    suppression_id UUID NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('recorded', 'lift_requested', 'lifted')),
    PRIMARY KEY (tenant_id, position)
);
