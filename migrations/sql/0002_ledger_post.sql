-- The posting function and its parts. All of a call is written, or nothing and the reasons are
-- returned. Locks are taken in one order everywhere: holds by id, accounts by id, then keys by key.

-- Judges legs one posting after the other against running totals, which come in the order of the
-- call's accounts. Needed only when the sum of all could hide that one of them was too much, or
-- when legs may spill. Returns the legs with spills decided, and the first refusal.
CREATE FUNCTION ledger_judge(
  p_legs ledger_leg[], p_normal SMALLINT[],
  p_debits_posted BIGINT[], p_credits_posted BIGINT[], p_debits_pending BIGINT[], p_credits_pending BIGINT[],
  p_min_available BIGINT[], p_max_balance BIGINT[],
  OUT legs ledger_leg[], OUT refusal ledger_verdict)
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
  v_most CONSTANT BIGINT := 9223372036854775807;
  v_leg public.ledger_leg;
  v_part public.ledger_leg;
  v_item INT := 0;
  v_touched INT[] := '{}';
  -- Totals fit 64 bits; what is computed from several of them need not.
  v_available_before NUMERIC[] := '{}';
  v_available NUMERIC;
  v_incoming NUMERIC;
  v_take BIGINT;
  a INT;
BEGIN
  legs := '{}';
  -- A last leg of no posting makes the loop check the last posting too.
  FOREACH v_leg IN ARRAY p_legs || ROW(0, 0, NULL, 0, 'D', 0)::public.ledger_leg LOOP
    IF v_leg.item <> v_item THEN
      FOREACH a IN ARRAY v_touched LOOP
        v_available := p_normal[a] * (p_debits_posted[a] - p_credits_posted[a])::NUMERIC
          - CASE p_normal[a] WHEN 1 THEN p_credits_pending[a] ELSE p_debits_pending[a] END;
        v_incoming := p_normal[a] * (p_debits_posted[a] - p_credits_posted[a])::NUMERIC
          + CASE p_normal[a] WHEN 1 THEN p_debits_pending[a] ELSE p_credits_pending[a] END;
        IF p_debits_pending[a] < 0 OR p_credits_pending[a] < 0 THEN
          refusal := ROW(v_item, 'HOLD_EXCEEDED', a, NULL);
        ELSIF v_available < p_min_available[a] THEN
          refusal := ROW(v_item, 'INSUFFICIENT_FUNDS', a, v_available_before[a] - p_min_available[a]);
        ELSIF v_incoming > p_max_balance[a] THEN
          refusal := ROW(v_item, 'BALANCE_LIMIT', a, NULL);
        END IF;
        IF refusal.verdict IS NOT NULL THEN
          RETURN;
        END IF;
      END LOOP;
      v_item := v_leg.item;
      v_touched := '{}';
      EXIT WHEN v_item = 0;
    END IF;

    a := v_leg.account;
    v_take := v_leg.amount;
    IF v_leg.spill IS NOT NULL AND p_min_available[a] IS NOT NULL
       AND v_leg.direction = (CASE p_normal[a] WHEN 1 THEN 'C' ELSE 'D' END) THEN
      v_available := p_normal[a] * (p_debits_posted[a] - p_credits_posted[a])::NUMERIC
        - CASE p_normal[a] WHEN 1 THEN p_credits_pending[a] ELSE p_debits_pending[a] END;
      v_take := least(v_leg.amount, greatest(v_available - p_min_available[a], 0));
    END IF;

    FOR v_round IN 1..2 LOOP
      v_part := v_leg;
      v_part.spill := NULL;
      v_part.amount := v_take;
      IF v_round = 2 THEN
        v_part.account := v_leg.spill;
        v_part.amount := v_leg.amount - v_take;
      END IF;
      CONTINUE WHEN v_part.amount = 0;
      a := v_part.account;
      IF NOT a = ANY (v_touched) THEN
        v_touched := v_touched || a;
        v_available_before[a] := p_normal[a] * (p_debits_posted[a] - p_credits_posted[a])::NUMERIC
          - CASE p_normal[a] WHEN 1 THEN p_credits_pending[a] ELSE p_debits_pending[a] END;
      END IF;
      IF v_part.amount > v_most - (CASE v_part.direction || v_part.layer
           WHEN 'D0' THEN p_debits_posted[a] WHEN 'C0' THEN p_credits_posted[a]
           WHEN 'D1' THEN p_debits_pending[a] WHEN 'C1' THEN p_credits_pending[a] ELSE 0 END) THEN
        refusal := ROW(v_item, 'OUT_OF_RANGE', a, NULL);
        RETURN;
      END IF;
      CASE v_part.direction || v_part.layer
        WHEN 'D0' THEN p_debits_posted[a] := p_debits_posted[a] + v_part.amount;
        WHEN 'C0' THEN p_credits_posted[a] := p_credits_posted[a] + v_part.amount;
        WHEN 'D1' THEN p_debits_pending[a] := p_debits_pending[a] + v_part.amount;
        WHEN 'C1' THEN p_credits_pending[a] := p_credits_pending[a] + v_part.amount;
        WHEN 'D2' THEN p_credits_pending[a] := p_credits_pending[a] - v_part.amount;
        WHEN 'C2' THEN p_debits_pending[a] := p_debits_pending[a] - v_part.amount;
      END CASE;
      legs := legs || v_part;
    END LOOP;
  END LOOP;
