"""Inputs as clients send them, coerced by the schema's own types and handed to the parsers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from payments.errors import FieldProblem, ValidationFailed
from schema import commands
from schema.enums import AccountKind, Direction, OperatorOutcome
from schema.inputs import (
    AccountCreateInput,
    MetadataInput,
    MoneyInput,
    OperationResolveInput,
    PaymentCancelInput,
    PaymentCaptureInput,
    PaymentConfirmInput,
    PaymentCreateInput,
    RefundCreateInput,
    TransferCreateInput,
    TransferLegInput,
)

Input = TypeVar("Input")

PAYMENT_ID = "pay_01jabcdefghjkmnpqrstvwxyz0"
OPERATION_ID = "op_01jabcdefghjkmnpqrstvwxyz0"
ACCOUNT_ID = "acc_01jabcdefghjkmnpqrstvwxyz0"
KEY = "0d2f0e6e-7d0f-4a52-9f5e-000000000001"


def made(of: type[Input], **fields: object) -> Input:
    """An input as the library makes it: the scalars' types are only names for str and int."""
    return of(**fields)


def money(amount: object, currency: str = "USD") -> MoneyInput:
    """An int is minor units, a string a decimal."""
    if isinstance(amount, int):
        return made(MoneyInput, amount_minor=amount, currency=currency)
    return made(MoneyInput, decimal=amount, currency=currency)


def metadata(*pairs: tuple[str, str]) -> list[MetadataInput]:
    return [MetadataInput(key=key, value=value) for key, value in pairs]


def a_leg(direction: Direction, amount: object = 100) -> TransferLegInput:
    return made(
        TransferLegInput,
        account_id=ACCOUNT_ID,
        direction=direction,
        amount=amount if isinstance(amount, MoneyInput) else money(amount),
    )


@dataclass(frozen=True)
class Mutation:
    """A parser, and how to make its smallest good input."""

    parse: Callable[[Any], Any]
    make: Callable[..., Any]
    required: Mapping[str, object]
    takes_amount: bool = True
    takes_metadata: bool = False

    def command(self, **fields: object) -> Any:
        """The command of the smallest good input, with these fields changed."""
        return self.parse(self.make(**{**self.required, **fields}))

    def problems(self, **fields: object) -> tuple[FieldProblem, ...]:
        """What is wrong with the input; the parser refuses."""
        try:
            command = self.command(**fields)
        except ValidationFailed as failed:
            return failed.fields
        raise AssertionError(f"accepted as {command}")


def _create(input: PaymentCreateInput) -> Any:
    paths = {path: f"path:{id}" for path, id in commands.account_ids_of(input).items()}
    return commands.create_payment(input, paths)


def _confirm(input: PaymentConfirmInput) -> Any:
    id, _ = commands.named_payment(input)
    return commands.confirm_payment(input, id or UUID(int=1))


MUTATIONS = {
    "paymentCreate": Mutation(
        _create,
        PaymentCreateInput,
        {"idempotency_key": KEY, "amount": money(4990)},
        takes_metadata=True,
    ),
    "paymentConfirm": Mutation(
        _confirm,
        PaymentConfirmInput,
        {"idempotency_key": KEY, "payment_id": PAYMENT_ID},
        takes_amount=False,
    ),
    "paymentCapture": Mutation(
        commands.capture_payment,
        PaymentCaptureInput,
        {"idempotency_key": KEY, "payment_id": PAYMENT_ID},
    ),
    "paymentCancel": Mutation(
        commands.cancel_payment,
        PaymentCancelInput,
        {"idempotency_key": KEY, "payment_id": PAYMENT_ID},
        takes_amount=False,
    ),
    "operationResolve": Mutation(
        commands.resolve_operation,
        OperationResolveInput,
        {
            "idempotency_key": KEY,
            "operation_id": OPERATION_ID,
            "outcome": OperatorOutcome.SUCCEEDED,
            "evidence_note": "seen in the dashboard",
        },
        takes_amount=False,
    ),
    "accountCreate": Mutation(
        commands.create_account,
        AccountCreateInput,
        {
            "idempotency_key": KEY,
            "path": "customer:42:wallet",
            "kind": AccountKind.LIABILITY,
            "currency": "EUR",
        },
        takes_amount=False,
    ),
    "transferCreate": Mutation(
        commands.create_transfer,
        TransferCreateInput,
        {
            "idempotency_key": KEY,
            "kind": "store_credit_grant",
            "legs": [a_leg(Direction.DEBIT), a_leg(Direction.CREDIT)],
        },
        takes_amount=False,
        takes_metadata=True,
    ),
    "refundCreate": Mutation(
        commands.create_refund,
        RefundCreateInput,
        {"idempotency_key": KEY, "payment_id": PAYMENT_ID},
        takes_metadata=True,
    ),
}
