-- The inbox (what providers tell us) and the outbox (what we tell the world).

CREATE TABLE inbound_webhook (
  tenant_id INT NOT NULL,
  id UUID NOT NULL CONSTRAINT inbound_webhook_id_unique UNIQUE,
  provider_account_id UUID NOT NULL,
  provider_event_id TEXT NOT NULL,
  kind TEXT,
  payload BYTEA NOT NULL,
  headers JSONB NOT NULL,
  body_sha256 BYTEA NOT NULL,
  correlation_id TEXT NOT NULL,
  received_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  status TEXT NOT NULL DEFAULT 'RECEIVED' CONSTRAINT inbound_webhook_status_known CHECK (status IN ('RECEIVED', 'DEFERRED', 'PROCESSED', 'IGNORED', 'FAILED', 'DEAD')),
  tries INT NOT NULL DEFAULT 0,
  error TEXT,
  processed_at TIMESTAMPTZ,
  next_action_at TIMESTAMPTZ,
  lease_until TIMESTAMPTZ,
  fence BIGINT NOT NULL DEFAULT 0
);
COMMENT ON TABLE inbound_webhook IS 'Callbacks as they arrived, each once. Payload columns never change; only delivery columns do.';
COMMENT ON COLUMN inbound_webhook.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN inbound_webhook.id IS 'Identifier (whk_…).';
COMMENT ON COLUMN inbound_webhook.provider_account_id IS 'Whose URL it came to.';
COMMENT ON COLUMN inbound_webhook.provider_event_id IS 'The provider''s event id, or a digest of the body.';
COMMENT ON COLUMN inbound_webhook.kind IS 'The provider''s name of the event.';
COMMENT ON COLUMN inbound_webhook.payload IS 'The raw body that was verified.';
COMMENT ON COLUMN inbound_webhook.headers IS 'The headers needed to verify and translate it again.';
COMMENT ON COLUMN inbound_webhook.body_sha256 IS 'Kept when the payload is archived.';
COMMENT ON COLUMN inbound_webhook.correlation_id IS 'Ties it to logs and to what it caused.';
COMMENT ON COLUMN inbound_webhook.received_at IS 'When it arrived.';
COMMENT ON COLUMN inbound_webhook.status IS 'Where its processing stands.';
COMMENT ON COLUMN inbound_webhook.tries IS 'Times it was claimed since it was last understood.';
COMMENT ON COLUMN inbound_webhook.error IS 'Why the last try failed.';
COMMENT ON COLUMN inbound_webhook.processed_at IS 'When its effect was committed.';
COMMENT ON COLUMN inbound_webhook.next_action_at IS 'When it is tried next; NULL when done.';
COMMENT ON COLUMN inbound_webhook.lease_until IS 'A claim holds it until then, by the database clock.';
COMMENT ON COLUMN inbound_webhook.fence IS 'Raised by each claim.';
CREATE INDEX inbound_webhook_due ON inbound_webhook (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX inbound_webhook_by_arrival ON inbound_webhook (tenant_id, received_at DESC, id DESC);
-- In this order, and partial, for the planner's sake (tests/payments/test_plans.py).
ALTER TABLE inbound_webhook ADD PRIMARY KEY (tenant_id, id);
CREATE UNIQUE INDEX inbound_webhook_event_unique ON inbound_webhook (tenant_id, provider_account_id, provider_event_id)
  WHERE provider_event_id IS NOT NULL;
CREATE TRIGGER inbound_webhook_payload_is_append_only BEFORE UPDATE OF tenant_id, id, provider_account_id, provider_event_id, payload, headers, body_sha256, received_at ON inbound_webhook
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER inbound_webhook_is_never_deleted BEFORE DELETE OR TRUNCATE ON inbound_webhook
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('inbound_webhook', 'SELECT, INSERT, UPDATE');

CREATE TABLE outbox (
  tenant_id INT NOT NULL,
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  public_id UUID NOT NULL,
  aggregate_type TEXT NOT NULL,
  aggregate_id UUID NOT NULL,
  type TEXT NOT NULL,
  payload JSONB NOT NULL,
  headers JSONB NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  sequence BIGINT,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE outbox IS 'Facts for the world, written with the state change they tell of.';
COMMENT ON COLUMN outbox.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN outbox.id IS 'Insertion order; not commit order.';
COMMENT ON COLUMN outbox.public_id IS 'Event id (evt_…), stable over redelivery.';
COMMENT ON COLUMN outbox.aggregate_type IS 'payment, refund, account …';
COMMENT ON COLUMN outbox.aggregate_id IS 'The thing the event is about.';
COMMENT ON COLUMN outbox.type IS 'Event type with version: payment.captured.v1.';
COMMENT ON COLUMN outbox.payload IS 'The fact.';
COMMENT ON COLUMN outbox.headers IS 'correlation_id, causation_id, actor.';
COMMENT ON COLUMN outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN outbox.sequence IS 'Gapless number per tenant, given after commit by the sequencer.';
CREATE INDEX outbox_unsequenced ON outbox (id) WHERE sequence IS NULL;
CREATE INDEX outbox_by_aggregate ON outbox (tenant_id, aggregate_id, id);
CREATE TRIGGER outbox_payload_is_append_only BEFORE UPDATE OF tenant_id, public_id, aggregate_type, aggregate_id, type, payload, headers, created_at ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outbox_is_never_deleted BEFORE DELETE OR TRUNCATE ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('outbox', 'SELECT, INSERT');

CREATE FUNCTION claim_webhooks(p_limit INT, p_lease INTERVAL)
RETURNS TABLE (tenant_id INT, webhook_id UUID, fence BIGINT)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  UPDATE public.inbound_webhook AS w
     SET lease_until = clock_timestamp() + p_lease, fence = w.fence + 1, tries = w.tries + 1
    FROM (SELECT d.tenant_id, d.id
            FROM public.inbound_webhook AS d
           WHERE d.next_action_at <= clock_timestamp()
             AND (d.lease_until IS NULL OR d.lease_until <= clock_timestamp())
           ORDER BY d.next_action_at
           LIMIT least(p_limit, 100)
             FOR NO KEY UPDATE SKIP LOCKED) AS due
   WHERE w.tenant_id = due.tenant_id AND w.id = due.id
  RETURNING w.tenant_id, w.id, w.fence
$$;
COMMENT ON FUNCTION claim_webhooks(INT, INTERVAL) IS 'Leases due callbacks of any tenant to one worker; returns keys only.';
REVOKE ALL ON FUNCTION claim_webhooks(INT, INTERVAL) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_webhooks(INT, INTERVAL) TO cf_app;