END $$;
COMMENT ON FUNCTION ledger_judge(ledger_leg[], SMALLINT[], BIGINT[], BIGINT[], BIGINT[], BIGINT[], BIGINT[], BIGINT[]) IS 'Applies postings one by one to running totals and names the first that goes too far.';

-- The new totals of every account touched. Its plan must find each row by its key, whatever the
-- size of the tables was when the plan was made.
CREATE FUNCTION ledger_store_balances(p_entries entry[], p_recorded_at TIMESTAMPTZ) RETURNS VOID
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_material = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
  UPDATE public.account_balance AS b
     SET debits_posted = n.debits_posted_after, credits_posted = n.credits_posted_after,
         debits_pending = n.debits_pending_after, credits_pending = n.credits_pending_after,
         seq = n.seq, last_recorded_at = p_recorded_at
    FROM (SELECT DISTINCT ON (e.tenant_id, e.account_id)
                 e.tenant_id, e.account_id, e.seq, e.debits_posted_after, e.credits_posted_after,
                 e.debits_pending_after, e.credits_pending_after
            FROM unnest(p_entries) AS e
           ORDER BY e.tenant_id, e.account_id, e.seq DESC) AS n
   WHERE b.tenant_id = n.tenant_id AND b.account_id = n.account_id
$$;
COMMENT ON FUNCTION ledger_store_balances(entry[], TIMESTAMPTZ) IS 'Writes the totals after the last entry of each account.';

CREATE FUNCTION ledger_store_holds(p_postings ledger_posting[]) RETURNS VOID
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_material = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
  UPDATE public.hold AS h
     SET captured = h.captured + s.captured, released = h.released + s.released
    FROM (SELECT p.tenant_id, p.hold_id, sum(p.hold_captured)::BIGINT AS captured, sum(p.hold_released)::BIGINT AS released
            FROM unnest(p_postings) AS p
           WHERE p.hold_captured IS NOT NULL
           GROUP BY p.tenant_id, p.hold_id) AS s
   WHERE h.tenant_id = s.tenant_id AND h.id = s.hold_id
$$;
COMMENT ON FUNCTION ledger_store_holds(ledger_posting[]) IS 'Adds to holds what postings captured and released.';

