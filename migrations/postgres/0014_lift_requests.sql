-- What waits for an approver is few of many: found without a walk over all.
CREATE INDEX suppressions_lift_requests ON suppressions (tenant_id, create_time, suppression_id)
    WHERE lift_request_time IS NOT NULL;
