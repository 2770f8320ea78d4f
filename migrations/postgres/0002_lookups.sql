-- What is known of a person is looked up by tenant and person. Without statistics SQLite takes any index that begins with
-- the tenant to be good enough, and would walk over all of the tenant's rows.

CREATE INDEX party_numbers_by_person ON party_numbers (tenant_id, party_id);
DROP INDEX party_numbers_by_party;

CREATE INDEX consents_by_person ON consents (tenant_id, party_id, number_key);
DROP INDEX consents_by_party;
