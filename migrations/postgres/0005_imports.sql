-- Lists of opt-outs that are recorded row by row: which list, how far, and what became of its rows. The same list, read in the
-- same way, is one import until that has failed; of those who send it, the last one to begin (`runner`) goes on with it. Times are
-- microseconds since 1970.
CREATE TABLE suppression_imports (
    import_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'finished', 'failed')),
    content_sha256 BYTEA NOT NULL CHECK (length(content_sha256) = 32),
    size_bytes BIGINT NOT NULL,
    settings_sha256 BYTEA NOT NULL CHECK (length(settings_sha256) = 32),
    runner UUID NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_created BIGINT NOT NULL,
    rows_repeated BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    lines_sha256 BYTEA NOT NULL CHECK (length(lines_sha256) = 32),
    acknowledged_lines BIGINT NOT NULL,
    acknowledged_rows BIGINT NOT NULL,
    problem TEXT,
    actor TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    end_time BIGINT,
    CHECK ((state = 'open') = (end_time IS NULL)),
    CHECK ((state = 'failed') = (problem IS NOT NULL)),
    CHECK (acknowledged_lines <= lines AND acknowledged_rows <= rows_read)
);
CREATE UNIQUE INDEX suppression_imports_by_content ON suppression_imports (tenant_id, content_sha256, settings_sha256)
    WHERE state <> 'failed';
CREATE INDEX suppression_imports_by_time ON suppression_imports (tenant_id, create_time, import_id);

-- Rows of them that were not recorded: where, and why, and never what stood there.
CREATE TABLE suppression_import_rejects (
    tenant_id TEXT NOT NULL,
    import_id UUID NOT NULL,
    line BIGINT NOT NULL,
    reason TEXT NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (tenant_id, import_id, line)
);

CREATE VIEW suppression_imports_readable AS SELECT
    import_id, tenant_id, state, encode(content_sha256, 'hex') AS content_sha256, size_bytes, rows_read, rows_created,
    rows_repeated, rows_rejected, lines, acknowledged_lines, acknowledged_rows, problem, actor,
    to_timestamp(create_time / 1e6) AS create_time, to_timestamp(end_time / 1e6) AS end_time
FROM suppression_imports;