-- Which of the postings that are in the books already would write something else now.
CREATE FUNCTION ledger_other_money(
  p_postings ledger_posting[], p_legs ledger_leg[], p_found BIGINT[], p_account_ids BIGINT[]) RETURNS INT[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
  WITH asked AS (
    SELECT l.item, p_account_ids[l.account] AS account_id, p_account_ids[l.spill] AS spill_id, l.layer, l.direction, l.amount
      FROM unnest(p_legs) AS l WHERE p_found[l.item] IS NOT NULL),
  -- What spilled is compared as if all of it had.
  merged AS (
    SELECT s.item, coalesce((SELECT a.spill_id FROM asked AS a
                              WHERE a.item = s.item AND a.account_id = s.account_id AND a.spill_id IS NOT NULL LIMIT 1), s.account_id) AS account_id,
           s.layer, s.direction, s.amount
      FROM (SELECT item, account_id, layer, direction, amount FROM asked
            UNION ALL
            SELECT f.item::INT, e.account_id, e.layer, e.direction, -e.amount
              FROM unnest(p_found) WITH ORDINALITY AS f (id, item)
             CROSS JOIN LATERAL (SELECT x.account_id, x.layer, x.direction, x.amount FROM public.entry AS x
                                  WHERE x.tenant_id = (p_postings[f.item]).tenant_id AND x.transaction_id = f.id) AS e) AS s)
  SELECT array_agg(DISTINCT d.item) FROM (
    SELECT m.item FROM merged AS m GROUP BY m.item, m.account_id, m.layer, m.direction HAVING sum(m.amount) <> 0
    UNION ALL
    SELECT p.ordinality::INT
      FROM unnest(p_postings) WITH ORDINALITY AS p
     WHERE p_found[p.ordinality] IS NOT NULL
       AND (p.recipe, p.hold_id, p.hold_opened, p.hold_captured, p.hold_released) IS DISTINCT FROM (
             SELECT (t.recipe, t.hold_id, t.hold_opened, t.hold_captured, t.hold_released)
               FROM public.ledger_transaction AS t WHERE t.tenant_id = p.tenant_id AND t.id = p_found[p.ordinality])) AS d
$$;
COMMENT ON FUNCTION ledger_other_money(ledger_posting[], ledger_leg[], BIGINT[], BIGINT[]) IS 'Positions of replayed postings whose legs or hold differ from what was written.';

-- Holds and reversals: what a posting refers to must exist and have enough left.
CREATE FUNCTION ledger_check_references(p_postings ledger_posting[], p_legs ledger_leg[], p_found BIGINT[], p_currencies TEXT[])
RETURNS SETOF ledger_verdict LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_item INT := 0;
  v_posting public.ledger_posting;
  v_hold public.hold;
  v_pendings NUMERIC[];
  v_pending_currencies TEXT[];
  v_is_whole BOOLEAN[];
  v_layers SMALLINT[];
  v_pending NUMERIC;
  v_currency TEXT;
  v_opened JSONB := '{}';
  v_left JSONB := '{}';
BEGIN
  SELECT array_agg(g.pending ORDER BY g.item), array_agg(g.currency ORDER BY g.item), array_agg(g.is_whole ORDER BY g.item),
         array_agg(g.layer ORDER BY g.item)
    INTO v_pendings, v_pending_currencies, v_is_whole, v_layers
    FROM (SELECT l.item, coalesce(sum(l.amount) FILTER (WHERE l.layer > 0 AND l.direction = 'D'), 0) AS pending,
                 min(p_currencies[l.account]) FILTER (WHERE l.layer > 0) AS currency,
                 min(p_currencies[l.account]) FILTER (WHERE l.layer > 0) IS NOT DISTINCT FROM max(p_currencies[l.account]) FILTER (WHERE l.layer > 0)
                 AND coalesce(min(l.layer) FILTER (WHERE l.layer > 0) = max(l.layer), TRUE) AS is_whole,
                 max(l.layer) AS layer
            FROM unnest(p_legs) AS l GROUP BY l.item) AS g;
  FOREACH v_posting IN ARRAY p_postings LOOP
    v_item := v_item + 1;
    CONTINUE WHEN p_found[v_item] IS NOT NULL;
    v_pending := v_pendings[v_item];
    v_currency := v_pending_currencies[v_item];
    IF v_pending <> coalesce(v_posting.hold_opened, v_posting.hold_captured + v_posting.hold_released, 0)
       OR NOT v_is_whole[v_item] OR v_layers[v_item] > (CASE WHEN v_posting.hold_opened IS NULL THEN 2 ELSE 1 END)
       OR v_layers[v_item] = 1 AND v_posting.hold_opened IS NULL THEN
      RAISE EXCEPTION 'pending legs of % are not its hold', v_posting.key USING ERRCODE = '23514', CONSTRAINT = 'ledger_pending_legs_are_the_hold';
    END IF;
    IF v_posting.hold_id IS NOT NULL THEN
      SELECT h.* INTO v_hold FROM public.hold AS h WHERE h.tenant_id = v_posting.tenant_id AND h.id = v_posting.hold_id;
      IF v_posting.hold_opened IS NOT NULL THEN
        IF FOUND OR v_opened ? v_posting.hold_id::TEXT THEN
          RETURN NEXT ROW(v_item, 'KEY_REUSED', NULL, NULL)::public.ledger_verdict;
        END IF;
        v_opened := v_opened || jsonb_build_object(v_posting.hold_id, v_currency);
        v_left := v_left || jsonb_build_object(v_posting.hold_id, v_posting.hold_opened);
      ELSE
        IF FOUND AND NOT v_left ? v_posting.hold_id::TEXT THEN
          v_opened := v_opened || jsonb_build_object(v_posting.hold_id, v_hold.currency);
          v_left := v_left || jsonb_build_object(v_posting.hold_id, v_hold.amount - v_hold.captured - v_hold.released);
        END IF;
        IF (v_opened ->> v_posting.hold_id::TEXT) IS DISTINCT FROM v_currency THEN
          RETURN NEXT ROW(v_item, 'HOLD_MISSING', NULL, NULL)::public.ledger_verdict;
        ELSIF (v_left ->> v_posting.hold_id::TEXT)::NUMERIC < v_pending THEN
          RETURN NEXT ROW(v_item, 'HOLD_EXCEEDED', NULL, (v_left ->> v_posting.hold_id::TEXT)::BIGINT)::public.ledger_verdict;
        ELSE
          v_left := v_left || jsonb_build_object(v_posting.hold_id, (v_left ->> v_posting.hold_id::TEXT)::NUMERIC - v_pending);
        END IF;
      END IF;
    END IF;
    IF v_posting.reverses IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM public.ledger_transaction AS t
          WHERE t.tenant_id = v_posting.tenant_id AND t.public_id = v_posting.reverses AND t.reverses_id IS NULL
            AND NOT EXISTS (SELECT 1 FROM public.ledger_transaction AS r WHERE r.tenant_id = t.tenant_id AND r.reverses_id = t.id)) THEN
      RETURN NEXT ROW(v_item, 'NOT_REVERSIBLE', NULL, NULL)::public.ledger_verdict;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION ledger_check_references(ledger_posting[], ledger_leg[], BIGINT[], TEXT[]) IS 'Refusals because of holds and reversals.';

