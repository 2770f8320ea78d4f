-- An opt-out may be about an account, the organisation that people belong to, and may be limited to purposes.
--
-- Which account a person belongs to or belonged to; an ended link stays, for who left after an opt-out is bound by it. The
-- account's name is sealed under the person's key, and is looked up by its keyed hash. Beside the profile, not within it: a
-- node of the release before, which records a person anew, leaves it as it is. `suppression_raises.number_key` is the key
-- of the account where the opt-out is about one.
CREATE TABLE party_accounts (
    tenant_id TEXT NOT NULL,
    party_id UUID NOT NULL REFERENCES parties (party_id),
    account_key BYTEA NOT NULL CHECK (length(account_key) = 32),
    sealed_account BYTEA,
    create_time BIGINT NOT NULL,
    end_time BIGINT,
    PRIMARY KEY (tenant_id, account_key, party_id)
);
CREATE INDEX party_accounts_by_person ON party_accounts (tenant_id, party_id, account_key);
CREATE UNIQUE INDEX party_accounts_at_present ON party_accounts (party_id) WHERE end_time IS NULL;

-- The purpose of the call as its claim was judged; absent in attempts from before, which every opt-out covers.
ALTER TABLE attempts ADD COLUMN purpose TEXT CHECK (purpose IN ('sales', 'informational', 'service'));

-- `suppressions_check1` is that of exactly one subject. `purposes`: a blank between them, nothing = all.
ALTER TABLE suppressions
    ADD COLUMN account_key BYTEA CHECK (length(account_key) = 32),
    ADD COLUMN purposes TEXT NOT NULL DEFAULT '',
    DROP CONSTRAINT suppressions_check1,
    ADD CONSTRAINT suppressions_subject_check CHECK (num_nonnulls(number_key, party_id, account_key) = 1);
-- With the order of a list, or who asks for the newest of one number is led over all there are.
DROP INDEX suppressions_by_number, suppressions_by_party, consents_by_person;
CREATE INDEX suppressions_by_number ON suppressions (tenant_id, number_key, create_time, suppression_id)
    WHERE number_key IS NOT NULL;
CREATE INDEX suppressions_by_party ON suppressions (tenant_id, party_id, create_time, suppression_id)
    WHERE party_id IS NOT NULL;
CREATE INDEX consents_by_person ON consents (tenant_id, party_id, create_time, consent_event_id);
CREATE INDEX consents_by_number ON consents (tenant_id, number_key, create_time, consent_event_id);
CREATE INDEX suppressions_by_account ON suppressions (tenant_id, account_key, create_time, suppression_id)
    WHERE account_key IS NOT NULL;

CREATE OR REPLACE VIEW suppressions_readable AS SELECT
    suppression_id, tenant_id, encode(number_key, 'hex') AS number_key, party_id, seller, channels, reason, source,
    to_timestamp(received_time / 1000000.0) AS received_time, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(expire_time / 1000000.0) AS expire_time,
    to_timestamp(lift_request_time / 1000000.0) AS lift_request_time, to_timestamp(lift_time / 1000000.0) AS lift_time,
    evidence_ref, actor, lift_requested_by, lift_approved_by, lift_reason, lift_evidence_ref,
    to_timestamp(lift_evidence_time / 1000000.0) AS lift_evidence_time, encode(account_key, 'hex') AS account_key, purposes
FROM suppressions;
CREATE OR REPLACE VIEW attempts_readable AS SELECT
    attempt_id, tenant_id, call_id, party_id, encode(number_key, 'hex') AS number_key, seller, subject, decision_id, trunk,
    sip_call_id, owner, permit_ms, permit_open, cancel_requested, to_timestamp(create_time / 1000000.0) AS create_time,
    outcome, result, to_timestamp(end_time / 1000000.0) AS end_time, purpose
FROM attempts;
CREATE VIEW party_accounts_readable AS SELECT
    tenant_id, party_id, encode(account_key, 'hex') AS account_key, to_timestamp(create_time / 1000000.0) AS create_time,
    to_timestamp(end_time / 1000000.0) AS end_time
FROM party_accounts;
