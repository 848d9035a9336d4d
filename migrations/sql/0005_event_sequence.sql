-- The sequence of events: one number after the other for each tenant, given after commit. Ids will not
-- do for readers: a row with a lower id may be committed after one with a higher id was read.

CREATE TABLE outbox_counter (
  tenant_id INT PRIMARY KEY,
  last BIGINT NOT NULL DEFAULT 0 CONSTRAINT outbox_counter_last_rises CHECK (last >= 0)
);
COMMENT ON TABLE outbox_counter IS 'The last sequence of each tenant; its lock is held while numbers are given.';
COMMENT ON COLUMN outbox_counter.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN outbox_counter.last IS 'The last number given.';
CALL protect('outbox_counter', 'SELECT');

CREATE UNIQUE INDEX outbox_by_sequence ON outbox (tenant_id, sequence) WHERE sequence IS NOT NULL;
CREATE TRIGGER outbox_sequence_is_final BEFORE UPDATE OF sequence ON outbox
  FOR EACH ROW WHEN (OLD.sequence IS NOT NULL) EXECUTE FUNCTION refuse_change();
-- The product tells of events; only the function below numbers them.
REVOKE INSERT ON outbox FROM cf_app;
GRANT INSERT (tenant_id, public_id, aggregate_type, aggregate_id, type, payload, headers) ON outbox TO cf_app;

CREATE FUNCTION sequence_outbox(p_limit INT) RETURNS INT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- Its plans live as long as the session, and may have been made while the table was tiny.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
  tenants INT[];
  given INT;
BEGIN
  SELECT array_agg(DISTINCT w.tenant_id) INTO tenants
    FROM (SELECT o.tenant_id FROM public.outbox AS o
           WHERE o.sequence IS NULL ORDER BY o.id LIMIT p_limit) AS w;
  IF tenants IS NULL THEN
    RETURN 0;
  END IF;
  INSERT INTO public.outbox_counter (tenant_id)
  SELECT t FROM unnest(tenants) AS t ORDER BY t ON CONFLICT DO NOTHING;
  -- A statement of its own: what is read after it sees the numbers of whoever held the locks before.
  PERFORM 1 FROM public.outbox_counter AS c
    WHERE c.tenant_id = ANY (tenants) ORDER BY c.tenant_id FOR NO KEY UPDATE;
  -- One snapshot: if it has an event, it has all that happened to the same thing before.
  WITH waiting AS (
    SELECT o.tenant_id, o.id FROM public.outbox AS o
     WHERE o.sequence IS NULL ORDER BY o.id LIMIT p_limit
  ), numbered AS (
    SELECT w.tenant_id, w.id,
           c.last + row_number() OVER (PARTITION BY w.tenant_id ORDER BY w.id) AS sequence
      FROM waiting AS w JOIN public.outbox_counter AS c ON c.tenant_id = w.tenant_id
     WHERE w.tenant_id = ANY (tenants)
  ), written AS (
    UPDATE public.outbox AS o SET sequence = n.sequence FROM numbered AS n
     WHERE o.tenant_id = n.tenant_id AND o.id = n.id
    RETURNING o.tenant_id, o.sequence
  ), counted AS (
    UPDATE public.outbox_counter AS c SET last = w.last
      FROM (SELECT t.tenant_id, max(t.sequence) AS last FROM written AS t GROUP BY t.tenant_id) AS w
     WHERE c.tenant_id = w.tenant_id
  )
  SELECT count(*)::INT INTO given FROM written;
  RETURN given;
END $$;
COMMENT ON FUNCTION sequence_outbox(INT) IS 'Numbers committed events of all tenants in the order of their ids; returns how many.';

CREATE FUNCTION follow_outbox(p_tenants INT[], p_after BIGINT[], p_limit INT)
RETURNS TABLE (tenant_id INT, sequence BIGINT, payment_id TEXT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT f.tenant_id, e.sequence, e.payload ->> 'payment_id'
    FROM unnest(p_tenants, p_after) AS f(tenant_id, after)
   CROSS JOIN LATERAL (
     SELECT o.sequence, o.payload FROM public.outbox AS o
      WHERE o.tenant_id = f.tenant_id AND o.sequence > f.after
      ORDER BY o.sequence LIMIT least(p_limit, 1000)
   ) AS e
$$;
COMMENT ON FUNCTION follow_outbox(INT[], BIGINT[], INT) IS 'Which payments the next events of some tenants are about, each tenant after a sequence of its own; keys only.';

CREATE FUNCTION measure_outbox() RETURNS TABLE (waiting BIGINT, oldest_seconds DOUBLE PRECISION)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT count(*), coalesce(extract(EPOCH FROM clock_timestamp() - min(w.created_at)), 0)::DOUBLE PRECISION
    FROM (SELECT o.created_at FROM public.outbox AS o
           WHERE o.sequence IS NULL ORDER BY o.id LIMIT 10000) AS w
$$;
COMMENT ON FUNCTION measure_outbox() IS 'How many events wait for a number, counted to 10 000, and for how long the oldest has.';

REVOKE ALL ON FUNCTION sequence_outbox(INT), follow_outbox(INT[], BIGINT[], INT), measure_outbox() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sequence_outbox(INT), follow_outbox(INT[], BIGINT[], INT), measure_outbox() TO cf_app;
