-- The simulator's books. Times are milliseconds since 1970 (UTC); amounts are ISO 4217 minor units.

-- The merchants this process serves.
CREATE TABLE IF NOT EXISTS account (
  name TEXT PRIMARY KEY,
  secret_key TEXT NOT NULL UNIQUE,
  webhook_url TEXT,
  webhook_secret TEXT
) STRICT;

-- Knobs that survive a restart: latency, pending delay, webhook policy, fault script.
CREATE TABLE IF NOT EXISTS setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- One payment: its totals are what the money rules are checked against.
CREATE TABLE IF NOT EXISTS payment (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  reference TEXT NOT NULL,
  idempotency_key TEXT,
  token TEXT NOT NULL,
  capture INTEGER NOT NULL,
  currency TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount > 0),
  amount_requested INTEGER NOT NULL,
  status TEXT NOT NULL,
  authorized INTEGER NOT NULL DEFAULT 0,
  captured INTEGER NOT NULL DEFAULT 0,
  voided INTEGER NOT NULL DEFAULT 0,
  refunded INTEGER NOT NULL DEFAULT 0,
  fee INTEGER NOT NULL DEFAULT 0,
  decline TEXT,
  return_url TEXT,
  action_url TEXT,
  metadata TEXT NOT NULL,
  due_ms INTEGER,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  CONSTRAINT payment_not_over_authorized CHECK (captured + voided <= authorized),
  CONSTRAINT payment_not_over_captured CHECK (refunded BETWEEN 0 AND captured)
) STRICT;
CREATE INDEX IF NOT EXISTS payment_by_reference ON payment (account, reference);
CREATE INDEX IF NOT EXISTS payment_due ON payment (due_ms) WHERE due_ms IS NOT NULL;

-- One capture, void or refund. No reference: the merchant's system did not start it.
CREATE TABLE IF NOT EXISTS movement (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('capture', 'void', 'refund')),
  payment TEXT NOT NULL REFERENCES payment (id),
  reference TEXT,
  amount INTEGER NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL,
  fee INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('succeeded', 'failed')),
  final INTEGER NOT NULL,
  reason TEXT,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS movement_by_reference ON movement (account, reference);
CREATE INDEX IF NOT EXISTS movement_by_payment ON movement (payment);

-- Methods merchants' customers keep: asked for with a payment, kept once it was charged. `token` is
-- what the method behaves like; digits and expiry are those of no real card.
CREATE TABLE IF NOT EXISTS saved_method (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  customer TEXT NOT NULL,
  payment TEXT NOT NULL UNIQUE REFERENCES payment (id),
  token TEXT NOT NULL,
  kept_ms INTEGER,
  detached_ms INTEGER
) STRICT;

-- Every money effect, in the order it became true. Append-only.
CREATE TABLE IF NOT EXISTS effect (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  kind TEXT NOT NULL
    CHECK (kind IN ('charge', 'authorization', 'capture', 'void', 'refund', 'refund_failed')),
  origin TEXT NOT NULL CHECK (origin IN ('api', 'shopper', 'delayed', 'dashboard')),
  reference TEXT,
  idempotency_key TEXT,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  fee INTEGER NOT NULL,
  payment TEXT NOT NULL,
  object TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS effect_by_reference ON effect (reference);

-- Every request, with what became of it. Append-only; no bodies, so no secret can get in.
CREATE TABLE IF NOT EXISTS request (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  account TEXT,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  reference TEXT,
  idempotency_key TEXT,
  correlation_id TEXT,
  body_sha256 TEXT NOT NULL,
  status INTEGER,
  code TEXT,
  replayed INTEGER NOT NULL,
  fault TEXT,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS request_by_reference ON request (reference);

-- The first answer to each idempotency key, frozen.
CREATE TABLE IF NOT EXISTS frozen_answer (
  account TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, idempotency_key)
) STRICT;

-- What merchants are told. `body` holds the exact bytes every delivery carries.
CREATE TABLE IF NOT EXISTS event (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  type TEXT NOT NULL,
  reference TEXT,
  payment TEXT NOT NULL,
  body BLOB NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_by_reference ON event (reference);

-- The queue of webhooks: one row per copy to be delivered. `statuses` is a JSON list, 0 = no answer.
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL REFERENCES event (id),
  account TEXT NOT NULL,
  copy INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('held', 'pending', 'delivered', 'abandoned')),
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  statuses TEXT NOT NULL DEFAULT '[]',
  delivered_ms INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (account, due_ms) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_by_event ON delivery (event);

-- The fault script: rules in order. `seen` and `fired` make a seeded script repeatable.
CREATE TABLE IF NOT EXISTS fault_rule (
  position INTEGER PRIMARY KEY,
  seed INTEGER NOT NULL,
  match TEXT NOT NULL,
  fault TEXT NOT NULL,
  rate REAL NOT NULL,
  times INTEGER,
  delay_ms INTEGER NOT NULL,
  status INTEGER NOT NULL,
  seen INTEGER NOT NULL DEFAULT 0,
  fired INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER IF NOT EXISTS effect_is_append_only_u BEFORE UPDATE ON effect
BEGIN SELECT RAISE(ABORT, 'effect is append-only'); END;
CREATE TRIGGER IF NOT EXISTS effect_is_append_only_d BEFORE DELETE ON effect
BEGIN SELECT RAISE(ABORT, 'effect is append-only'); END;
CREATE TRIGGER IF NOT EXISTS request_is_append_only_u BEFORE UPDATE ON request
BEGIN SELECT RAISE(ABORT, 'request is append-only'); END;
CREATE TRIGGER IF NOT EXISTS request_is_append_only_d BEFORE DELETE ON request
BEGIN SELECT RAISE(ABORT, 'request is append-only'); END;
CREATE TRIGGER IF NOT EXISTS frozen_answer_stays_u BEFORE UPDATE ON frozen_answer
BEGIN SELECT RAISE(ABORT, 'a frozen answer never changes'); END;
CREATE TRIGGER IF NOT EXISTS frozen_answer_stays_d BEFORE DELETE ON frozen_answer
BEGIN SELECT RAISE(ABORT, 'a frozen answer never goes'); END;
