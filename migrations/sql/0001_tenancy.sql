-- Tenants, keys, audit, provider accounts. Runs as cf_owner; the roles cf_owner, cf_ledger and
-- cf_app exist already (made by the migrate step, which is the only thing that needs an admin).

CREATE FUNCTION current_tenant() RETURNS INT LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.tenant', TRUE), '')::INT $$;
COMMENT ON FUNCTION current_tenant() IS 'Tenant of the current unit of work; NULL sees no row.';

CREATE FUNCTION refuse_change() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % refused: append-only', tg_op, tg_table_name USING ERRCODE = '42501';
END $$;
COMMENT ON FUNCTION refuse_change() IS 'Statement trigger of append-only tables and columns.';

-- Row-level security for one table: the product sees its tenant, the owner maintains all.
CREATE PROCEDURE protect(target REGCLASS, grants TEXT) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY of_tenant ON %s TO cf_app '
                 'USING (tenant_id = (SELECT current_tenant())) '
                 'WITH CHECK (tenant_id = (SELECT current_tenant()))', target);
  EXECUTE format('CREATE POLICY of_owner ON %s TO cf_owner USING (TRUE) WITH CHECK (TRUE)', target);
  EXECUTE format('GRANT %s ON %s TO cf_app', grants, target);
END $$;
COMMENT ON PROCEDURE protect(REGCLASS, TEXT) IS 'Forces row-level security on a table and grants the product what it names.';

