-- Calls wait in the queue of their campaign, and the trunk is chosen when they are leased. `trunk` of a call that waits is the
-- one that it would go by now; it counts against that trunk's `queue_max`, and nodes of the release before lease by it.
CREATE INDEX calls_queued_by_campaign ON calls (campaign_id, create_time, call_id) WHERE queue_state = 'queued';
