-- Lists of consents are kept track of as lists of opt-outs are, and in the same two tables, whose names are older than that.
-- Their settings are hashed under another name, so the same file as the one and as the other is two imports.
ALTER TABLE suppression_imports ADD COLUMN kind TEXT NOT NULL DEFAULT 'suppressions'
    CHECK (kind IN ('suppressions', 'consents'));

-- Whose consent may have come before an opt-out is asked for each row of a list: by which numbers somebody is reached has to be read
-- from the index alone, or SQLite takes the primary key for it and walks over all of the tenant's numbers.
CREATE INDEX party_numbers_of_person ON party_numbers (tenant_id, party_id, number_key);
DROP INDEX party_numbers_by_person;