CREATE TABLE tenant (
  tenant_id INT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  public_id UUID NOT NULL CONSTRAINT tenant_public_id_unique UNIQUE,
  name TEXT NOT NULL CONSTRAINT tenant_name_unique UNIQUE,
  base_currency TEXT NOT NULL CONSTRAINT tenant_base_currency_shape CHECK (base_currency ~ '^[A-Z]{3}$'),
  live BOOLEAN NOT NULL DEFAULT FALSE,
  attempt_limit INT NOT NULL DEFAULT 5 CONSTRAINT tenant_attempt_limit_range CHECK (attempt_limit BETWEEN 1 AND 50),
  orphan_policy TEXT NOT NULL DEFAULT 'REVIEW' CONSTRAINT tenant_orphan_policy_known CHECK (orphan_policy = 'REVIEW'),
  risk_rules JSONB NOT NULL DEFAULT '{}',
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tenant IS 'One merchant organisation; every other row belongs to exactly one.';
COMMENT ON COLUMN tenant.tenant_id IS 'Small internal number that leads every key.';
COMMENT ON COLUMN tenant.public_id IS 'Identifier shown outside (ten_…).';
COMMENT ON COLUMN tenant.name IS 'Unique short name.';
COMMENT ON COLUMN tenant.base_currency IS 'ISO 4217 code reports default to.';
COMMENT ON COLUMN tenant.live IS 'Real money; false for tests and demos.';
COMMENT ON COLUMN tenant.attempt_limit IS 'Declined attempts after which a payment is FAILED.';
COMMENT ON COLUMN tenant.orphan_policy IS 'What happens to money that arrives for a payment already ended: REVIEW keeps it in suspense for a person.';
COMMENT ON COLUMN tenant.risk_rules IS 'Limits of the built-in risk check: amount_max by currency, velocity, lists.';
COMMENT ON COLUMN tenant.created_at IS 'When the tenant was set up.';
CALL protect('tenant', 'SELECT, UPDATE (risk_rules, orphan_policy, attempt_limit)');

CREATE TABLE api_key (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  secret_hash BYTEA NOT NULL CONSTRAINT api_key_secret_hash_unique UNIQUE,
  hint TEXT NOT NULL,
  scopes TEXT[] NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  expires_at TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  last_used_at TIMESTAMPTZ,
  rotated_from UUID,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE api_key IS 'Server keys. Only the hash of a key is kept.';
COMMENT ON COLUMN api_key.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN api_key.id IS 'Identifier (key_…).';
COMMENT ON COLUMN api_key.name IS 'What the key is for, for people.';
COMMENT ON COLUMN api_key.secret_hash IS 'SHA-256 of the whole key.';
COMMENT ON COLUMN api_key.hint IS 'First characters of the key, to recognise it in a list.';
COMMENT ON COLUMN api_key.scopes IS 'What the key may do.';
COMMENT ON COLUMN api_key.created_at IS 'When the key was made.';
COMMENT ON COLUMN api_key.expires_at IS 'From then on the key is refused.';
COMMENT ON COLUMN api_key.revoked_at IS 'From then on the key is refused.';
COMMENT ON COLUMN api_key.last_used_at IS 'Last use, to the minute.';
COMMENT ON COLUMN api_key.rotated_from IS 'The key this one replaces; both work until the old one expires.';
CALL protect('api_key', 'SELECT, INSERT, UPDATE (expires_at, revoked_at, last_used_at)');

CREATE TABLE audit_log (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT,
  before JSONB,
  after JSONB,
  refused BOOLEAN NOT NULL DEFAULT FALSE,
  correlation_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE audit_log IS 'Who did what to which thing, and what was refused. Append-only.';
COMMENT ON COLUMN audit_log.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN audit_log.id IS 'Identifier (aud_…), sortable by time.';
COMMENT ON COLUMN audit_log.at IS 'When it happened.';
COMMENT ON COLUMN audit_log.actor IS 'Key, client secret, system process or command line user that acted.';
COMMENT ON COLUMN audit_log.action IS 'What was done, as subject.verb.';
COMMENT ON COLUMN audit_log.subject IS 'Public id of the thing acted on.';
COMMENT ON COLUMN audit_log.before IS 'Relevant state before; no secrets.';
COMMENT ON COLUMN audit_log.after IS 'Relevant state after; no secrets.';
COMMENT ON COLUMN audit_log.refused IS 'True when the act was not allowed.';
COMMENT ON COLUMN audit_log.correlation_id IS 'Ties the row to the request that caused it.';
CREATE INDEX audit_log_by_subject ON audit_log (tenant_id, subject, id);
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('audit_log', 'SELECT, INSERT');

CREATE TABLE provider_account (
  tenant_id INT NOT NULL,
  id UUID NOT NULL CONSTRAINT provider_account_id_unique UNIQUE,
  name TEXT NOT NULL CONSTRAINT provider_account_name_shape CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  adapter TEXT NOT NULL,
  base_url TEXT NOT NULL,
  fields JSONB NOT NULL DEFAULT '{}',
  secrets_sealed BYTEA NOT NULL,
  omit TEXT[] NOT NULL DEFAULT '{}',
  priority INT NOT NULL DEFAULT 100,
  enabled BOOLEAN NOT NULL DEFAULT TRUE,
  live BOOLEAN NOT NULL DEFAULT FALSE,
  methods TEXT[] NOT NULL DEFAULT '{}',
  countries TEXT[] NOT NULL DEFAULT '{}',
  limits JSONB NOT NULL DEFAULT '[]',
  breaker_policy JSONB NOT NULL DEFAULT '{}',
  version INT NOT NULL DEFAULT 1,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT provider_account_name_unique UNIQUE (tenant_id, name)
);
COMMENT ON TABLE provider_account IS 'One set of credentials at a provider. Two accounts of one adapter are two rows.';
COMMENT ON COLUMN provider_account.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN provider_account.id IS 'Identifier (prv_…), part of the webhook URL.';
COMMENT ON COLUMN provider_account.name IS 'Short name, used in ledger paths: psp:{name}:clearing.';
COMMENT ON COLUMN provider_account.adapter IS 'Name of the adapter that speaks its protocol.';
COMMENT ON COLUMN provider_account.base_url IS 'Where the provider is reached.';
COMMENT ON COLUMN provider_account.fields IS 'Settings the adapter asks for; nothing secret.';
COMMENT ON COLUMN provider_account.secrets_sealed IS 'AES-256-GCM of {"name": ["newest", "older"]}.';
COMMENT ON COLUMN provider_account.omit IS 'Optional request fields not to send.';
COMMENT ON COLUMN provider_account.priority IS 'Smaller is tried first.';
COMMENT ON COLUMN provider_account.enabled IS 'False: gets no new payments; open ones are finished.';
COMMENT ON COLUMN provider_account.live IS 'Real money at the provider.';
COMMENT ON COLUMN provider_account.methods IS 'Method types it may charge; empty means what the adapter can.';
COMMENT ON COLUMN provider_account.countries IS 'Shopper countries it serves; empty means all.';
COMMENT ON COLUMN provider_account.limits IS 'List of {currency, min, max} in minor units.';
COMMENT ON COLUMN provider_account.breaker_policy IS 'failures_to_open, reset_seconds, dry_run, forced_open.';
COMMENT ON COLUMN provider_account.version IS 'Raised by each change.';
COMMENT ON COLUMN provider_account.created_at IS 'When it was added.';
COMMENT ON COLUMN provider_account.updated_at IS 'When it was changed last.';
CALL protect('provider_account', 'SELECT, INSERT, UPDATE');

CREATE TABLE provider_health (
  tenant_id INT NOT NULL,
  provider_account_id UUID NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL CONSTRAINT provider_health_state_known CHECK (state IN ('CLOSED', 'HALF_OPEN', 'OPEN', 'FORCED_OPEN')),
  since TIMESTAMPTZ NOT NULL,
  next_probe_at TIMESTAMPTZ,
  reason TEXT,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, provider_account_id, kind)
);
COMMENT ON TABLE provider_health IS 'Last breaker state any process saw: advice for routing and for people, never a veto.';
COMMENT ON COLUMN provider_health.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN provider_health.provider_account_id IS 'The account.';
COMMENT ON COLUMN provider_health.kind IS 'Operation kind the breaker guards.';
COMMENT ON COLUMN provider_health.state IS 'Breaker state.';
COMMENT ON COLUMN provider_health.since IS 'When it entered the state.';
COMMENT ON COLUMN provider_health.next_probe_at IS 'When the next call is let through.';
COMMENT ON COLUMN provider_health.reason IS 'What opened it.';
COMMENT ON COLUMN provider_health.updated_at IS 'Last report.';
CALL protect('provider_health', 'SELECT, INSERT, UPDATE');

-- Look-ups before a tenant is known: each returns keys only, to one who already holds the secret.
CREATE FUNCTION find_api_key(p_secret_hash BYTEA)
RETURNS TABLE (tenant_id INT, key_id UUID, scopes TEXT[], live BOOLEAN, use_is_news BOOLEAN)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT k.tenant_id, k.id, k.scopes, t.live,
         k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - INTERVAL '1 minute'
    FROM public.api_key AS k JOIN public.tenant AS t ON t.tenant_id = k.tenant_id
   WHERE k.secret_hash = p_secret_hash
     AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
     AND (k.revoked_at IS NULL OR k.revoked_at > clock_timestamp())
$$;
COMMENT ON FUNCTION find_api_key(BYTEA) IS 'Tenant and scopes of an active key, by its SHA-256, and whether last_used_at is due to be written.';

CREATE FUNCTION find_provider_account(p_id UUID) RETURNS TABLE (tenant_id INT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT a.tenant_id FROM public.provider_account AS a WHERE a.id = p_id $$;
COMMENT ON FUNCTION find_provider_account(UUID) IS 'Tenant of a provider account, for its webhook URL.';

CREATE FUNCTION find_tenant(p_name TEXT) RETURNS TABLE (tenant_id INT)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT t.tenant_id FROM public.tenant AS t WHERE t.name = p_name $$;
COMMENT ON FUNCTION find_tenant(TEXT) IS 'Tenant by name, for the command line.';

CREATE FUNCTION create_tenant(p_public_id UUID, p_name TEXT, p_base_currency TEXT, p_live BOOLEAN) RETURNS INT
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  INSERT INTO public.tenant (public_id, name, base_currency, live)
  VALUES (p_public_id, p_name, p_base_currency, p_live) RETURNING tenant_id
$$;
COMMENT ON FUNCTION create_tenant(UUID, TEXT, TEXT, BOOLEAN) IS 'Sets up a tenant. Not for the product: the command line calls it as the owner.';
REVOKE ALL ON FUNCTION create_tenant(UUID, TEXT, TEXT, BOOLEAN), find_tenant(TEXT) FROM PUBLIC;
REVOKE ALL ON FUNCTION find_api_key(BYTEA), find_provider_account(UUID) FROM PUBLIC;
REVOKE ALL ON PROCEDURE protect(REGCLASS, TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(BYTEA), find_provider_account(UUID), find_tenant(TEXT) TO cf_app;
