-- What waits, over all tenants, for the metrics of a process. Counts only: no row, no id leaves it.

CREATE INDEX provider_operation_in_review ON provider_operation (created_at) WHERE status = 'IN_REVIEW';
CREATE INDEX inbound_webhook_dead ON inbound_webhook (received_at) WHERE status = 'DEAD';
CREATE INDEX discrepancy_open ON discrepancy (kind, created_at) WHERE status = 'OPEN';

CREATE FUNCTION measure_waiting()
RETURNS TABLE (subject TEXT, kind TEXT, waiting BIGINT, oldest_seconds DOUBLE PRECISION)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- Its plans live as long as the session, and may have been made while the tables were tiny.
SET enable_seqscan = off
AS $$
  WITH found AS (
    SELECT * FROM (
      SELECT 'operation' AS subject, 'UNKNOWN' AS kind, coalesce(o.sent_at, o.created_at) AS since
        FROM public.provider_operation AS o WHERE o.status = 'UNKNOWN' LIMIT 10000) AS unknown
    UNION ALL
    SELECT * FROM (
      SELECT 'operation', 'IN_REVIEW', o.created_at
        FROM public.provider_operation AS o WHERE o.status = 'IN_REVIEW'
       ORDER BY o.created_at LIMIT 10000) AS in_review
    UNION ALL
    -- Due means that a worker should be at it: what it holds under a lease is not late.
    SELECT * FROM (
      SELECT 'operation', 'DUE', o.next_action_at
        FROM public.provider_operation AS o
       WHERE o.next_action_at <= clock_timestamp()
         AND (o.lease_until IS NULL OR o.lease_until <= clock_timestamp())
       ORDER BY o.next_action_at LIMIT 10000) AS due
    UNION ALL
    SELECT * FROM (
      SELECT 'webhook', w.status, w.received_at
        FROM public.inbound_webhook AS w WHERE w.next_action_at IS NOT NULL
       ORDER BY w.next_action_at LIMIT 10000) AS inbox
    UNION ALL
    SELECT * FROM (
      SELECT 'webhook', 'DEAD', w.received_at
        FROM public.inbound_webhook AS w WHERE w.status = 'DEAD'
       ORDER BY w.received_at LIMIT 10000) AS dead
    UNION ALL
    SELECT * FROM (
      SELECT 'discrepancy', d.kind, d.created_at
        FROM public.discrepancy AS d WHERE d.status = 'OPEN'
       ORDER BY d.kind, d.created_at LIMIT 10000) AS discrepancies
  )
  SELECT f.subject, f.kind, count(*),
         greatest(extract(EPOCH FROM clock_timestamp() - min(f.since)), 0)::DOUBLE PRECISION
    FROM found AS f GROUP BY f.subject, f.kind
$$;
COMMENT ON FUNCTION measure_waiting() IS 'How many operations, callbacks and discrepancies wait, each kind counted to 10 000, and for how long the oldest has.';

REVOKE ALL ON FUNCTION measure_waiting() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measure_waiting() TO cf_app;
