-- Four eyes: what an administrator says became of an operation counts as evidence once another one
-- says the same. Until then it stands here.

CREATE TABLE operator_opinion (
  tenant_id INT NOT NULL,
  id UUID NOT NULL,
  operation_id UUID NOT NULL,
  holder TEXT NOT NULL,
  actor TEXT NOT NULL,
  outcome TEXT NOT NULL CONSTRAINT operator_opinion_outcome_known CHECK (outcome IN ('SUCCEEDED', 'DECLINED', 'NOT_EXECUTED')),
  provider_ref TEXT,
  note TEXT NOT NULL,
  evidence_count INT NOT NULL,
  correlation_id TEXT NOT NULL,
  given_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT operator_opinion_operation FOREIGN KEY (tenant_id, operation_id) REFERENCES provider_operation (tenant_id, id)
);
COMMENT ON TABLE operator_opinion IS 'What an administrator says became of an operation. Two of different holders that agree become evidence.';
COMMENT ON COLUMN operator_opinion.tenant_id IS 'Owning tenant.';
COMMENT ON COLUMN operator_opinion.id IS 'Sortable by time.';
COMMENT ON COLUMN operator_opinion.operation_id IS 'The operation it is about.';
COMMENT ON COLUMN operator_opinion.holder IS 'Who says so, as one pair of eyes: keys that replaced each other are one holder.';
COMMENT ON COLUMN operator_opinion.actor IS 'Who says so, as in the audit log.';
COMMENT ON COLUMN operator_opinion.outcome IS 'What became of the operation.';
COMMENT ON COLUMN operator_opinion.provider_ref IS 'The provider''s object, where one was found.';
COMMENT ON COLUMN operator_opinion.note IS 'What it rests on, for people.';
COMMENT ON COLUMN operator_opinion.evidence_count IS 'Facts known when it was given; it no longer counts once there are more.';
COMMENT ON COLUMN operator_opinion.correlation_id IS 'Request it came by.';
COMMENT ON COLUMN operator_opinion.given_at IS 'When; it counts for a day.';
CREATE INDEX operator_opinion_by_operation ON operator_opinion (tenant_id, operation_id, id);
CREATE TRIGGER operator_opinion_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_opinion
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CALL protect('operator_opinion', 'SELECT, INSERT');
