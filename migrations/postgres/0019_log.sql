-- The transparency log over the audit entries (docs/AUDIT.md). An entry is written with its effect, in any order and by any
-- release; the sequencer gives it its place afterwards, once: `log_index` is what goes one way in a row that else never changes.
-- Entries from before get theirs in the same way.
ALTER TABLE audit_entries ADD COLUMN log_index BIGINT;
CREATE UNIQUE INDEX audit_entries_by_place ON audit_entries (tenant_id, log_index) WHERE log_index IS NOT NULL;
-- Of all that there ever were a few have no place yet.
CREATE INDEX audit_entries_unplaced ON audit_entries (tenant_id, entry_id) WHERE log_index IS NULL;

-- How long each log is, and by whose signature it is known. Its row is the sequencer's turn.
CREATE TABLE audit_logs (
    tenant_id TEXT PRIMARY KEY,
    verifier_key TEXT NOT NULL,
    tree_size BIGINT NOT NULL,
    create_time BIGINT NOT NULL
);

-- The tree, 256 hashes of 32 bytes a row: level 0 holds the leaves, each one above the roots of the tiles below it.
CREATE TABLE audit_tiles (
    tenant_id TEXT NOT NULL,
    level BIGINT NOT NULL,
    tile_index BIGINT NOT NULL,
    hashes BYTEA NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (tenant_id, level, tile_index)
);

-- Every checkpoint that was signed, as the note that others keep.
CREATE TABLE audit_checkpoints (
    tenant_id TEXT NOT NULL,
    tree_size BIGINT NOT NULL,
    note TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, tree_size)
);

CREATE OR REPLACE VIEW audit_readable AS SELECT
    entry_id, tenant_id, kind, actor, encode(subject_key, 'hex') AS subject_key, payload,
    to_timestamp(create_time / 1000000.0) AS create_time, log_index
FROM audit_entries;
CREATE VIEW audit_logs_readable AS SELECT
    tenant_id, verifier_key, tree_size, to_timestamp(create_time / 1000000.0) AS create_time
FROM audit_logs;
CREATE VIEW audit_checkpoints_readable AS SELECT
    tenant_id, tree_size, note, to_timestamp(create_time / 1000000.0) AS create_time
FROM audit_checkpoints;
