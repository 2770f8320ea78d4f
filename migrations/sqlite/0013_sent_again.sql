-- A list that is done and is sent again is a new import, which looks at every row anew. One that is open is gone on with, and there
-- is at most one. When a list first came is asked for each of its imports: what stands in it had been said by then.
DROP INDEX suppression_imports_by_content;
CREATE UNIQUE INDEX suppression_imports_open ON suppression_imports (tenant_id, content_sha256, settings_sha256)
    WHERE state = 'open';
CREATE INDEX suppression_imports_by_content ON suppression_imports (tenant_id, content_sha256, settings_sha256, create_time)
    WHERE state <> 'failed';
