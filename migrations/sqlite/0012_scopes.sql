-- An opt-out may be about an account, the organisation that people belong to, and may be limited to purposes.
--
-- Which account a person belongs to or belonged to; an ended link stays, for who left after an opt-out is bound by it. The
-- account's name is sealed under the person's key, and is looked up by its keyed hash. Beside the profile, not within it: a
-- node of the release before, which records a person anew, leaves it as it is. `suppression_raises.number_key` is the key
-- of the account where the opt-out is about one.
CREATE TABLE party_accounts (
    tenant_id TEXT NOT NULL,
    party_id BLOB NOT NULL REFERENCES parties (party_id),
    account_key BLOB NOT NULL CHECK (length(account_key) = 32),
    sealed_account BLOB,
    create_time INTEGER NOT NULL,
    end_time INTEGER,
    PRIMARY KEY (tenant_id, account_key, party_id)
) STRICT;
CREATE INDEX party_accounts_by_person ON party_accounts (tenant_id, party_id, account_key);
CREATE UNIQUE INDEX party_accounts_at_present ON party_accounts (party_id) WHERE end_time IS NULL;

-- The purpose of the call as its claim was judged; absent in attempts from before, which every opt-out covers.
ALTER TABLE attempts ADD COLUMN purpose TEXT CHECK (purpose IN ('sales', 'informational', 'service'));

-- SQLite changes no CHECK of a table that is there. `purposes`: a blank between them, nothing = all.
CREATE TABLE suppressions_of_accounts (
    suppression_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    number_key BLOB CHECK (length(number_key) = 32),
    party_id BLOB,
    seller TEXT,
    channels TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN (
        'party_request', 'objection', 'registry', 'court', 'minor', 'deceased', 'complaint', 'internal', 'litigator')),
    source TEXT NOT NULL CHECK (source IN ('agent', 'ivr', 'web', 'email', 'crm', 'import', 'regulator', 'api')),
    received_time INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER CHECK (expire_time IS NULL OR reason IN ('internal', 'litigator')),
    evidence_ref TEXT,
    sealed_note BLOB,
    actor TEXT NOT NULL,
    lift_request_time INTEGER,
    lift_time INTEGER,
    lift_requested_by TEXT,
    lift_approved_by TEXT,
    lift_reason TEXT,
    lift_evidence_ref TEXT,
    told INTEGER NOT NULL DEFAULT 0,
    lift_evidence_time INTEGER,
    account_key BLOB CHECK (length(account_key) = 32),
    purposes TEXT NOT NULL DEFAULT '',
    CHECK ((number_key IS NOT NULL) + (party_id IS NOT NULL) + (account_key IS NOT NULL) = 1),
    CHECK (lift_time IS NULL OR lift_request_time IS NOT NULL AND lift_approved_by IS NOT NULL),
    CHECK (lift_requested_by <> lift_approved_by)
) STRICT;
INSERT INTO suppressions_of_accounts (
    suppression_id, tenant_id, number_key, party_id, seller, channels, reason, source, received_time, create_time,
    expire_time, evidence_ref, sealed_note, actor, lift_request_time, lift_time, lift_requested_by, lift_approved_by,
    lift_reason, lift_evidence_ref, told, lift_evidence_time)
SELECT
    suppression_id, tenant_id, number_key, party_id, seller, channels, reason, source, received_time, create_time,
    expire_time, evidence_ref, sealed_note, actor, lift_request_time, lift_time, lift_requested_by, lift_approved_by,
    lift_reason, lift_evidence_ref, told, lift_evidence_time
FROM suppressions;
DROP TABLE suppressions;
ALTER TABLE suppressions_of_accounts RENAME TO suppressions;
-- With the order of a list, or who asks for the newest of one number is led over all there are.
CREATE INDEX suppressions_by_number ON suppressions (tenant_id, number_key, create_time, suppression_id)
    WHERE number_key IS NOT NULL;
CREATE INDEX suppressions_by_party ON suppressions (tenant_id, party_id, create_time, suppression_id)
    WHERE party_id IS NOT NULL;
CREATE INDEX suppressions_by_account ON suppressions (tenant_id, account_key, create_time, suppression_id)
    WHERE account_key IS NOT NULL;
CREATE INDEX suppressions_by_time ON suppressions (tenant_id, create_time, suppression_id);
CREATE INDEX suppressions_untold ON suppressions (tenant_id, create_time, suppression_id)
    WHERE told < CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END;

-- The same of consents.
DROP INDEX consents_by_person;
CREATE INDEX consents_by_person ON consents (tenant_id, party_id, create_time, consent_event_id);
CREATE INDEX consents_by_number ON consents (tenant_id, number_key, create_time, consent_event_id);