CREATE FUNCTION ledger_post(p_accounts ledger_account_ref[], p_postings ledger_posting[], p_legs ledger_leg[])
RETURNS TABLE (item INT, verdict TEXT, transaction_id UUID, account_path TEXT, account_currency TEXT, available BIGINT)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
  v_tenant INT := public.current_tenant();
  v_account_tenants INT[];
  v_posting_tenants INT[];
  v_effective TIMESTAMPTZ[];
  v_currencies TEXT[];
  v_ids BIGINT[];
  v_seqs BIGINT[];
  v_normal SMALLINT[];
  v_debits_posted BIGINT[];
  v_credits_posted BIGINT[];
  v_debits_pending BIGINT[];
  v_credits_pending BIGINT[];
  v_min_available BIGINT[];
  v_max_balance BIGINT[];
  v_is_open BOOLEAN[];
  v_newest TIMESTAMPTZ;
  v_now TIMESTAMPTZ;
  v_found BIGINT[];
  v_other INT[];
  v_any_found BOOLEAN;
  v_any_hold BOOLEAN;
  v_any_reference BOOLEAN;
  v_risky BOOLEAN;
  v_legs public.ledger_leg[];
  v_entries public.entry[];
  v_refusals public.ledger_verdict[] := '{}';
  v_judged RECORD;
  v_refusal public.ledger_verdict;
  v_base BIGINT;
  v_new public.ledger_posting[];
  v_new_items BIGINT[];
  v_leg_counts SMALLINT[];
  v_leg_bytes BYTEA[];
  v_inserted INT;
