-- Shops in a browser: which pages may ask us, with which keys, and for which customers.

CREATE TABLE allowed_origin (
  tenant_id INT NOT NULL,
  origin TEXT NOT NULL CONSTRAINT allowed_origin_shape CHECK (origin ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$'),
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, origin)
);
COMMENT ON TABLE allowed_origin IS 'Web sites whose pages may use the browser''s view for a tenant.';
COMMENT ON COLUMN allowed_origin.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN allowed_origin.origin IS 'Scheme, host and port as a browser sends them; no path.';
COMMENT ON COLUMN allowed_origin.created_at IS 'When it was allowed.';
CREATE INDEX allowed_origin_by_origin ON allowed_origin (origin);
CALL protect('allowed_origin', 'SELECT, INSERT, DELETE');

ALTER TABLE api_key
  ADD COLUMN kind TEXT NOT NULL DEFAULT 'SERVER' CONSTRAINT api_key_kind_known CHECK (kind IN ('SERVER', 'PUBLISHABLE')),
  ADD CONSTRAINT api_key_publishable_has_no_scope CHECK (kind = 'SERVER' OR cardinality(scopes) = 0);
COMMENT ON TABLE api_key IS 'Keys of servers and of browser shops. Only the hash of a key is kept.';
COMMENT ON COLUMN api_key.kind IS 'SERVER: secret, with scopes. PUBLISHABLE: may stand in a page, without any.';

CREATE TABLE customer_token (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  customer_id TEXT NOT NULL,
  secret_hash BYTEA NOT NULL CONSTRAINT customer_token_secret_hash_unique UNIQUE,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE customer_token IS 'Short-lived tokens with which one customer reads what is their own. Expired rows are deleted as new ones come.';
COMMENT ON COLUMN customer_token.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN customer_token.id IS 'Identifier.';
COMMENT ON COLUMN customer_token.customer_id IS 'The shop''s own id of the customer.';
COMMENT ON COLUMN customer_token.secret_hash IS 'SHA-256 of the whole token.';
COMMENT ON COLUMN customer_token.created_by IS 'The key that asked for it.';
COMMENT ON COLUMN customer_token.created_at IS 'When it was made.';
COMMENT ON COLUMN customer_token.expires_at IS 'From then on the token is refused.';
CREATE INDEX customer_token_by_expiry ON customer_token (tenant_id, expires_at);
-- Nothing is ever updated; without the right, rows could not be locked to be deleted.
CALL protect('customer_token', 'SELECT, INSERT, DELETE, UPDATE (expires_at)');

-- Look-ups before a tenant is known, as in 0001.
DROP FUNCTION find_api_key(BYTEA);
CREATE FUNCTION find_api_key(p_secret_hash BYTEA)
RETURNS TABLE (tenant_id INT, key_id UUID, kind TEXT, scopes TEXT[], live BOOLEAN, use_is_news BOOLEAN)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT k.tenant_id, k.id, k.kind, k.scopes, t.live,
         k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - INTERVAL '1 minute'
    FROM public.api_key AS k JOIN public.tenant AS t ON t.tenant_id = k.tenant_id
   WHERE k.secret_hash = p_secret_hash
     AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
     AND (k.revoked_at IS NULL OR k.revoked_at > clock_timestamp())
$$;
COMMENT ON FUNCTION find_api_key(BYTEA) IS 'Tenant, kind and scopes of an active key, by its SHA-256, and whether last_used_at is due to be written.';

CREATE FUNCTION find_origin(p_origin TEXT) RETURNS TABLE (tenant_id INT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT o.tenant_id FROM public.allowed_origin AS o WHERE o.origin = p_origin $$;
COMMENT ON FUNCTION find_origin(TEXT) IS 'The tenants that allow an origin, for preflights, which carry no credentials.';

CREATE FUNCTION find_customer_token(p_secret_hash BYTEA)
RETURNS TABLE (tenant_id INT, customer_id TEXT, live BOOLEAN)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT c.tenant_id, c.customer_id, t.live
    FROM public.customer_token AS c JOIN public.tenant AS t ON t.tenant_id = c.tenant_id
   WHERE c.secret_hash = p_secret_hash AND c.expires_at > clock_timestamp()
$$;
COMMENT ON FUNCTION find_customer_token(BYTEA) IS 'The one customer a token names until it expires, by its SHA-256.';
REVOKE ALL ON FUNCTION find_api_key(BYTEA), find_origin(TEXT), find_customer_token(BYTEA) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(BYTEA), find_origin(TEXT), find_customer_token(BYTEA) TO cf_app;
