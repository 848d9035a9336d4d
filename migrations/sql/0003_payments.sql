-- Payments: what the shop wants, each try, each provider call, and every fact learnt about it.
-- Status columns are projections of evidence; the rows themselves are the work queue
-- (next_action_at, lease_until, fence).

CREATE TABLE idempotency_key (
  tenant_id INT NOT NULL,
  principal_scope TEXT NOT NULL,
  mutation TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BYTEA NOT NULL,
  path_digests JSONB NOT NULL,
  resource_type TEXT NOT NULL,
  resource_id UUID NOT NULL,
  operation_id UUID,
  rejection JSONB,
  correlation_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, principal_scope, mutation, key),
  CONSTRAINT idempotency_key_shape CHECK (key ~ '^[\x21-\x7e]{8,255}$')
);
COMMENT ON TABLE idempotency_key IS 'Permanent memory of every money-moving request. No status, no stored answer: the resource itself is the answer.';
COMMENT ON COLUMN idempotency_key.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN idempotency_key.principal_scope IS '''server'', or the payment behind a client secret.';
COMMENT ON COLUMN idempotency_key.mutation IS 'GraphQL mutation the key was used with.';
COMMENT ON COLUMN idempotency_key.key IS 'The caller''s key: 8-255 visible ASCII characters.';
COMMENT ON COLUMN idempotency_key.fingerprint IS 'SHA-256 of the canonical input without the key.';
COMMENT ON COLUMN idempotency_key.path_digests IS 'Short digest of each input path, to name what differs without keeping values.';
COMMENT ON COLUMN idempotency_key.resource_type IS 'Prefix of the resource made: pay or ref.';
COMMENT ON COLUMN idempotency_key.resource_id IS 'The resource the request made or acted on.';
COMMENT ON COLUMN idempotency_key.operation_id IS 'The provider operation the request started, when it started one.';
COMMENT ON COLUMN idempotency_key.rejection IS 'A refusal to repeat as it was (risk, insufficient funds).';
COMMENT ON COLUMN idempotency_key.correlation_id IS 'Request that used the key first.';
COMMENT ON COLUMN idempotency_key.created_at IS 'First use.';
CALL protect('idempotency_key', 'SELECT, INSERT, UPDATE (operation_id, rejection)');

CREATE TABLE payment (
  tenant_id INT NOT NULL,
  id UUID NOT NULL CONSTRAINT payment_id_unique UNIQUE,
  reference TEXT,
  status TEXT NOT NULL CONSTRAINT payment_status_known CHECK (status IN ('REQUIRES_PAYMENT_METHOD', 'REQUIRES_CONFIRMATION', 'REQUIRES_ACTION', 'PROCESSING', 'AUTHORIZED', 'PARTIALLY_CAPTURED', 'CAPTURED', 'CANCELED', 'FAILED', 'EXPIRED', 'IN_REVIEW')),
  version INT NOT NULL DEFAULT 1,
  amount BIGINT NOT NULL CONSTRAINT payment_amount_positive CHECK (amount > 0),
  currency TEXT NOT NULL CONSTRAINT payment_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
  capture_mode TEXT NOT NULL CONSTRAINT payment_capture_mode_known CHECK (capture_mode IN ('AUTOMATIC', 'MANUAL')),
  method JSONB NOT NULL DEFAULT '{}',
  token_sealed BYTEA,
  customer_id TEXT,
  country TEXT,
  return_url TEXT,
  statement_descriptor TEXT,
  merchant_account TEXT NOT NULL,
  splits JSONB NOT NULL DEFAULT '[]',
  store_credit_account TEXT,
  store_credit BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_store_credit_range CHECK (store_credit >= 0 AND store_credit <= amount),
  routing JSONB NOT NULL DEFAULT '{}',
  metadata JSONB NOT NULL DEFAULT '{}',
  client_secret_hash BYTEA NOT NULL CONSTRAINT payment_client_secret_hash_unique UNIQUE,
  attempt_limit INT NOT NULL CONSTRAINT payment_attempt_limit_positive CHECK (attempt_limit > 0),
  expires_at TIMESTAMPTZ,
  authorized BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_authorized_range CHECK (authorized >= 0),
  paid_by_store_credit BOOLEAN NOT NULL DEFAULT FALSE,
  captured_gross BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_captured_range CHECK (captured_gross >= 0),
  capture_reversed BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_capture_reversed_range CHECK (capture_reversed >= 0),
  refund_reserved BIGINT NOT NULL DEFAULT 0,
  refunded BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_refunded_range CHECK (refunded >= 0),
  refunded_external BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_refunded_external_range CHECK (refunded_external >= 0),
  disputed BIGINT NOT NULL DEFAULT 0 CONSTRAINT payment_disputed_range CHECK (disputed >= 0),
  fees BIGINT NOT NULL DEFAULT 0,
  attempt_count INT NOT NULL DEFAULT 0,
  last_decline JSONB,
  next_action JSONB,
  cancel_requested_at TIMESTAMPTZ,
  ended_at TIMESTAMPTZ,
  correlation_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT payment_refunds_within_capture CHECK (refund_reserved BETWEEN 0 AND captured_gross),
  CONSTRAINT payment_refunded_within_reserved CHECK (refunded <= refund_reserved)
);
COMMENT ON TABLE payment IS 'What the shop wants: one amount, taken once.';
COMMENT ON COLUMN payment.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN payment.id IS 'Identifier (pay_…).';
COMMENT ON COLUMN payment.reference IS 'The shop''s own order or cart id.';
COMMENT ON COLUMN payment.status IS 'Projection of the attempts; never set by hand.';
COMMENT ON COLUMN payment.version IS 'Raised by each change.';
COMMENT ON COLUMN payment.amount IS 'Whole price in minor units, store credit included.';
COMMENT ON COLUMN payment.currency IS 'ISO 4217 code of every amount of this payment.';
COMMENT ON COLUMN payment.capture_mode IS 'Take at once, or authorize and capture later.';
COMMENT ON COLUMN payment.method IS 'Type, brand, last digits and fingerprint of the method; never a card number.';
COMMENT ON COLUMN payment.token_sealed IS 'Provider or vault token of the method, AES-256-GCM; deleted when no try can follow.';
COMMENT ON COLUMN payment.customer_id IS 'The shop''s own customer id.';
COMMENT ON COLUMN payment.country IS 'Shopper country, ISO 3166-1 alpha-2, for routing.';
COMMENT ON COLUMN payment.return_url IS 'Where the shopper comes back to.';
COMMENT ON COLUMN payment.statement_descriptor IS 'Text on the shopper''s bank statement.';
COMMENT ON COLUMN payment.merchant_account IS 'Ledger path that gets what the splits leave.';
COMMENT ON COLUMN payment.splits IS 'List of {path, amount}: shares of others.';
COMMENT ON COLUMN payment.store_credit_account IS 'Ledger path of the customer''s store credit.';
COMMENT ON COLUMN payment.store_credit IS 'Part paid from store credit, minor units.';
COMMENT ON COLUMN payment.routing IS 'What the caller asked of the router.';
COMMENT ON COLUMN payment.metadata IS 'The shop''s own keys and values.';
COMMENT ON COLUMN payment.client_secret_hash IS 'SHA-256 of the client secret.';
COMMENT ON COLUMN payment.attempt_limit IS 'Declined attempts after which it is FAILED: the tenant''s limit when it was made.';
COMMENT ON COLUMN payment.expires_at IS 'Advisory end of the wait for a method or confirmation.';
COMMENT ON COLUMN payment.authorized IS 'Authorized at the provider and not voided, minor units.';
COMMENT ON COLUMN payment.paid_by_store_credit IS 'Its whole amount was taken from store credit; no provider was needed.';
COMMENT ON COLUMN payment.captured_gross IS 'Ever captured, store credit included, minor units.';
COMMENT ON COLUMN payment.capture_reversed IS 'Captures the provider took back later.';
COMMENT ON COLUMN payment.refund_reserved IS 'Our refunds that are not FAILED, CANCELED or RETURNED.';
COMMENT ON COLUMN payment.refunded IS 'Our refunds that SUCCEEDED.';
COMMENT ON COLUMN payment.refunded_external IS 'Refunds made at the provider without us.';
COMMENT ON COLUMN payment.disputed IS 'Withdrawn by open or lost disputes.';
COMMENT ON COLUMN payment.fees IS 'Provider fees known so far, minor units.';
COMMENT ON COLUMN payment.attempt_count IS 'Attempts made so far.';
COMMENT ON COLUMN payment.last_decline IS 'The newest refusal: kind, code, provider_code, network_code, advice_code.';
COMMENT ON COLUMN payment.next_action IS 'What the shopper must do now: kind, url, fields, expires_at.';
COMMENT ON COLUMN payment.cancel_requested_at IS 'Set when a cancel was accepted.';
COMMENT ON COLUMN payment.ended_at IS 'When the shop was first told CANCELED, FAILED or EXPIRED: what succeeds afterwards is an orphan.';
COMMENT ON COLUMN payment.correlation_id IS 'Request that made the payment.';
COMMENT ON COLUMN payment.created_at IS 'When it was made.';
COMMENT ON COLUMN payment.updated_at IS 'Last change.';
CREATE INDEX payment_by_creation ON payment (tenant_id, created_at DESC, id DESC);
CREATE INDEX payment_by_update ON payment (tenant_id, updated_at DESC, id DESC);
-- On empty tables all indexes of a tenant look alike, and the planner takes the newest: so the primary
-- key comes after the lists, and what must win over it is partial (tests/payments/test_plans.py).
ALTER TABLE payment ADD PRIMARY KEY (tenant_id, id);
CREATE UNIQUE INDEX payment_reference_unique ON payment (tenant_id, reference) WHERE reference IS NOT NULL;
CREATE INDEX payment_by_customer ON payment (tenant_id, customer_id, created_at DESC) WHERE customer_id IS NOT NULL;
CREATE INDEX payment_by_method ON payment (tenant_id, (method ->> 'fingerprint'), created_at DESC)
  WHERE method ->> 'fingerprint' IS NOT NULL;
CREATE TRIGGER payment_terms_are_append_only BEFORE UPDATE OF tenant_id, id, reference, amount, currency, capture_mode, merchant_account, splits, store_credit_account, store_credit, correlation_id, created_at ON payment
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('payment', 'SELECT, INSERT, UPDATE');

CREATE TABLE payment_attempt (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  payment_id UUID NOT NULL,
  number INT NOT NULL,
  status TEXT NOT NULL CONSTRAINT payment_attempt_status_known CHECK (status IN ('CREATED', 'SENT', 'REQUIRES_ACTION', 'PENDING', 'UNKNOWN', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'NOT_EXECUTED', 'VOIDED', 'EXPIRED', 'REVERSED', 'IN_REVIEW')),
  superseded BOOLEAN NOT NULL DEFAULT FALSE,
  provider_account_id UUID NOT NULL,
  routing JSONB NOT NULL,
  decline JSONB,
  next_action JSONB,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT payment_attempt_number_unique UNIQUE (tenant_id, payment_id, number),
  CONSTRAINT payment_attempt_payment FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id)
);
COMMENT ON TABLE payment_attempt IS 'One try of a payment at one provider account.';
COMMENT ON COLUMN payment_attempt.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN payment_attempt.id IS 'Identifier (att_…).';
COMMENT ON COLUMN payment_attempt.payment_id IS 'The payment tried.';
COMMENT ON COLUMN payment_attempt.number IS '1, 2, 3 … within the payment.';
COMMENT ON COLUMN payment_attempt.status IS 'Projection of its operations.';
COMMENT ON COLUMN payment_attempt.superseded IS 'A later attempt was begun, which is allowed only after this one had ended.';
COMMENT ON COLUMN payment_attempt.provider_account_id IS 'Where it was tried.';
COMMENT ON COLUMN payment_attempt.routing IS 'The routing decision: strategy, candidates, verdicts, reasons.';
COMMENT ON COLUMN payment_attempt.decline IS 'Why it was refused.';
COMMENT ON COLUMN payment_attempt.next_action IS 'What the shopper must do.';
COMMENT ON COLUMN payment_attempt.created_at IS 'When it was made.';
COMMENT ON COLUMN payment_attempt.updated_at IS 'Last change.';
CREATE UNIQUE INDEX payment_attempt_one_open ON payment_attempt (tenant_id, payment_id)
  WHERE NOT superseded AND status NOT IN ('DECLINED', 'NOT_EXECUTED', 'EXPIRED', 'VOIDED');
-- A new attempt needs the one before to be superseded, and only an ended one may be. What a provider
-- tells later about a superseded attempt can thus always be written down.
CREATE FUNCTION refuse_superseding_open_attempt() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'attempt % is open and cannot be superseded', OLD.id USING ERRCODE = '23514';
END $$;
COMMENT ON FUNCTION refuse_superseding_open_attempt() IS 'Row trigger: a second attempt beside an open one could charge twice.';
CREATE TRIGGER payment_attempt_superseded_when_ended BEFORE UPDATE OF superseded ON payment_attempt
  FOR EACH ROW WHEN (NEW.superseded AND NOT OLD.superseded
                     AND NEW.status NOT IN ('DECLINED', 'NOT_EXECUTED', 'EXPIRED', 'VOIDED'))
  EXECUTE FUNCTION refuse_superseding_open_attempt();
CALL protect('payment_attempt', 'SELECT, INSERT, UPDATE');

CREATE FUNCTION sum_of(p_shares BIGINT[]) RETURNS NUMERIC LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN (SELECT coalesce(sum(share), 0) FROM unnest(p_shares) AS share);
COMMENT ON FUNCTION sum_of(BIGINT[]) IS 'Minor units of all shares together, for constraints.';

CREATE TABLE refund (
  tenant_id INT NOT NULL,
  id UUID NOT NULL CONSTRAINT refund_id_unique UNIQUE,
  payment_id UUID NOT NULL,
  status TEXT NOT NULL CONSTRAINT refund_status_known CHECK (status IN ('CREATED', 'SENT', 'PENDING', 'REQUIRES_ACTION', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CANCELED', 'RETURNED', 'IN_REVIEW')),
  origin TEXT NOT NULL DEFAULT 'OURS' CONSTRAINT refund_origin_known CHECK (origin IN ('OURS', 'EXTERNAL')),
  amount BIGINT NOT NULL CONSTRAINT refund_amount_positive CHECK (amount > 0),
  currency TEXT NOT NULL,
  card_amount BIGINT NOT NULL,
  store_credit_amount BIGINT NOT NULL DEFAULT 0,
  shares BIGINT[] NOT NULL,
  reason TEXT NOT NULL,
  note TEXT,
  metadata JSONB NOT NULL DEFAULT '{}',
  failure_message TEXT,
  version INT NOT NULL DEFAULT 1,
  correlation_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT refund_parts_sum CHECK (card_amount + store_credit_amount = amount AND card_amount >= 0 AND store_credit_amount >= 0),
  CONSTRAINT refund_shares_sum CHECK (0 <= ALL (shares) AND sum_of(shares) = amount),
  CONSTRAINT refund_payment FOREIGN KEY (tenant_id, payment_id) REFERENCES payment (tenant_id, id)
);
COMMENT ON TABLE refund IS 'Money of a captured payment on its way back.';
COMMENT ON COLUMN refund.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN refund.id IS 'Identifier (ref_…).';
COMMENT ON COLUMN refund.payment_id IS 'The payment refunded.';
COMMENT ON COLUMN refund.status IS 'Projection of its operation.';
COMMENT ON COLUMN refund.origin IS 'Made through us, or at the provider without us.';
COMMENT ON COLUMN refund.amount IS 'Minor units.';
COMMENT ON COLUMN refund.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN refund.card_amount IS 'Part that goes back through the provider.';
COMMENT ON COLUMN refund.store_credit_amount IS 'Part that goes back to store credit.';
COMMENT ON COLUMN refund.shares IS 'Minor units each account of the split gives back, in its order; decided once, when it is made.';
COMMENT ON COLUMN refund.reason IS 'RefundReason of the API.';
COMMENT ON COLUMN refund.note IS 'For people.';
COMMENT ON COLUMN refund.metadata IS 'The shop''s own keys and values.';
COMMENT ON COLUMN refund.failure_message IS 'Why it failed, safe to show.';
COMMENT ON COLUMN refund.version IS 'Raised by each change.';
COMMENT ON COLUMN refund.correlation_id IS 'Request that made it.';
COMMENT ON COLUMN refund.created_at IS 'When it was made.';
COMMENT ON COLUMN refund.updated_at IS 'Last change.';
ALTER TABLE refund ADD PRIMARY KEY (tenant_id, id);
CREATE INDEX refund_by_payment ON refund (tenant_id, payment_id, created_at DESC, id DESC) WHERE payment_id IS NOT NULL;
CREATE TRIGGER refund_terms_are_append_only BEFORE UPDATE OF tenant_id, id, payment_id, origin, amount, currency, card_amount, store_credit_amount, created_at ON refund
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('refund', 'SELECT, INSERT, UPDATE');

CREATE TABLE provider_operation (
  tenant_id INT NOT NULL,
  id UUID NOT NULL CONSTRAINT provider_operation_id_unique UNIQUE,
  payment_id UUID NOT NULL,
  attempt_id UUID NOT NULL,
  refund_id UUID,
  kind TEXT NOT NULL CONSTRAINT provider_operation_kind_known CHECK (kind IN ('AUTHORIZE', 'SALE', 'CAPTURE', 'VOID', 'INCREMENT', 'REFUND', 'PAYOUT')),
  status TEXT NOT NULL CONSTRAINT provider_operation_status_known CHECK (status IN ('CREATED', 'SENT', 'REQUIRES_ACTION', 'PENDING', 'UNKNOWN', 'SUCCEEDED', 'DECLINED', 'NOT_EXECUTED', 'REVERSED', 'IN_REVIEW')),
  origin TEXT NOT NULL DEFAULT 'OURS' CONSTRAINT provider_operation_origin_known CHECK (origin IN ('OURS', 'EXTERNAL')),
  provider_account_id UUID NOT NULL,
  provider_ref TEXT,
  parent_ref TEXT,
  amount BIGINT NOT NULL CONSTRAINT provider_operation_amount_positive CHECK (amount > 0),
  currency TEXT NOT NULL,
  moved_amount BIGINT,
  fee BIGINT,
  expired BOOLEAN NOT NULL DEFAULT FALSE,
  final BOOLEAN NOT NULL DEFAULT TRUE,
  shares BIGINT[] NOT NULL DEFAULT '{}',
  posted TEXT[] NOT NULL DEFAULT '{}',
  idempotency_key TEXT NOT NULL,
  request_sealed BYTEA,
  decline JSONB,
  next_action JSONB,
  next_action_at TIMESTAMPTZ,
  lease_until TIMESTAMPTZ,
  fence BIGINT NOT NULL DEFAULT 0,
  tries INT NOT NULL DEFAULT 0,
  resolution_tries INT NOT NULL DEFAULT 0,
  correlation_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  sent_at TIMESTAMPTZ,
  completed_at TIMESTAMPTZ,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT provider_operation_shares_sum CHECK (0 <= ALL (shares) AND sum_of(shares) = CASE WHEN kind IN ('SALE', 'CAPTURE') THEN amount ELSE 0 END),
  CONSTRAINT provider_operation_key_unique UNIQUE (tenant_id, idempotency_key),
  CONSTRAINT provider_operation_attempt FOREIGN KEY (tenant_id, attempt_id) REFERENCES payment_attempt (tenant_id, id)
);
COMMENT ON TABLE provider_operation IS 'One provider call that may move money, and the state of finding out whether it did.';
COMMENT ON COLUMN provider_operation.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN provider_operation.id IS 'Identifier (op_…), sent to the provider as our reference.';
COMMENT ON COLUMN provider_operation.payment_id IS 'The payment it belongs to.';
COMMENT ON COLUMN provider_operation.attempt_id IS 'The attempt it belongs to.';
COMMENT ON COLUMN provider_operation.refund_id IS 'The refund it carries out.';
COMMENT ON COLUMN provider_operation.kind IS 'What it does.';
COMMENT ON COLUMN provider_operation.status IS 'Projection of its evidence.';
COMMENT ON COLUMN provider_operation.origin IS 'Started by us, or at the provider without us.';
COMMENT ON COLUMN provider_operation.provider_account_id IS 'Where it is sent.';
COMMENT ON COLUMN provider_operation.provider_ref IS 'The provider''s object of this operation.';
COMMENT ON COLUMN provider_operation.parent_ref IS 'The provider''s payment it acts on.';
COMMENT ON COLUMN provider_operation.amount IS 'Asked of the provider, minor units.';
COMMENT ON COLUMN provider_operation.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN provider_operation.moved_amount IS 'What the provider says it moved, once it is certain.';
COMMENT ON COLUMN provider_operation.fee IS 'Provider fee in minor units, once known.';
COMMENT ON COLUMN provider_operation.expired IS 'The provider''s own clock ended it.';
COMMENT ON COLUMN provider_operation.final IS 'Capture only: whether it releases what is left.';
COMMENT ON COLUMN provider_operation.shares IS 'Sale and capture only: minor units each account of the split gets, in its order; decided once, when it is made.';
COMMENT ON COLUMN provider_operation.posted IS 'Recipes posted for it; what its evidence requires and is not here is posted next.';
COMMENT ON COLUMN provider_operation.idempotency_key IS 'Key sent to the provider; the same for the life of the operation.';
COMMENT ON COLUMN provider_operation.request_sealed IS 'The exact request sent, AES-256-GCM; deleted when the operation is final.';
COMMENT ON COLUMN provider_operation.decline IS 'Why it was refused.';
COMMENT ON COLUMN provider_operation.next_action IS 'What the shopper must do.';
COMMENT ON COLUMN provider_operation.next_action_at IS 'When the worker looks at it next; NULL when nothing is left to do.';
COMMENT ON COLUMN provider_operation.lease_until IS 'A claim holds it until then, by the database clock.';
COMMENT ON COLUMN provider_operation.fence IS 'Raised by each claim; guards sending and rescheduling.';
COMMENT ON COLUMN provider_operation.tries IS 'Times it was claimed.';
COMMENT ON COLUMN provider_operation.resolution_tries IS 'Look-ups made while its outcome was unknown.';
COMMENT ON COLUMN provider_operation.correlation_id IS 'Request that started it.';
COMMENT ON COLUMN provider_operation.created_at IS 'When it was intended.';
COMMENT ON COLUMN provider_operation.sent_at IS 'Committed before the first byte left.';
COMMENT ON COLUMN provider_operation.completed_at IS 'When its status became final.';
COMMENT ON COLUMN provider_operation.updated_at IS 'Last change.';
ALTER TABLE provider_operation ADD PRIMARY KEY (tenant_id, id);
CREATE UNIQUE INDEX provider_operation_external ON provider_operation (tenant_id, provider_account_id, kind, provider_ref)
  WHERE origin = 'EXTERNAL';
CREATE INDEX provider_operation_by_payment ON provider_operation (tenant_id, payment_id, id) WHERE payment_id IS NOT NULL;
CREATE INDEX provider_operation_by_ref ON provider_operation (tenant_id, provider_account_id, provider_ref) WHERE provider_ref IS NOT NULL;
CREATE INDEX provider_operation_due ON provider_operation (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX provider_operation_unknown ON provider_operation (tenant_id, payment_id) WHERE status = 'UNKNOWN';
CREATE TRIGGER provider_operation_terms_are_append_only BEFORE UPDATE OF tenant_id, id, payment_id, attempt_id, refund_id, kind, origin, provider_account_id, amount, currency, final, idempotency_key, created_at ON provider_operation
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('provider_operation', 'SELECT, INSERT, UPDATE');

CREATE TABLE evidence (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  operation_id UUID NOT NULL,
  source TEXT NOT NULL CONSTRAINT evidence_source_known CHECK (source IN ('INTENT', 'RESPONSE', 'WEBHOOK', 'LOOKUP', 'REPORT', 'OPERATOR', 'CLOCK')),
  says TEXT NOT NULL CONSTRAINT evidence_says_known CHECK (says IN ('CREATED', 'SENT', 'REQUIRES_ACTION', 'PENDING', 'UNKNOWN', 'SUCCEEDED', 'DECLINED', 'NOT_EXECUTED', 'REVERSED')),
  amount BIGINT,
  currency TEXT,
  fee BIGINT,
  provider_ref TEXT,
  facts JSONB NOT NULL DEFAULT '{}',
  provider_event_id TEXT,
  dedup_key TEXT NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL CONSTRAINT evidence_of_this_age CHECK (occurred_at >= '1970-01-01Z' AND occurred_at < '2300-01-01Z'),
  received_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  note TEXT,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT evidence_dedup_unique UNIQUE (tenant_id, operation_id, dedup_key),
  CONSTRAINT evidence_operation FOREIGN KEY (tenant_id, operation_id) REFERENCES provider_operation (tenant_id, id)
);
COMMENT ON TABLE evidence IS 'One fact somebody told us about an operation. Append-only; status is computed from the set.';
COMMENT ON COLUMN evidence.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN evidence.id IS 'Identifier (evd_…).';
COMMENT ON COLUMN evidence.operation_id IS 'The operation it is about.';
COMMENT ON COLUMN evidence.source IS 'Who says so.';
COMMENT ON COLUMN evidence.says IS 'What it says.';
COMMENT ON COLUMN evidence.amount IS 'What the source says was moved, minor units.';
COMMENT ON COLUMN evidence.currency IS 'ISO 4217 code of the amount and fee.';
COMMENT ON COLUMN evidence.fee IS 'Provider fee in minor units, where told.';
COMMENT ON COLUMN evidence.provider_ref IS 'The provider''s object.';
COMMENT ON COLUMN evidence.facts IS 'Decline, next action, raw status: all that the source told.';
COMMENT ON COLUMN evidence.provider_event_id IS 'The callback it came by.';
COMMENT ON COLUMN evidence.dedup_key IS 'Two facts with one key are one fact.';
COMMENT ON COLUMN evidence.occurred_at IS 'When it happened, says the source.';
COMMENT ON COLUMN evidence.received_at IS 'When we learnt it.';
COMMENT ON COLUMN evidence.note IS 'For people.';
CREATE INDEX evidence_by_event ON evidence (tenant_id, provider_event_id) WHERE provider_event_id IS NOT NULL;
CREATE TRIGGER evidence_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('evidence', 'SELECT, INSERT');

CREATE TABLE provider_call (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  operation_id UUID NOT NULL,
  purpose TEXT NOT NULL,
  method TEXT NOT NULL,
  url TEXT NOT NULL,
  status INT,
  error TEXT,
  latency_ms INT,
  at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE provider_call IS 'Transcript: one HTTP exchange with a provider, masked.';
COMMENT ON COLUMN provider_call.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN provider_call.id IS 'Sortable by time.';
COMMENT ON COLUMN provider_call.operation_id IS 'The operation it was made for.';
COMMENT ON COLUMN provider_call.purpose IS 'SEND, REPLAY or LOOKUP.';
COMMENT ON COLUMN provider_call.method IS 'HTTP method.';
COMMENT ON COLUMN provider_call.url IS 'Masked URL.';
COMMENT ON COLUMN provider_call.status IS 'HTTP status; NULL when nothing came back.';
COMMENT ON COLUMN provider_call.error IS 'Transport error class, when nothing came back.';
COMMENT ON COLUMN provider_call.latency_ms IS 'From first byte out to last byte in.';
COMMENT ON COLUMN provider_call.at IS 'When it was recorded.';
CREATE INDEX provider_call_by_operation ON provider_call (tenant_id, operation_id, id);
CREATE TRIGGER provider_call_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON provider_call
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('provider_call', 'SELECT, INSERT');

CREATE TABLE discrepancy (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'OPEN' CONSTRAINT discrepancy_status_known CHECK (status IN ('OPEN', 'ACKNOWLEDGED', 'RESOLVED_AUTO', 'RESOLVED_MANUAL', 'WRITTEN_OFF')),
  subject_key TEXT NOT NULL,
  payment_id UUID,
  refund_id UUID,
  operation_id UUID,
  provider_account_id UUID,
  provider_ref TEXT,
  expected BIGINT,
  actual BIGINT,
  currency TEXT,
  note TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  resolved_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT discrepancy_subject_unique UNIQUE (tenant_id, kind, subject_key)
);
COMMENT ON TABLE discrepancy IS 'Something that does not add up and waits for an explanation.';
COMMENT ON COLUMN discrepancy.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN discrepancy.id IS 'Identifier (dis_…).';
COMMENT ON COLUMN discrepancy.kind IS 'MISSING_AT_PROVIDER, AMOUNT_MISMATCH, ORPHAN_WEBHOOK …';
COMMENT ON COLUMN discrepancy.status IS 'Where its handling stands.';
COMMENT ON COLUMN discrepancy.subject_key IS 'One open discrepancy per kind and subject.';
COMMENT ON COLUMN discrepancy.payment_id IS 'The payment concerned.';
COMMENT ON COLUMN discrepancy.refund_id IS 'The refund concerned.';
COMMENT ON COLUMN discrepancy.operation_id IS 'The operation concerned.';
COMMENT ON COLUMN discrepancy.provider_account_id IS 'The provider account concerned.';
COMMENT ON COLUMN discrepancy.provider_ref IS 'The provider''s object concerned.';
COMMENT ON COLUMN discrepancy.expected IS 'Minor units we expected.';
COMMENT ON COLUMN discrepancy.actual IS 'Minor units we found.';
COMMENT ON COLUMN discrepancy.currency IS 'ISO 4217 code of both.';
COMMENT ON COLUMN discrepancy.note IS 'What is wrong, in words.';
COMMENT ON COLUMN discrepancy.created_at IS 'When it was found.';
COMMENT ON COLUMN discrepancy.resolved_at IS 'When it was explained.';
CALL protect('discrepancy', 'SELECT, INSERT, UPDATE (status, note, resolved_at)');

CREATE TABLE block_list (
  tenant_id INT NOT NULL,
  kind TEXT NOT NULL CONSTRAINT block_list_kind_known CHECK (kind IN ('CUSTOMER', 'METHOD', 'COUNTRY', 'CURRENCY')),
  value TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, kind, value)
);
COMMENT ON TABLE block_list IS 'What the built-in risk check refuses.';
COMMENT ON COLUMN block_list.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN block_list.kind IS 'What is compared.';
COMMENT ON COLUMN block_list.value IS 'Customer id, method fingerprint, country or currency.';
COMMENT ON COLUMN block_list.reason IS 'Why.';
COMMENT ON COLUMN block_list.created_at IS 'Since when.';
CALL protect('block_list', 'SELECT, INSERT, DELETE');

-- The worker asks which operation is due before it knows whose it is. The claim is a unit of work
-- of its own: lease by the database clock, fence raised.
CREATE FUNCTION claim_operations(p_limit INT, p_lease INTERVAL)
RETURNS TABLE (tenant_id INT, operation_id UUID, fence BIGINT)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
  UPDATE public.provider_operation AS o
     SET lease_until = clock_timestamp() + p_lease, fence = o.fence + 1, tries = o.tries + 1
    FROM (SELECT d.tenant_id, d.id
            FROM public.provider_operation AS d
           WHERE d.next_action_at <= clock_timestamp()
             AND (d.lease_until IS NULL OR d.lease_until <= clock_timestamp())
           ORDER BY d.next_action_at
           LIMIT least(p_limit, 100)
             FOR NO KEY UPDATE SKIP LOCKED) AS due
   WHERE o.tenant_id = due.tenant_id AND o.id = due.id
  RETURNING o.tenant_id, o.id, o.fence
$$;
COMMENT ON FUNCTION claim_operations(INT, INTERVAL) IS 'Leases due operations of any tenant to one worker; returns keys only.';

CREATE FUNCTION find_client_secret(p_secret_hash BYTEA) RETURNS TABLE (tenant_id INT, payment_id UUID)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT p.tenant_id, p.id FROM public.payment AS p WHERE p.client_secret_hash = p_secret_hash $$;
COMMENT ON FUNCTION find_client_secret(BYTEA) IS 'The one payment a client secret opens, by its SHA-256.';
REVOKE ALL ON FUNCTION claim_operations(INT, INTERVAL), find_client_secret(BYTEA) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_operations(INT, INTERVAL), find_client_secret(BYTEA) TO cf_app;