BEGIN
  IF cardinality(p_postings) > 512 OR cardinality(p_legs) > 512 * 64 THEN
    RAISE EXCEPTION 'too many postings in one call' USING ERRCODE = '54000';
  END IF;
  SELECT array_agg(r.tenant_id ORDER BY r.ordinality), array_agg(r.currency ORDER BY r.ordinality) INTO v_account_tenants, v_currencies
    FROM unnest(p_accounts) WITH ORDINALITY AS r;
  SELECT array_agg(p.tenant_id ORDER BY p.ordinality), array_agg(p.effective_at ORDER BY p.ordinality),
         bool_or(p.hold_captured IS NOT NULL), bool_or(coalesce(p.hold_id, p.reverses) IS NOT NULL)
    INTO v_posting_tenants, v_effective, v_any_hold, v_any_reference
    FROM unnest(p_postings) WITH ORDINALITY AS p;
  IF v_tenant IS NOT NULL AND EXISTS (SELECT 1 FROM unnest(v_posting_tenants) AS p (tenant_id) WHERE p.tenant_id IS DISTINCT FROM v_tenant)
     OR EXISTS (SELECT 1 FROM unnest(p_legs) AS l
                 WHERE v_account_tenants[l.account] IS DISTINCT FROM v_posting_tenants[l.item]
                    OR l.spill IS NOT NULL AND v_account_tenants[l.spill] IS DISTINCT FROM v_posting_tenants[l.item]) THEN
    RAISE EXCEPTION 'a posting or account of another tenant' USING ERRCODE = '42501';
  END IF;

  v_ids := public.ledger_open_accounts(p_accounts);
  IF array_position(v_ids, NULL) IS NOT NULL THEN
    RETURN QUERY
      SELECT DISTINCT ON (l.item) l.item, 'UNKNOWN_ACCOUNT', NULL::UUID, r.path, r.currency, NULL::BIGINT
        FROM unnest(p_legs) AS l
        JOIN unnest(p_accounts) WITH ORDINALITY AS r (tenant_id, path, currency, position)
          ON r.position IN (l.account, l.spill) AND v_ids[r.position] IS NULL
       ORDER BY l.item, r.position;
    RETURN;
  END IF;

  -- Locks: holds, then accounts, each in id order.
  IF v_any_hold THEN
    PERFORM h.id
       FROM (SELECT DISTINCT p.tenant_id, p.hold_id FROM unnest(p_postings) AS p WHERE p.hold_captured IS NOT NULL ORDER BY 1, 2) AS s
      CROSS JOIN LATERAL (SELECT x.id FROM public.hold AS x WHERE x.tenant_id = s.tenant_id AND x.id = s.hold_id FOR NO KEY UPDATE) AS h;
  END IF;
  SELECT array_agg(b.normal ORDER BY b.position), array_agg(b.seq ORDER BY b.position),
         array_agg(b.debits_posted ORDER BY b.position), array_agg(b.credits_posted ORDER BY b.position),
         array_agg(b.debits_pending ORDER BY b.position), array_agg(b.credits_pending ORDER BY b.position),
         array_agg(b.min_available ORDER BY b.position), array_agg(b.max_balance ORDER BY b.position),
         array_agg(b.is_open ORDER BY b.position), max(b.last_recorded_at)
    INTO v_normal, v_seqs, v_debits_posted, v_credits_posted, v_debits_pending, v_credits_pending, v_min_available, v_max_balance, v_is_open, v_newest
    FROM (SELECT s.position, l.*,
                 (SELECT a.state = 'OPEN' FROM public.account AS a WHERE a.tenant_id = s.tenant_id AND a.id = s.id) AS is_open
            FROM (SELECT i.id, i.position, v_account_tenants[i.position] AS tenant_id
                    FROM unnest(v_ids) WITH ORDINALITY AS i (id, position) ORDER BY 3, 1) AS s
           CROSS JOIN LATERAL (SELECT x.normal, x.seq, x.debits_posted, x.credits_posted, x.debits_pending, x.credits_pending,
                                      x.min_available, x.max_balance, x.last_recorded_at
                                 FROM public.account_balance AS x
                                WHERE x.tenant_id = s.tenant_id AND x.account_id = s.id FOR NO KEY UPDATE) AS l) AS b;
  IF (SELECT count(DISTINCT i) FROM unnest(v_ids) AS i) <> cardinality(v_seqs) OR cardinality(v_seqs) <> cardinality(v_ids) THEN
    RAISE EXCEPTION 'an account is named twice' USING ERRCODE = '22023';
  END IF;

  -- What is in the books already. Whoever posted it held the same accounts, so it is visible now.
  SELECT array_agg((SELECT t.id FROM public.ledger_transaction AS t WHERE t.tenant_id = v_posting_tenants[p.ordinality] AND t.key = p.key) ORDER BY p.ordinality)
    INTO v_found
    FROM unnest(p_postings) WITH ORDINALITY AS p;
  SELECT bool_or(f IS NOT NULL) INTO v_any_found FROM unnest(v_found) AS f;
  IF v_any_found THEN
    v_other := public.ledger_other_money(p_postings, p_legs, v_found, v_ids);
    SELECT coalesce(array_agg(ROW(o, 'KEY_REUSED', NULL, NULL)::public.ledger_verdict ORDER BY o), '{}') INTO v_refusals FROM unnest(v_other) AS o;
  END IF;
  IF v_any_reference OR EXISTS (SELECT 1 FROM unnest(p_legs) AS l WHERE l.layer > 0) THEN
    v_refusals := v_refusals || ARRAY(SELECT c FROM public.ledger_check_references(p_postings, p_legs, v_found, v_currencies) AS c);
  END IF;
  IF FALSE = ANY (v_is_open) THEN
    v_refusals := v_refusals || ARRAY(
      SELECT ROW(l.item, 'ACCOUNT_FROZEN', min(l.account), NULL)::public.ledger_verdict
        FROM unnest(p_legs) AS l
       WHERE NOT v_is_open[l.account] AND v_found[l.item] IS NULL AND NOT (p_postings[l.item]).external_fact
       GROUP BY l.item);
  END IF;

  SELECT array_agg(ROW(l.item, l.account, l.spill, l.layer, l.direction, l.amount)::public.ledger_leg ORDER BY l.item, l.position) INTO v_legs
    FROM unnest(p_legs) WITH ORDINALITY AS l (item, account, spill, layer, direction, amount, position)
   WHERE v_found[l.item] IS NULL;

  -- Could any account go too far under the worst order of these legs? Then judge one by one.
  SELECT bool_or(
           d.debits_posted + v_debits_posted[d.account] > 9223372036854775807 OR d.credits_posted + v_credits_posted[d.account] > 9223372036854775807
        OR d.debits_pending + v_debits_pending[d.account] > 9223372036854775807 OR d.credits_pending + v_credits_pending[d.account] > 9223372036854775807
        OR v_debits_pending[d.account] < d.debits_undone OR v_credits_pending[d.account] < d.credits_undone
        OR d.spills
        OR v_normal[d.account] * (v_debits_posted[d.account] - v_credits_posted[d.account])
           - CASE v_normal[d.account] WHEN 1 THEN v_credits_pending[d.account] + d.credits_posted + d.credits_pending
                                      ELSE v_debits_pending[d.account] + d.debits_posted + d.debits_pending END < v_min_available[d.account]
        OR v_normal[d.account] * (v_debits_posted[d.account] - v_credits_posted[d.account])
           + CASE v_normal[d.account] WHEN 1 THEN v_debits_pending[d.account] + d.debits_posted + d.debits_pending
                                      ELSE v_credits_pending[d.account] + d.credits_posted + d.credits_pending END > v_max_balance[d.account])
    INTO v_risky
    FROM (SELECT l.account, bool_or(l.spill IS NOT NULL) AS spills,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 0 AND l.direction = 'D'), 0) AS debits_posted,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 0 AND l.direction = 'C'), 0) AS credits_posted,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 1 AND l.direction = 'D'), 0) AS debits_pending,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 1 AND l.direction = 'C'), 0) AS credits_pending,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 2 AND l.direction = 'C'), 0) AS debits_undone,
                 coalesce(sum(l.amount) FILTER (WHERE l.layer = 2 AND l.direction = 'D'), 0) AS credits_undone
            FROM unnest(v_legs) AS l GROUP BY l.account) AS d;
  IF v_risky AND cardinality(v_refusals) = 0 THEN
    SELECT j.legs, j.refusal INTO v_judged
      FROM public.ledger_judge(v_legs, v_normal, v_debits_posted, v_credits_posted, v_debits_pending, v_credits_pending, v_min_available, v_max_balance) AS j;
    v_legs := v_judged.legs;
    v_refusal := v_judged.refusal;
    IF v_refusal.verdict IS NOT NULL THEN
      v_refusals := v_refusals || v_refusal;
    END IF;
  END IF;
  IF cardinality(v_refusals) > 0 THEN
    RETURN QUERY
      SELECT f.item, f.verdict, NULL::UUID, (p_accounts[f.account]).path, (p_accounts[f.account]).currency, f.available
        FROM unnest(v_refusals) AS f ORDER BY f.item;
    RETURN;
  END IF;

  IF v_legs IS NOT NULL THEN
    v_base := nextval('public.ledger_batch') << 12;
    -- Time rises with seq on every account, whatever the clock does.
    v_now := greatest(clock_timestamp(), v_newest + INTERVAL '1 microsecond');
    SELECT array_agg(ROW(v_posting_tenants[w.item], v_ids[w.account], w.seq, v_base + w.item, w.leg_no, w.layer, w.direction, w.amount, v_currencies[w.account],
                         w.debits_posted, w.credits_posted, w.debits_pending, w.credits_pending, w.effective_at, v_now)::public.entry)
      INTO v_entries
      FROM (SELECT l.item, l.account, l.layer, l.direction, l.amount, v_effective[l.item] AS effective_at,
                   (row_number() OVER (PARTITION BY l.item ORDER BY l.position))::SMALLINT AS leg_no,
                   v_seqs[l.account] + row_number() OVER run AS seq,
                   v_debits_posted[l.account] + (sum(CASE WHEN l.layer = 0 AND l.direction = 'D' THEN l.amount ELSE 0 END) OVER run)::BIGINT AS debits_posted,
                   v_credits_posted[l.account] + (sum(CASE WHEN l.layer = 0 AND l.direction = 'C' THEN l.amount ELSE 0 END) OVER run)::BIGINT AS credits_posted,
                   v_debits_pending[l.account] + (sum(CASE WHEN l.layer = 1 AND l.direction = 'D' THEN l.amount
                                                           WHEN l.layer = 2 AND l.direction = 'C' THEN -l.amount ELSE 0 END) OVER run)::BIGINT AS debits_pending,
                   v_credits_pending[l.account] + (sum(CASE WHEN l.layer = 1 AND l.direction = 'C' THEN l.amount
                                                            WHEN l.layer = 2 AND l.direction = 'D' THEN -l.amount ELSE 0 END) OVER run)::BIGINT AS credits_pending
              FROM unnest(v_legs) WITH ORDINALITY AS l (item, account, spill, layer, direction, amount, position)
            WINDOW run AS (PARTITION BY l.account ORDER BY l.position ROWS UNBOUNDED PRECEDING)) AS w;

    v_new := p_postings;
    SELECT array_agg(f.item ORDER BY f.item) INTO v_new_items FROM unnest(v_found) WITH ORDINALITY AS f (id, item) WHERE f.id IS NULL;
    IF v_any_found THEN
      SELECT array_agg(p_postings[f.item] ORDER BY f.item) INTO v_new FROM unnest(v_new_items) AS f (item);
    END IF;
    SELECT array_agg(g.leg_count ORDER BY g.transaction_id), array_agg(g.legs ORDER BY g.transaction_id) INTO v_leg_counts, v_leg_bytes
      FROM (SELECT e.transaction_id, count(*)::SMALLINT AS leg_count,
                   string_agg(int2send(e.leg_no) || int8send(e.account_id) || int8send(e.seq) || int2send(e.layer) || e.direction::BYTEA
                              || int8send(e.amount) || e.currency::BYTEA || int8send(e.debits_posted_after) || int8send(e.credits_posted_after)
                              || int8send(e.debits_pending_after) || int8send(e.credits_pending_after), ''::BYTEA ORDER BY e.leg_no) AS legs
              FROM unnest(v_entries) AS e GROUP BY e.transaction_id) AS g;
    IF cardinality(v_leg_counts) IS DISTINCT FROM cardinality(v_new) THEN
      RAISE EXCEPTION 'a posting without legs' USING ERRCODE = '23514';
    END IF;
    INSERT INTO public.ledger_transaction AS t (
      tenant_id, id, public_id, key, recipe, leg_count, hold_id, hold_opened, hold_captured, hold_released, reverses_id,
      payment_id, refund_id, operation_id, provider_account_id, provider_ref, correlation_id, effective_at, recorded_at,
      description, metadata, external_fact, created_by, content_hash)
    SELECT h.tenant_id, h.id, h.public_id, h.key, h.recipe, h.leg_count, h.hold_id, h.hold_opened, h.hold_captured, h.hold_released, h.reverses_id,
           h.payment_id, h.refund_id, h.operation_id, h.provider_account_id, h.provider_ref, h.correlation_id, h.effective_at, v_now,
           h.description, h.metadata_json, h.external_fact, h.created_by,
           -- array_send puts its length before every field, -1 before a missing one.
           sha256(array_send(ARRAY[
             'counterfoil.transaction.1'::BYTEA, int4send(h.tenant_id), int8send(h.id), uuid_send(h.public_id), convert_to(h.key, 'UTF8'),
             convert_to(h.recipe, 'UTF8'), int2send(h.leg_count), uuid_send(h.hold_id), int8send(h.hold_opened), int8send(h.hold_captured),
             int8send(h.hold_released), int8send(h.reverses_id), uuid_send(h.payment_id), uuid_send(h.refund_id), uuid_send(h.operation_id),
             uuid_send(h.provider_account_id), convert_to(h.provider_ref, 'UTF8'), convert_to(h.correlation_id, 'UTF8'),
             timestamptz_send(h.effective_at), timestamptz_send(v_now), convert_to(h.description, 'UTF8'), convert_to(h.metadata_json::TEXT, 'UTF8'),
             boolsend(h.external_fact), convert_to(h.created_by, 'UTF8'), h.legs]))
      FROM (SELECT p.*, v_base + p.item AS id, p.metadata::JSONB AS metadata_json,
                   (SELECT o.id FROM public.ledger_transaction AS o WHERE o.tenant_id = p.tenant_id AND o.public_id = p.reverses) AS reverses_id
              FROM ROWS FROM (unnest(v_new), unnest(v_new_items), unnest(v_leg_counts), unnest(v_leg_bytes)) AS p (
                     tenant_id, public_id, key, recipe, hold_id, hold_opened, hold_reason, hold_expires_at, hold_captured, hold_released,
                     reverses, payment_id, refund_id, operation_id, provider_account_id, provider_ref, correlation_id, effective_at,
                     description, metadata, external_fact, created_by, item, leg_count, legs)
             ORDER BY p.tenant_id, p.key COLLATE "C") AS h
    ON CONFLICT (tenant_id, key) WHERE key IS NOT NULL DO NOTHING;
    GET DIAGNOSTICS v_inserted = ROW_COUNT;
    IF v_inserted <> cardinality(v_new) THEN
      -- Another unit of work used a key on other accounts while this one was deciding.
      RAISE EXCEPTION 'a key was used concurrently' USING ERRCODE = '40001';
    END IF;

    PERFORM public.ledger_store_balances(v_entries, v_now);
    INSERT INTO public.entry
    SELECT e.* FROM unnest(v_entries) AS e;

    IF v_any_reference THEN
      INSERT INTO public.hold (tenant_id, id, transaction_id, payment_id, currency, amount, reason, expires_at, created_at)
      SELECT p.tenant_id, p.hold_id, v_base + p.ordinality, p.payment_id,
             (SELECT e.currency FROM unnest(v_entries) AS e WHERE e.transaction_id = v_base + p.ordinality AND e.layer = 1 LIMIT 1),
             p.hold_opened, p.hold_reason, p.hold_expires_at, v_now
        FROM unnest(p_postings) WITH ORDINALITY AS p
       WHERE p.hold_opened IS NOT NULL AND v_found[p.ordinality] IS NULL;
      PERFORM public.ledger_store_holds(v_new);
    END IF;
  END IF;

  RETURN QUERY
    SELECT p.ordinality::INT, CASE WHEN v_found[p.ordinality] IS NULL THEN 'POSTED' ELSE 'REPLAYED' END,
           CASE WHEN v_found[p.ordinality] IS NULL THEN p.public_id
                ELSE (SELECT t.public_id FROM public.ledger_transaction AS t WHERE t.tenant_id = p.tenant_id AND t.id = v_found[p.ordinality]) END,
           NULL::TEXT, NULL::TEXT, NULL::BIGINT
      FROM unnest(p_postings) WITH ORDINALITY AS p;
END $$;
COMMENT ON FUNCTION ledger_post(ledger_account_ref[], ledger_posting[], ledger_leg[]) IS 'Writes all postings or none; one row per posting, or one per refusal.';

ALTER FUNCTION ledger_post(ledger_account_ref[], ledger_posting[], ledger_leg[]) OWNER TO cf_ledger;
ALTER FUNCTION ledger_open_accounts(ledger_account_ref[]) OWNER TO cf_ledger;
ALTER FUNCTION ledger_lock_holds(INT, UUID[]) OWNER TO cf_ledger;
SET LOCAL ROLE cf_ledger;
REVOKE ALL ON FUNCTION ledger_post(ledger_account_ref[], ledger_posting[], ledger_leg[]), ledger_open_accounts(ledger_account_ref[]),
  ledger_lock_holds(INT, UUID[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_post(ledger_account_ref[], ledger_posting[], ledger_leg[]), ledger_open_accounts(ledger_account_ref[]),
  ledger_lock_holds(INT, UUID[]) TO cf_app;
SET LOCAL ROLE cf_owner;
