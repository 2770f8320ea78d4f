-- A lift is asked for by an administrator, with the date of the permission that is newer than the opt-out, and approved by
-- somebody whose key has a role of its own.
CREATE TABLE api_keys_of_four_roles (
    api_key_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('agent', 'administrator', 'approver', 'auditor')),
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    create_time INTEGER NOT NULL,
    revoke_time INTEGER
) STRICT;
INSERT INTO api_keys_of_four_roles SELECT api_key_id, tenant_id, name, role, secret_hash, create_time, revoke_time FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE api_keys_of_four_roles RENAME TO api_keys;
ALTER TABLE suppressions ADD COLUMN lift_evidence_time INTEGER;
-- A wish without that date cannot be approved any more; it is asked for anew.
UPDATE suppressions SET lift_request_time = NULL, lift_requested_by = NULL, lift_reason = NULL, lift_evidence_ref = NULL
    WHERE lift_time IS NULL AND lift_request_time IS NOT NULL;
