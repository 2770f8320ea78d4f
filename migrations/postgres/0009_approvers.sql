-- A lift is asked for by an administrator, with the date of the permission that is newer than the opt-out, and approved by
-- somebody whose key has a role of its own.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check,
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('agent', 'administrator', 'approver', 'auditor'));
ALTER TABLE suppressions ADD COLUMN lift_evidence_time BIGINT;
-- A wish without that date cannot be approved any more; it is asked for anew.
UPDATE suppressions SET lift_request_time = NULL, lift_requested_by = NULL, lift_reason = NULL, lift_evidence_ref = NULL
    WHERE lift_time IS NULL AND lift_request_time IS NOT NULL;

CREATE OR REPLACE VIEW suppressions_readable AS SELECT
    suppression_id, tenant_id, encode(number_key, 'hex') AS number_key, party_id, seller, channels, reason, source,
    to_timestamp(received_time / 1000000.0) AS received_time, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(lift_request_time / 1000000.0) AS lift_request_time, to_timestamp(lift_time / 1000000.0) AS lift_time,
    evidence_ref, actor, lift_requested_by, lift_approved_by, lift_reason, lift_evidence_ref,
    to_timestamp(lift_evidence_time / 1000000.0) AS lift_evidence_time
FROM suppressions;
