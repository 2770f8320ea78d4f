-- Registers: somebody else's do-not-call lists. Only added; the highest position of a register is in force. `as_of` is a
-- date as text, `covers` the beginnings of the numbers that the list is complete for, separated by commas.
CREATE TABLE register_snapshots (
    snapshot_id BLOB PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    register TEXT NOT NULL,
    position INTEGER NOT NULL,
    as_of TEXT NOT NULL,
    covers TEXT NOT NULL,
    numbers INTEGER NOT NULL,
    rows_read INTEGER NOT NULL,
    rows_rejected INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    file_bytes INTEGER NOT NULL,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    UNIQUE (tenant_id, register, position)
) STRICT;
CREATE INDEX register_snapshots_by_time ON register_snapshots (tenant_id, create_time, snapshot_id);

-- The files of snapshots in pieces, by the hash of the whole, for nodes that do not have them; those of the latest two of
-- each register.
CREATE TABLE register_pieces (
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    position INTEGER NOT NULL,
    content BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sha256, position)
) STRICT;
