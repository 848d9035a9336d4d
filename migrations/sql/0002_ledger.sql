-- The books. Double entry, from the operator's point of view: an entry has a direction and a
-- positive amount in minor units; what a debit means for a balance follows from the account's class.
-- Only ledger_post() writes here. It belongs to cf_ledger, which may log in nowhere.
--
-- Every index begins with the tenant, so while a table is tiny any of them looks as good for any
-- question, and a plan kept from then reads a whole tenant per row for ever. So an index that is
-- not the primary key is partial (WHERE its column IS NOT NULL): only a question that names the
-- column can use it, and of two equally cheap indexes the planner takes the younger.

CREATE TABLE account_type (
  code SMALLINT PRIMARY KEY,
  class TEXT NOT NULL CONSTRAINT account_type_class_known CHECK (class IN ('ASSET', 'LIABILITY', 'EQUITY', 'INCOME', 'EXPENSE')),
  normal SMALLINT NOT NULL GENERATED ALWAYS AS (CASE WHEN class IN ('ASSET', 'EXPENSE') THEN 1 ELSE -1 END) STORED,
  path_shape TEXT NOT NULL CONSTRAINT account_type_path_shape_unique UNIQUE,
  path_pattern TEXT NOT NULL GENERATED ALWAYS AS (
    '^' || regexp_replace(path_shape, '\{[a-z]+\}', '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}', 'g') || '$') STORED,
  min_available BIGINT,
  max_balance BIGINT,
  name TEXT NOT NULL
);
COMMENT ON TABLE account_type IS 'Chart of accounts, the same for every tenant. A path that fits no row can never be posted to.';
COMMENT ON COLUMN account_type.code IS 'Number in the chart; 1000s are assets, 2000s liabilities, and so on.';
COMMENT ON COLUMN account_type.class IS 'ASSET and EXPENSE grow by debits, the others by credits.';
COMMENT ON COLUMN account_type.normal IS '1: a debit increases the balance; -1: a credit does.';
COMMENT ON COLUMN account_type.path_shape IS 'Path with {names} for what varies.';
COMMENT ON COLUMN account_type.path_pattern IS 'The same as a regular expression.';
COMMENT ON COLUMN account_type.min_available IS 'Floor given to new accounts, minor units; NULL: none.';
COMMENT ON COLUMN account_type.max_balance IS 'Ceiling given to new accounts, minor units; NULL: none.';
COMMENT ON COLUMN account_type.name IS 'What it is, for people.';
INSERT INTO account_type (code, class, path_shape, min_available, name) VALUES
  (1000, 'ASSET', 'bank:{bank}', NULL, 'Bank account'),
  (1100, 'ASSET', 'psp:{psp}:clearing', NULL, 'Captured, not paid out yet'),
  (1110, 'ASSET', 'psp:{psp}:in_transit', NULL, 'Paid out, not in the bank yet'),
  (1120, 'ASSET', 'psp:{psp}:reserve', NULL, 'Rolling reserve held by the provider'),
  (1130, 'ASSET', 'psp:{psp}:disputed', NULL, 'Withdrawn for open disputes'),
  (1200, 'ASSET', 'merchant:{m}:receivable', 0, 'Owed by a merchant'),
  (1900, 'ASSET', 'suspense:{source}', NULL, 'Unexplained, must age to zero'),
  (2000, 'LIABILITY', 'merchant:{m}:payable', 0, 'Owed to a merchant'),
  (2010, 'LIABILITY', 'merchant:{m}:reserve', 0, 'Kept back from a merchant'),
  (2100, 'LIABILITY', 'customer:{c}:wallet', 0, 'Store credit of a customer'),
  (2200, 'LIABILITY', 'tax:{jurisdiction}', NULL, 'Tax collected'),
  (2300, 'LIABILITY', 'payout:{rail}:in_transit', 0, 'Payouts on their way'),
  (3000, 'EQUITY', 'fx:position', NULL, 'Currency position'),
  (4000, 'INCOME', 'income:platform_fee', NULL, 'Platform fee'),
  (4010, 'INCOME', 'income:fx_spread', NULL, 'Currency spread'),
  (4020, 'INCOME', 'income:sales', NULL, 'Own sales'),
  (5000, 'EXPENSE', 'expense:psp_fee:{psp}', NULL, 'Provider fees'),
  (5010, 'EXPENSE', 'expense:chargeback', NULL, 'Chargebacks'),
  (5020, 'EXPENSE', 'expense:dispute_fee:{psp}', NULL, 'Dispute fees'),
  (5030, 'EXPENSE', 'expense:fx', NULL, 'Currency differences'),
  (5040, 'EXPENSE', 'expense:store_credit', NULL, 'Store credit given away'),
  (5090, 'EXPENSE', 'expense:rounding', NULL, 'Rounding');
