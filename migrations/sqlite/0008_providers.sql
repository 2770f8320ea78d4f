-- What providers said of numbers when they were asked online. Only added; a result counts until `valid_until`, and what
-- holds of several is computed. `for_date` is a date as text: since when, where that was asked.
CREATE TABLE scrub_results (
    scrub_result_id BLOB PRIMARY KEY NOT NULL,
    tenant_id TEXT NOT NULL,
    number_key BLOB NOT NULL CHECK (length(number_key) = 32),
    provider TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reassigned', 'line_type', 'litigator')),
    result TEXT NOT NULL CHECK (result IN ('listed', 'clear', 'unknown', 'error')),
    raw_code TEXT NOT NULL,
    line_type TEXT CHECK (line_type IN ('landline', 'mobile', 'voip', 'unknown')),
    for_date TEXT,
    asked_time INTEGER NOT NULL,
    answered_time INTEGER NOT NULL,
    valid_until INTEGER NOT NULL
) STRICT;
CREATE INDEX scrub_results_by_number ON scrub_results (tenant_id, number_key, answered_time);

-- Questions that were put to a provider on a day (UTC), counted before they are sent, by all nodes together.
CREATE TABLE provider_days (
    tenant_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, provider, day)
) STRICT;
