"""The GraphQL documents of the demo."""

from typing import Final

_PAYMENT: Final = """
fragment Story on Payment {
  id status
  lastDecline { kind code }
  nextAction { kind url }
  attempts {
    number status
    provider { name }
    operations {
      kind status nextResolutionAt
      amount { formatted }
      fee { formatted }
      evidence { source says }
    }
  }
}
"""

PAY: Final = (
    """
mutation Pay($input: PaymentCreateInput!) {
  paymentCreate(input: $input) {
    __typename
    ... on PaymentPayload { replayed payment { ...Story } }
    ... on Error { code message }
  }
}
"""
    + _PAYMENT
)

CAPTURE: Final = (
    """
mutation Capture($input: PaymentCaptureInput!) {
  paymentCapture(input: $input) {
    __typename
    ... on PaymentPayload { payment { ...Story } }
    ... on Error { code message }
  }
}
"""
    + _PAYMENT
)

PAYMENT: Final = "query Payment($id: ID!) { payment(id: $id) { ...Story } }" + _PAYMENT

REFUND: Final = """
mutation Refund($input: RefundCreateInput!) {
  refundCreate(input: $input) {
    __typename
    ... on RefundPayload {
      refund { id status }
      payment { amountRefundable { formatted } }
    }
    ... on Error { code message }
  }
}
"""

INBOX: Final = """
query Inbox { inboundWebhooks(first: 50) { nodes { kind providerEventId status tries } } }
"""

ENTRIES: Final = """
query Entries($id: ID!) {
  payment(id: $id) {
    transactions(first: 20) {
      nodes {
        kind
        entries { direction layer amount { formatted } account { path } }
      }
    }
  }
}
"""

BALANCES: Final = """
query Balances {
  accounts(first: 20) {
    nodes {
      path
      balance { posted { formatted } pending { formatted } available { formatted } }
    }
  }
}
"""

STATEMENT: Final = """
query Statement($from: DateTime!, $to: DateTime!) {
  account(path: "income:sales") {
    statement(period: { from: $from, to: $to }, first: 20) {
      opening { formatted }
      closing { formatted }
      lines {
        nodes {
          postedAt direction
          amount { formatted }
          runningBalance { formatted }
          transaction { kind }
        }
      }
    }
  }
}
"""

TRIAL_BALANCE: Final = """
query TrialBalance {
  trialBalance {
    currency layer
    debits { amountMinor formatted }
    credits { amountMinor formatted }
  }
}
"""
