-- Registers: somebody else's do-not-call lists. Only added; the highest position of a register is in force. `as_of` is a
-- date as text, `covers` the beginnings of the numbers that the list is complete for, separated by commas.
CREATE TABLE register_snapshots (
    snapshot_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    register TEXT NOT NULL,
    position BIGINT NOT NULL,
    as_of TEXT NOT NULL,
    covers TEXT NOT NULL,
    numbers BIGINT NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    file_bytes BIGINT NOT NULL,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    UNIQUE (tenant_id, register, position)
);
CREATE INDEX register_snapshots_by_time ON register_snapshots (tenant_id, create_time, snapshot_id);

-- The files of snapshots in pieces, by the hash of the whole, for nodes that do not have them; those of the latest two of
-- each register.
CREATE TABLE register_pieces (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    position BIGINT NOT NULL,
    content BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sha256, position)
);

CREATE VIEW register_snapshots_readable AS SELECT
    snapshot_id, tenant_id, register, position, as_of, covers, numbers, rows_read, rows_rejected, sha256, file_bytes, actor,
    to_timestamp(create_time / 1000000.0) AS create_time
FROM register_snapshots;
