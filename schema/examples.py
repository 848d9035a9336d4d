"""An example of each root field: shown with its description in the documentation and in the SDL.

The tests hold each to the schema, and ask those that name nothing that must exist.
"""

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, str]] = {
    "node": '{ node(id: "pay_01k…") { id ... on Payment { status } } }',
    "nodes": '{ nodes(ids: ["pay_01k…", "ref_01k…"]) { id } }',
    "viewer": "{ viewer { tenantId keyId live scopes } }",
    "payment": '{ payment(id: "pay_01k…") { status amountCaptured { decimal currency } } }',
    "paymentByReference": '{ paymentByReference(reference: "order-1001") { id status } }',
    "paymentByClientSecret": """{
  paymentByClientSecret(clientSecret: "pay_01k…_secret_…") {
    status
    nextAction { kind url }
  }
}""",
    "operationByIdempotencyKey": """{
  operationByIdempotencyKey(mutation: "paymentCreate", key: "order-1001-try-1") {
    state
    resource { id }
  }
}""",
    "payments": """{
  payments(first: 20, filter: { status: [CAPTURED] }) {
    nodes { id reference amountCaptured { decimal currency } }
    pageInfo { hasNextPage endCursor }
  }
}""",
    "refund": '{ refund(id: "ref_01k…") { status amount { decimal currency } } }',
    "account": """{
  account(path: "income:sales") { balance { posted { decimal currency } } }
}""",
    "accounts": "{ accounts(first: 50) { nodes { path balance { posted { decimal } } } } }",
    "balances": '{ balances(pathPrefix: "income:") { posted { decimal currency } } }',
    "transaction": """{
  transaction(id: "txn_01k…") {
    kind
    entries { direction amount { decimal } account { path } }
  }
}""",
    "transactions": "{ transactions(first: 20) { nodes { id kind postedAt } } }",
    "providers": "{ providers { name adapter enabled health { level } } }",
    "provider": '{ provider(id: "prv_01k…") { name capabilities webhookUrl } }',
    "discrepancies": """{
  discrepancies(first: 20, filter: { status: [OPEN] }) { nodes { kind note ageHours } }
}""",
    "inboundWebhooks": """{
  inboundWebhooks(first: 20, filter: { status: [FAILED, DEAD] }) {
    nodes { id kind tries error }
  }
}""",
    "holds": "{ holds(first: 20) { nodes { id status expiresAt } } }",
    "trialBalance": "{ trialBalance { currency debits { decimal } credits { decimal } } }",
    "auditLog": "{ auditLog(first: 20) { nodes { at actor action } } }",
    "checkoutOptions": """{
  checkoutOptions(amount: { decimal: "49.90", currency: "EUR" }, country: "DE") {
    method
    adapter
    clientConfiguration
  }
}""",
    "customer": """{
  customer {
    payments(first: 10) { nodes { id status amount { formatted } } }
    wallets { currency balance { formatted } }
    savedMethods(first: 10) { nodes { id brand last4 expMonth expYear } }
  }
}""",
    "savedMethods": """{
  savedMethods(customerId: "customer-7", first: 10) {
    nodes { id brand last4 expMonth expYear }
  }
}""",
    "paymentCreate": """mutation {
  paymentCreate(input: {
    idempotencyKey: "order-1001-try-1"
    amount: { decimal: "49.90", currency: "EUR" }
    method: { token: "tok_success" }
  }) {
    ... on PaymentPayload { replayed payment { id status } }
    ... on Error { code message retryable }
  }
}""",
    "paymentConfirm": """mutation {
  paymentConfirm(input: {
    idempotencyKey: "order-1001-try-2"
    paymentId: "pay_01k…"
    method: { token: "tok_success" }
  }) {
    ... on PaymentPayload { payment { status lastDecline { customerMessage } } }
    ... on Error { code message retryable }
  }
}""",
    "paymentCapture": """mutation {
  paymentCapture(input: {
    idempotencyKey: "order-1001-parcel-1"
    paymentId: "pay_01k…"
    amount: { decimal: "20.00", currency: "EUR" }
    final: false
  }) {
    ... on PaymentPayload { payment { status amountCapturable { decimal } } }
    ... on Error { code message retryable }
  }
}""",
    "paymentCancel": """mutation {
  paymentCancel(input: { idempotencyKey: "order-1001-cancel", paymentId: "pay_01k…" }) {
    ... on PaymentPayload { payment { status } }
    ... on Error { code message retryable }
  }
}""",
    "savedMethodRemove": """mutation {
  savedMethodRemove(input: { idempotencyKey: "forget-card-1", id: "sm_01k…" }) {
    ... on SavedMethodPayload { savedMethod { id removedAt } }
    ... on Error { code message }
  }
}""",
    "paymentSync": """mutation {
  paymentSync(paymentId: "pay_01k…") {
    ... on PaymentPayload { payment { status } }
    ... on Error { code message retryable }
  }
}""",
    "refundCreate": """mutation {
  refundCreate(input: {
    idempotencyKey: "order-1001-refund-1"
    paymentId: "pay_01k…"
    amount: { decimal: "9.90", currency: "EUR" }
    reason: REQUESTED_BY_CUSTOMER
  }) {
    ... on RefundPayload { refund { id status } }
    ... on Error { code message retryable }
  }
}""",
    "customerTokenCreate": """mutation {
  customerTokenCreate(input: { customerId: "customer-7", expiresInSeconds: 900 }) {
    ... on CustomerTokenPayload { token expiresAt }
    ... on Error { code message }
  }
}""",
    "operationResolve": """mutation {
  operationResolve(input: {
    idempotencyKey: "resolve-1001-by-me"
    operationId: "op_01k…"
    outcome: NOT_EXECUTED
    evidenceNote: "Not in the provider's dashboard, nor in its report of 3 March."
  }) {
    ... on OperationPayload { approvalsMissing operation { status } }
    ... on Error { code message }
  }
}""",
    "accountCreate": """mutation {
  accountCreate(input: {
    idempotencyKey: "account-customer-7"
    path: "customer:7:wallet"
    kind: LIABILITY
    currency: "EUR"
  }) {
    ... on AccountPayload { account { id path } }
    ... on Error { code message }
  }
}""",
    "transferCreate": """mutation {
  transferCreate(input: {
    idempotencyKey: "credit-customer-7-birthday"
    kind: "store_credit_grant"
    legs: [
      {
        accountId: "acc_01k…"
        direction: DEBIT
        amount: { decimal: "5.00", currency: "EUR" }
      }
      {
        accountId: "acc_01k…"
        direction: CREDIT
        amount: { decimal: "5.00", currency: "EUR" }
      }
    ]
  }) {
    ... on TransactionPayload { transaction { id kind } }
    ... on Error { code message }
  }
}""",
    "inboundWebhookReplay": """mutation {
  inboundWebhookReplay(ids: ["whk_01k…"]) {
    ... on RequeuePayload { requeued }
    ... on Error { code message }
  }
}""",
    "paymentChanged": """subscription {
  paymentChanged(paymentId: "pay_01k…") { status version }
}""",
    "paymentChangedByClientSecret": """subscription {
  paymentChangedByClientSecret(clientSecret: "pay_01k…_secret_…") { status version }
}""",
}
"""By the name of the field."""


def with_example(field: str, description: str) -> str:
    """A description followed by its example, in Markdown."""
    example = EXAMPLES.get(field)
    return description if example is None else f"{description}\n\n```graphql\n{example}\n```"
