-- Methods that customers keep for their next payment. The provider keeps the card; we keep what it
-- calls it there. Removing is ours at once; that the provider forgets as well is work of its own:
-- the rows are its queue (next_action_at, lease_until, fence).

CREATE TABLE saved_method (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  customer_id TEXT NOT NULL,
  provider_account_id UUID NOT NULL,
  type TEXT NOT NULL,
  token_sealed BYTEA,
  token_proof TEXT NOT NULL,
  provider_customer TEXT,
  brand TEXT,
  last4 TEXT CONSTRAINT saved_method_last4_shape CHECK (last4 ~ '^[0-9]{4}$'),
  exp_month INT CONSTRAINT saved_method_exp_month_range CHECK (exp_month BETWEEN 1 AND 12),
  exp_year INT CONSTRAINT saved_method_exp_year_range CHECK (exp_year BETWEEN 2000 AND 2200),
  payment_id UUID NOT NULL,
  correlation_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  removed_at TIMESTAMPTZ,
  detached_at TIMESTAMPTZ,
  next_action_at TIMESTAMPTZ,
  lease_until TIMESTAMPTZ,
  fence BIGINT NOT NULL DEFAULT 0,
  tries INT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT saved_method_provider_account FOREIGN KEY (tenant_id, provider_account_id) REFERENCES provider_account (tenant_id, id),
  CONSTRAINT saved_method_token_while_attached CHECK ((token_sealed IS NULL) = (detached_at IS NOT NULL)),
  CONSTRAINT saved_method_detached_once_removed CHECK (detached_at IS NULL OR removed_at IS NOT NULL),
  CONSTRAINT saved_method_removed_is_told CHECK ((next_action_at IS NOT NULL) = (removed_at IS NOT NULL AND detached_at IS NULL))
);
COMMENT ON TABLE saved_method IS 'Methods customers keep for their next payment. Rows of removed ones stay, so that a late callback cannot bring one back.';
COMMENT ON COLUMN saved_method.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN saved_method.id IS 'Identifier (sm_…).';
COMMENT ON COLUMN saved_method.customer_id IS 'The shop''s own id of the customer whose method it is.';
COMMENT ON COLUMN saved_method.provider_account_id IS 'The one account that can charge it.';
COMMENT ON COLUMN saved_method.type IS 'card, or another type.';
COMMENT ON COLUMN saved_method.token_sealed IS 'What the provider calls it, AES-256-GCM; deleted once the provider has forgotten it.';
COMMENT ON COLUMN saved_method.token_proof IS 'The same for the same token, and tells nothing about it.';
COMMENT ON COLUMN saved_method.provider_customer IS 'The provider''s own customer it belongs to, where the provider has such a thing.';
COMMENT ON COLUMN saved_method.brand IS 'Brand of the card, as far as the provider tells.';
COMMENT ON COLUMN saved_method.last4 IS 'Its last four digits, as far as the provider tells; never more of them.';
COMMENT ON COLUMN saved_method.exp_month IS 'Month it expires, 1 to 12.';
COMMENT ON COLUMN saved_method.exp_year IS 'Year it expires, four digits.';
COMMENT ON COLUMN saved_method.payment_id IS 'The payment whose success kept it.';
COMMENT ON COLUMN saved_method.correlation_id IS 'Request that caused it: to keep it, later to remove it.';
COMMENT ON COLUMN saved_method.created_at IS 'When we learnt that it is kept.';
COMMENT ON COLUMN saved_method.removed_at IS 'From then on nothing is paid with it.';
COMMENT ON COLUMN saved_method.detached_at IS 'When the provider said that it has forgotten it.';
COMMENT ON COLUMN saved_method.next_action_at IS 'While the provider must be told of the removal: when.';
COMMENT ON COLUMN saved_method.lease_until IS 'Until then one worker tells it.';
COMMENT ON COLUMN saved_method.fence IS 'Raised by each claim.';
COMMENT ON COLUMN saved_method.tries IS 'How often the provider was told.';
-- Partial, so that none of them is taken for the primary key on empty tables (see payment in 0003).
CREATE UNIQUE INDEX saved_method_kept_once ON saved_method (tenant_id, token_proof, provider_account_id) WHERE token_proof IS NOT NULL;
CREATE INDEX saved_method_by_customer ON saved_method (tenant_id, customer_id, created_at DESC, id DESC) WHERE customer_id IS NOT NULL;
CREATE INDEX saved_method_due ON saved_method (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE TRIGGER saved_method_terms_are_append_only BEFORE UPDATE OF tenant_id, id, customer_id, provider_account_id, type, token_proof, provider_customer, payment_id, created_at ON saved_method
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('saved_method', 'SELECT, INSERT, UPDATE (token_sealed, brand, last4, exp_month, exp_year, correlation_id, removed_at, detached_at, next_action_at, lease_until, fence, tries)');

ALTER TABLE payment
  ADD COLUMN save_method BOOLEAN NOT NULL DEFAULT FALSE,
  ADD COLUMN saved_method_id UUID,
  ADD CONSTRAINT payment_method_is_kept_for_somebody CHECK (customer_id IS NOT NULL OR (NOT save_method AND saved_method_id IS NULL));
COMMENT ON COLUMN payment.save_method IS 'Whether the customer keeps the method once the provider says that it was charged.';
COMMENT ON COLUMN payment.saved_method_id IS 'The saved method it is paid with, if it is one.';
COMMENT ON COLUMN idempotency_key.principal_scope IS '''server'', the payment behind a client secret, or customer:… with a customer token.';
COMMENT ON COLUMN idempotency_key.resource_type IS 'Prefix of the resource made or acted on: pay, ref, sm …';

-- As claim_operations in 0003.
CREATE FUNCTION claim_detachments(p_limit INT, p_lease INTERVAL)
RETURNS TABLE (tenant_id INT, saved_method_id UUID, fence BIGINT)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  UPDATE public.saved_method AS s
     SET lease_until = clock_timestamp() + p_lease, fence = s.fence + 1, tries = s.tries + 1
    FROM (SELECT d.tenant_id, d.id
            FROM public.saved_method AS d
           WHERE d.next_action_at <= clock_timestamp()
             AND (d.lease_until IS NULL OR d.lease_until <= clock_timestamp())
           ORDER BY d.next_action_at
           LIMIT least(p_limit, 100)
             FOR NO KEY UPDATE SKIP LOCKED) AS due
   WHERE s.tenant_id = due.tenant_id AND s.id = due.id
  RETURNING s.tenant_id, s.id, s.fence
$$;
COMMENT ON FUNCTION claim_detachments(INT, INTERVAL) IS 'Leases removed methods whose provider must be told, of any tenant, to one worker; returns keys only.';
REVOKE ALL ON FUNCTION claim_detachments(INT, INTERVAL) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_detachments(INT, INTERVAL) TO cf_app;
