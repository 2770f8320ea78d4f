-- Lists of opt-outs that are recorded row by row: which list, how far, and what became of its rows. The same list, read in the
-- same way, is one import until that has failed; of those who send it, the last one to begin (`runner`) goes on with it. Times are
-- microseconds since 1970.
CREATE TABLE suppression_imports (
    import_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'finished', 'failed')),
    content_sha256 BLOB NOT NULL CHECK (length(content_sha256) = 32),
    size_bytes INTEGER NOT NULL,
    settings_sha256 BLOB NOT NULL CHECK (length(settings_sha256) = 32),
    runner BLOB NOT NULL,
    rows_read INTEGER NOT NULL,
    rows_created INTEGER NOT NULL,
    rows_repeated INTEGER NOT NULL,
    rows_rejected INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    lines_sha256 BLOB NOT NULL CHECK (length(lines_sha256) = 32),
    acknowledged_lines INTEGER NOT NULL,
    acknowledged_rows INTEGER NOT NULL,
    problem TEXT,
    actor TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    end_time INTEGER,
    CHECK ((state = 'open') = (end_time IS NULL)),
    CHECK ((state = 'failed') = (problem IS NOT NULL)),
    CHECK (acknowledged_lines <= lines AND acknowledged_rows <= rows_read)
) STRICT;
CREATE UNIQUE INDEX suppression_imports_by_content ON suppression_imports (tenant_id, content_sha256, settings_sha256)
    WHERE state <> 'failed';
CREATE INDEX suppression_imports_by_time ON suppression_imports (tenant_id, create_time, import_id);

-- Rows of them that were not recorded: where, and why, and never what stood there.
CREATE TABLE suppression_import_rejects (
    tenant_id TEXT NOT NULL,
    import_id BLOB NOT NULL,
    line INTEGER NOT NULL,
    reason TEXT NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (tenant_id, import_id, line)
) STRICT;
