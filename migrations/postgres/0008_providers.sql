-- What providers said of numbers when they were asked online. Only added; a result counts until `valid_until`, and what
-- holds of several is computed. `for_date` is a date as text: since when, where that was asked.
CREATE TABLE scrub_results (
    scrub_result_id UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number_key BYTEA NOT NULL CHECK (length(number_key) = 32),
    provider TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reassigned', 'line_type', 'litigator')),
    result TEXT NOT NULL CHECK (result IN ('listed', 'clear', 'unknown', 'error')),
    raw_code TEXT NOT NULL,
    line_type TEXT CHECK (line_type IN ('landline', 'mobile', 'voip', 'unknown')),
    for_date TEXT,
    asked_time BIGINT NOT NULL,
    answered_time BIGINT NOT NULL,
    valid_until BIGINT NOT NULL
);
CREATE INDEX scrub_results_by_number ON scrub_results (tenant_id, number_key, answered_time);

-- Questions that were put to a provider on a day (UTC), counted before they are sent, by all nodes together.
CREATE TABLE provider_days (
    tenant_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    asked BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, provider, day)
);

CREATE VIEW scrub_results_readable AS SELECT
    scrub_result_id, tenant_id, encode(number_key, 'hex') AS number_key, provider, kind, result, raw_code, line_type, for_date,
    to_timestamp(asked_time / 1000000.0) AS asked_time, to_timestamp(answered_time / 1000000.0) AS answered_time,
    to_timestamp(valid_until / 1000000.0) AS valid_until
FROM scrub_results;