CREATE TRIGGER account_type_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON account_type
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT ON account_type TO cf_app, cf_ledger;

CREATE TABLE account (
  tenant_id INT NOT NULL,
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  public_id UUID NOT NULL,
  type_code SMALLINT NOT NULL CONSTRAINT account_type_known REFERENCES account_type (code),
  path TEXT NOT NULL CONSTRAINT account_path_length CHECK (length(path) <= 300),
  currency TEXT NOT NULL CONSTRAINT account_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
  normal SMALLINT NOT NULL CONSTRAINT account_normal_known CHECK (normal IN (1, -1)),
  name TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'OPEN' CONSTRAINT account_state_known CHECK (state IN ('OPEN', 'FROZEN', 'CLOSED')),
  metadata JSONB NOT NULL DEFAULT '{}',
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE account IS 'One account in one currency; opened when first posted to.';
COMMENT ON COLUMN account.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN account.id IS 'Internal number; accounts are locked in its order.';
COMMENT ON COLUMN account.public_id IS 'Identifier (acc_…).';
COMMENT ON COLUMN account.type_code IS 'Row of the chart its path fits.';
COMMENT ON COLUMN account.path IS 'Name in the chart, parts separated by colons.';
COMMENT ON COLUMN account.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN account.normal IS '1: a debit increases the balance; -1: a credit does.';
COMMENT ON COLUMN account.name IS 'For people.';
COMMENT ON COLUMN account.state IS 'FROZEN and CLOSED accounts take only what providers report.';
COMMENT ON COLUMN account.metadata IS 'Strings of the tenant''s own.';
COMMENT ON COLUMN account.created_at IS 'When it was opened.';
CREATE TRIGGER account_identity_is_append_only BEFORE UPDATE OF tenant_id, id, public_id, type_code, path, currency, normal, created_at ON account
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_is_never_deleted BEFORE DELETE OR TRUNCATE ON account
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE UNIQUE INDEX account_public_id_unique ON account (tenant_id, public_id) WHERE public_id IS NOT NULL;
CREATE INDEX account_by_path ON account (tenant_id, path text_pattern_ops, currency) WHERE path IS NOT NULL;
CREATE UNIQUE INDEX account_path_unique ON account (tenant_id, path, currency) WHERE path IS NOT NULL;
CALL protect('account', 'SELECT');

CREATE TABLE account_balance (
  tenant_id INT NOT NULL,
  account_id BIGINT NOT NULL,
  currency TEXT NOT NULL,
  normal SMALLINT NOT NULL,
  debits_posted BIGINT NOT NULL DEFAULT 0,
  credits_posted BIGINT NOT NULL DEFAULT 0,
  debits_pending BIGINT NOT NULL DEFAULT 0,
  credits_pending BIGINT NOT NULL DEFAULT 0,
  seq BIGINT NOT NULL DEFAULT 0,
  last_recorded_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
  min_available BIGINT,
  max_balance BIGINT,
  PRIMARY KEY (tenant_id, account_id),
  CONSTRAINT account_balance_account FOREIGN KEY (tenant_id, account_id) REFERENCES account (tenant_id, id),
  CONSTRAINT account_balance_not_negative CHECK (debits_posted >= 0 AND credits_posted >= 0 AND debits_pending >= 0 AND credits_pending >= 0 AND seq >= 0),
  CONSTRAINT account_balance_no_overdraft CHECK (min_available IS NULL OR
    normal * (debits_posted - credits_posted) - CASE normal WHEN 1 THEN credits_pending ELSE debits_pending END >= min_available),
  CONSTRAINT account_balance_within_limit CHECK (max_balance IS NULL OR
    normal * (debits_posted - credits_posted) + CASE normal WHEN 1 THEN debits_pending ELSE credits_pending END <= max_balance)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE account_balance IS 'Running totals of an account: the row that is locked when it is posted to.';
COMMENT ON COLUMN account_balance.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN account_balance.account_id IS 'The account.';
COMMENT ON COLUMN account_balance.currency IS 'As the account''s.';
COMMENT ON COLUMN account_balance.normal IS 'As the account''s.';
COMMENT ON COLUMN account_balance.debits_posted IS 'Sum of posted debits, minor units.';
COMMENT ON COLUMN account_balance.credits_posted IS 'Sum of posted credits, minor units.';
COMMENT ON COLUMN account_balance.debits_pending IS 'Pending debits of open holds, minor units.';
COMMENT ON COLUMN account_balance.credits_pending IS 'Pending credits of open holds, minor units.';
COMMENT ON COLUMN account_balance.seq IS 'Number of entries, which is the seq of the newest.';
COMMENT ON COLUMN account_balance.last_recorded_at IS 'When the newest entry was recorded.';
COMMENT ON COLUMN account_balance.min_available IS 'Available may not go below this, minor units; NULL: no floor.';
COMMENT ON COLUMN account_balance.max_balance IS 'Posted plus incoming may not go above this, minor units; NULL: no ceiling.';
CREATE TRIGGER account_balance_is_never_deleted BEFORE DELETE OR TRUNCATE ON account_balance
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('account_balance', 'SELECT');

CREATE SEQUENCE ledger_batch;
COMMENT ON SEQUENCE ledger_batch IS 'One number per posting call; transaction ids are number * 4096 + position.';

CREATE TABLE ledger_transaction (
  tenant_id INT NOT NULL,
  id BIGINT NOT NULL,
  public_id UUID NOT NULL,
  key TEXT NOT NULL CONSTRAINT ledger_transaction_key_length CHECK (length(key) BETWEEN 1 AND 500),
  recipe TEXT NOT NULL CONSTRAINT ledger_transaction_recipe_shape CHECK (recipe ~ '^[a-z_]+@[0-9]+$'),
  leg_count SMALLINT NOT NULL CONSTRAINT ledger_transaction_two_legs CHECK (leg_count >= 2),
  hold_id UUID,
  hold_opened BIGINT,
  hold_captured BIGINT,
  hold_released BIGINT,
  reverses_id BIGINT,
  payment_id UUID,
  refund_id UUID,
  operation_id UUID,
  provider_account_id UUID,
  provider_ref TEXT,
  correlation_id TEXT NOT NULL,
  effective_at TIMESTAMPTZ NOT NULL,
  recorded_at TIMESTAMPTZ NOT NULL,
  description TEXT NOT NULL,
  metadata JSONB NOT NULL,
  external_fact BOOLEAN NOT NULL,
  created_by TEXT NOT NULL,
  xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
  content_hash BYTEA NOT NULL CONSTRAINT ledger_transaction_hash_length CHECK (length(content_hash) = 32),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT ledger_transaction_hold_whole CHECK (
    num_nonnulls(hold_id, hold_opened) IN (0, 2) AND num_nulls(hold_captured, hold_released) = 2
    OR num_nonnulls(hold_id, hold_captured, hold_released) = 3 AND hold_opened IS NULL)
);
COMMENT ON TABLE ledger_transaction IS 'A balanced set of entries and what it is about. Append-only.';
COMMENT ON COLUMN ledger_transaction.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN ledger_transaction.id IS 'Internal number, rising with posting calls.';
COMMENT ON COLUMN ledger_transaction.public_id IS 'Identifier (txn_…).';
COMMENT ON COLUMN ledger_transaction.key IS 'Business key: makes the event happen once in the books.';
COMMENT ON COLUMN ledger_transaction.recipe IS 'Recipe and version that made the legs.';
COMMENT ON COLUMN ledger_transaction.leg_count IS 'Number of entries, all written in the same statement.';
COMMENT ON COLUMN ledger_transaction.hold_id IS 'Hold whose pending legs this transaction opens or undoes.';
COMMENT ON COLUMN ledger_transaction.hold_opened IS 'Minor units the hold was opened with.';
COMMENT ON COLUMN ledger_transaction.hold_captured IS 'Minor units of the hold used here.';
COMMENT ON COLUMN ledger_transaction.hold_released IS 'Minor units of the hold given back here.';
COMMENT ON COLUMN ledger_transaction.reverses_id IS 'Transaction this one undoes.';
COMMENT ON COLUMN ledger_transaction.payment_id IS 'Payment it belongs to.';
COMMENT ON COLUMN ledger_transaction.refund_id IS 'Refund it belongs to.';
COMMENT ON COLUMN ledger_transaction.operation_id IS 'Provider operation it follows from.';
COMMENT ON COLUMN ledger_transaction.provider_account_id IS 'Provider account it concerns.';
COMMENT ON COLUMN ledger_transaction.provider_ref IS 'The provider''s own id of what happened.';
COMMENT ON COLUMN ledger_transaction.correlation_id IS 'Ties it to the request or event that caused it.';
COMMENT ON COLUMN ledger_transaction.effective_at IS 'When it happened in the world.';
COMMENT ON COLUMN ledger_transaction.recorded_at IS 'When it was written; rises with seq on every account.';
COMMENT ON COLUMN ledger_transaction.description IS 'For people.';
COMMENT ON COLUMN ledger_transaction.metadata IS 'Strings of the caller''s own.';
COMMENT ON COLUMN ledger_transaction.external_fact IS 'A provider told us: it could not be refused.';
COMMENT ON COLUMN ledger_transaction.created_by IS 'Who asked for it.';
COMMENT ON COLUMN ledger_transaction.xid IS 'Database transaction that wrote it; entries may only be added by the same one.';
COMMENT ON COLUMN ledger_transaction.content_hash IS 'SHA-256 of every other immutable field and of all legs.';
CREATE UNIQUE INDEX ledger_transaction_key_unique ON ledger_transaction (tenant_id, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX ledger_transaction_public_id_unique ON ledger_transaction (tenant_id, public_id) WHERE public_id IS NOT NULL;
CREATE INDEX ledger_transaction_by_payment ON ledger_transaction (tenant_id, payment_id, id) WHERE payment_id IS NOT NULL;
CREATE INDEX ledger_transaction_by_provider_ref ON ledger_transaction (tenant_id, provider_ref, id) WHERE provider_ref IS NOT NULL;
CREATE INDEX ledger_transaction_by_hold ON ledger_transaction (tenant_id, hold_id) WHERE hold_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_transaction_reversed_once ON ledger_transaction (tenant_id, reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX ledger_transaction_recorded ON ledger_transaction USING brin (recorded_at);
CREATE TRIGGER ledger_transaction_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('ledger_transaction', 'SELECT');

CREATE TABLE entry (
  tenant_id INT NOT NULL,
  account_id BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  transaction_id BIGINT NOT NULL,
  leg_no SMALLINT NOT NULL,
  layer SMALLINT NOT NULL CONSTRAINT entry_layer_known CHECK (layer IN (0, 1, 2)),
  direction TEXT NOT NULL CONSTRAINT entry_direction_known CHECK (direction IN ('D', 'C')),
  amount BIGINT NOT NULL CONSTRAINT entry_amount_positive CHECK (amount > 0),
  currency TEXT NOT NULL,
  debits_posted_after BIGINT NOT NULL,
  credits_posted_after BIGINT NOT NULL,
  debits_pending_after BIGINT NOT NULL,
  credits_pending_after BIGINT NOT NULL,
  effective_at TIMESTAMPTZ NOT NULL,
  recorded_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, account_id, seq)
);
COMMENT ON TABLE entry IS 'One debit or credit. Append-only; no foreign keys, the trigger checks what they would.';
COMMENT ON COLUMN entry.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN entry.account_id IS 'The account.';
COMMENT ON COLUMN entry.seq IS 'Position on the account: 1, 2, 3 … without gaps.';
COMMENT ON COLUMN entry.transaction_id IS 'The transaction it is part of.';
COMMENT ON COLUMN entry.leg_no IS 'Position in the transaction.';
COMMENT ON COLUMN entry.layer IS '0 posted; 1 pending, opens a hold; 2 pending, undoes part of a hold (a debit then lowers pending credits).';
COMMENT ON COLUMN entry.direction IS 'D debit, C credit.';
COMMENT ON COLUMN entry.amount IS 'Minor units, always positive.';
COMMENT ON COLUMN entry.currency IS 'As the account''s.';
COMMENT ON COLUMN entry.debits_posted_after IS 'The account''s posted debits right after, minor units.';
COMMENT ON COLUMN entry.credits_posted_after IS 'The account''s posted credits right after, minor units.';
COMMENT ON COLUMN entry.debits_pending_after IS 'The account''s pending debits right after, minor units.';
COMMENT ON COLUMN entry.credits_pending_after IS 'The account''s pending credits right after, minor units.';
COMMENT ON COLUMN entry.effective_at IS 'As the transaction''s.';
COMMENT ON COLUMN entry.recorded_at IS 'As the transaction''s.';
CREATE INDEX entry_by_transaction ON entry (tenant_id, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX entry_recorded ON entry USING brin (recorded_at);
CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('entry', 'SELECT');

CREATE TABLE hold (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  transaction_id BIGINT NOT NULL,
  payment_id UUID,
  currency TEXT NOT NULL,
  amount BIGINT NOT NULL CONSTRAINT hold_amount_positive CHECK (amount > 0),
  captured BIGINT NOT NULL DEFAULT 0,
  released BIGINT NOT NULL DEFAULT 0,
  status TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN captured + released < amount THEN 'ACTIVE' WHEN captured > 0 THEN 'SETTLED' ELSE 'RELEASED' END) STORED,
  reason TEXT NOT NULL,
  expires_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT hold_not_exceeded CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount)
);
COMMENT ON TABLE hold IS 'Money reserved by pending entries, used or given back in parts.';
COMMENT ON COLUMN hold.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN hold.id IS 'Identifier (hld_…).';
COMMENT ON COLUMN hold.transaction_id IS 'Transaction whose pending legs are the hold.';
COMMENT ON COLUMN hold.payment_id IS 'Payment it belongs to.';
COMMENT ON COLUMN hold.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN hold.amount IS 'Minor units reserved.';
COMMENT ON COLUMN hold.captured IS 'Minor units used so far.';
COMMENT ON COLUMN hold.released IS 'Minor units given back so far.';
COMMENT ON COLUMN hold.status IS 'ACTIVE while anything is left, then SETTLED (some was used) or RELEASED (none was).';
COMMENT ON COLUMN hold.reason IS 'Why it was reserved.';
COMMENT ON COLUMN hold.expires_at IS 'Advice only: no clock of ours releases a hold.';
COMMENT ON COLUMN hold.created_at IS 'When it was opened.';
CREATE INDEX hold_by_creation ON hold (tenant_id, created_at DESC, id DESC);
ALTER TABLE hold ADD PRIMARY KEY (tenant_id, id);
CREATE INDEX hold_by_transaction ON hold (tenant_id, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE TRIGGER hold_terms_are_append_only BEFORE UPDATE OF tenant_id, id, transaction_id, payment_id, currency, amount, reason, expires_at, created_at ON hold
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER hold_is_never_deleted BEFORE DELETE OR TRUNCATE ON hold
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('hold', 'SELECT');

-- cf_ledger owns the functions and may write here and nowhere else.
GRANT SELECT, INSERT ON account, account_balance, ledger_transaction, entry, hold TO cf_ledger;
GRANT UPDATE (debits_posted, credits_posted, debits_pending, credits_pending, seq, last_recorded_at) ON account_balance TO cf_ledger;
GRANT UPDATE (captured, released) ON hold TO cf_ledger;
GRANT USAGE ON SEQUENCE ledger_batch TO cf_ledger;
CREATE POLICY of_ledger ON account TO cf_ledger USING (TRUE) WITH CHECK (TRUE);
CREATE POLICY of_ledger ON account_balance TO cf_ledger USING (TRUE) WITH CHECK (TRUE);
CREATE POLICY of_ledger ON ledger_transaction TO cf_ledger USING (TRUE) WITH CHECK (TRUE);
CREATE POLICY of_ledger ON entry TO cf_ledger USING (TRUE) WITH CHECK (TRUE);
CREATE POLICY of_ledger ON hold TO cf_ledger USING (TRUE) WITH CHECK (TRUE);

-- What no INSERT can get past, whoever sends it: every transaction in the statement balances in
-- each currency and layer, is complete, is being written by this very unit of work, and each leg
-- is on an account of its tenant and currency. Scalar subqueries and no sequential scans, because
-- the plan is made once per connection, perhaps while the tables are still tiny.
CREATE FUNCTION entry_check() RETURNS TRIGGER LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
DECLARE
  v_transaction BIGINT;
BEGIN
  SELECT t.transaction_id INTO v_transaction FROM (
    SELECT g.tenant_id, g.transaction_id, sum(g.legs) AS legs, bool_and(g.difference = 0) AS balances,
           bool_and(g.accounts_exist) AS accounts_exist
      FROM (SELECT n.tenant_id, n.transaction_id, n.currency, n.layer, count(*) AS legs,
                   sum(CASE n.direction WHEN 'D' THEN n.amount ELSE -n.amount END) AS difference,
                   bool_and(coalesce((SELECT b.currency = n.currency FROM public.account_balance AS b
                                       WHERE b.tenant_id = n.tenant_id AND b.account_id = n.account_id), FALSE)) AS accounts_exist
              FROM new_entries AS n
             GROUP BY n.tenant_id, n.transaction_id, n.currency, n.layer) AS g
     GROUP BY g.tenant_id, g.transaction_id) AS t
   WHERE NOT t.balances OR NOT t.accounts_exist
      OR t.legs IS DISTINCT FROM (
           SELECT h.leg_count FROM public.ledger_transaction AS h
            WHERE h.tenant_id = t.tenant_id AND h.id = t.transaction_id AND h.xid = pg_current_xact_id())
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % does not balance, is incomplete, is an old one, or has a leg on a foreign account', v_transaction
      USING ERRCODE = '23514', CONSTRAINT = 'entry_transaction_balances';
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION entry_check() IS 'Refuses entries that are not whole, balanced transactions of one tenant.';
CREATE TRIGGER entry_transaction_balances AFTER INSERT ON entry
  REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT EXECUTE FUNCTION entry_check();

-- The check above trusts xid, so nobody may choose it.
CREATE FUNCTION ledger_transaction_own_xid() RETURNS TRIGGER LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
BEGIN
  IF new.xid <> pg_current_xact_id() THEN
    RAISE EXCEPTION 'transaction % claims another unit of work', new.id
      USING ERRCODE = '23514', CONSTRAINT = 'ledger_transaction_own_xid';
  END IF;
  RETURN new;
END $$;
COMMENT ON FUNCTION ledger_transaction_own_xid() IS 'The xid of a transaction cannot be forged.';
CREATE TRIGGER ledger_transaction_own_xid BEFORE INSERT ON ledger_transaction
  FOR EACH ROW EXECUTE FUNCTION ledger_transaction_own_xid();

CREATE TYPE ledger_account_ref AS (tenant_id INT, path TEXT, currency TEXT);
COMMENT ON TYPE ledger_account_ref IS 'An account by its path.';
CREATE TYPE ledger_posting AS (
  tenant_id INT, public_id UUID, key TEXT, recipe TEXT,
  hold_id UUID, hold_opened BIGINT, hold_reason TEXT, hold_expires_at TIMESTAMPTZ,
  hold_captured BIGINT, hold_released BIGINT, reverses UUID,
  payment_id UUID, refund_id UUID, operation_id UUID, provider_account_id UUID, provider_ref TEXT,
  correlation_id TEXT, effective_at TIMESTAMPTZ, description TEXT, metadata TEXT,
  external_fact BOOLEAN, created_by TEXT);
COMMENT ON TYPE ledger_posting IS 'A transaction to write; fields as in ledger_transaction and hold.';
CREATE TYPE ledger_leg AS (item INT, account INT, spill INT, layer SMALLINT, direction TEXT, amount BIGINT);
COMMENT ON TYPE ledger_leg IS 'A leg of the posting at position item, on the account at position account; what that one lacks goes to spill.';
CREATE TYPE ledger_verdict AS (item INT, verdict TEXT, account INT, available BIGINT);
COMMENT ON TYPE ledger_verdict IS 'Why the posting at position item is refused, and on which account.';

CREATE FUNCTION ledger_new_id() RETURNS UUID LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(EPOCH FROM clock_timestamp()) * 1000)::BIGINT) FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::UUID
$$;
COMMENT ON FUNCTION ledger_new_id() IS 'A UUIDv7; PostgreSQL has its own only from 18 on.';

CREATE FUNCTION ledger_open_accounts(p_accounts ledger_account_ref[]) RETURNS BIGINT[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_material = off
AS $$
DECLARE
  v_tenant INT := public.current_tenant();
  v_ids BIGINT[];
BEGIN
  IF v_tenant IS NOT NULL AND EXISTS (SELECT 1 FROM unnest(p_accounts) AS r WHERE r.tenant_id IS DISTINCT FROM v_tenant) THEN
    RAISE EXCEPTION 'an account of another tenant' USING ERRCODE = '42501';
  END IF;
  FOR v_round IN 1..2 LOOP
    SELECT array_agg((SELECT a.id FROM public.account AS a
                       WHERE a.tenant_id = r.tenant_id AND a.path = r.path AND a.currency = r.currency) ORDER BY r.position)
      INTO v_ids
      FROM unnest(p_accounts) WITH ORDINALITY AS r (tenant_id, path, currency, position);
    EXIT WHEN v_round = 2 OR array_position(v_ids, NULL) IS NULL;
    -- Sorted, so that two who open the same accounts wait for, and never deadlock, each other.
    WITH opened AS (
      INSERT INTO public.account AS a (tenant_id, public_id, type_code, path, currency, normal, name)
      SELECT r.tenant_id, public.ledger_new_id(), t.code, r.path, r.currency, t.normal, t.name
        FROM (SELECT DISTINCT u.tenant_id, u.path, u.currency
                FROM unnest(p_accounts) WITH ORDINALITY AS u (tenant_id, path, currency, position)
               WHERE v_ids[u.position] IS NULL) AS r
        JOIN public.account_type AS t ON r.path ~ t.path_pattern
       ORDER BY r.tenant_id, r.path, r.currency
      ON CONFLICT (tenant_id, path, currency) WHERE path IS NOT NULL DO NOTHING
      RETURNING a.tenant_id, a.id, a.currency, a.normal, a.type_code)
    INSERT INTO public.account_balance (tenant_id, account_id, currency, normal, min_available, max_balance)
    SELECT o.tenant_id, o.id, o.currency, o.normal, t.min_available, t.max_balance
      FROM opened AS o JOIN public.account_type AS t ON t.code = o.type_code;
  END LOOP;
  RETURN v_ids;
END $$;
COMMENT ON FUNCTION ledger_open_accounts(ledger_account_ref[]) IS 'Ids of accounts in the order given, opening those that fit the chart; NULL for a path that does not.';

CREATE FUNCTION ledger_lock_holds(p_tenant_id INT, p_hold_ids UUID[])
RETURNS TABLE (hold_id UUID, currency TEXT, amount BIGINT, captured BIGINT, released BIGINT)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
BEGIN
  IF public.current_tenant() IS DISTINCT FROM p_tenant_id AND public.current_tenant() IS NOT NULL THEN
    RAISE EXCEPTION 'holds of another tenant' USING ERRCODE = '42501';
  END IF;
  RETURN QUERY
    SELECT h.id, h.currency, h.amount, h.captured, h.released
      FROM public.hold AS h
     WHERE h.tenant_id = p_tenant_id AND h.id = ANY (p_hold_ids)
     ORDER BY h.id
       FOR NO KEY UPDATE;
END $$;
COMMENT ON FUNCTION ledger_lock_holds(INT, UUID[]) IS 'Holds as they are, locked in id order until the unit of work ends.';

-- Time rises with seq on every account, so the key alone finds an instant: about 22 probes.
CREATE FUNCTION ledger_seq_at(p_tenant_id INT, p_account_id BIGINT, p_at TIMESTAMPTZ, p_before BOOLEAN) RETURNS BIGINT
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
DECLARE
  v_low BIGINT := 0;
  v_high BIGINT;
  v_middle BIGINT;
  v_recorded_at TIMESTAMPTZ;
BEGIN
  SELECT e.seq INTO v_high FROM public.entry AS e
   WHERE e.tenant_id = p_tenant_id AND e.account_id = p_account_id ORDER BY e.seq DESC LIMIT 1;
  v_high := coalesce(v_high, 0);
  WHILE v_low < v_high LOOP
    v_middle := (v_low + v_high + 1) / 2;
    SELECT e.recorded_at INTO v_recorded_at FROM public.entry AS e
     WHERE e.tenant_id = p_tenant_id AND e.account_id = p_account_id AND e.seq = v_middle;
    IF v_recorded_at < p_at OR v_recorded_at = p_at AND NOT p_before THEN
      v_low := v_middle;
    ELSE
      v_high := v_middle - 1;
    END IF;
  END LOOP;
  RETURN v_low;
END $$;
COMMENT ON FUNCTION ledger_seq_at(INT, BIGINT, TIMESTAMPTZ, BOOLEAN) IS 'Seq of the newest entry of an account up to an instant, or before it; 0 if there is none.';
