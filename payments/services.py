"""What the use cases work with, handed to them; nothing is looked up."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.crypto import Vault
from core.database import Database
from gateways.dispatcher import Dispatcher
from payments.risk import RiskCheck

LEASE_MARGIN_SECONDS = 2.0
"""How much longer a lease must last than all provider calls under it."""


@dataclass(frozen=True, slots=True)
class PaymentServices:
    """One per process.

    `public_url` is where shoppers and providers reach us, without a slash at the end.
    `lease_seconds` is how long a claimed operation belongs to one sender; it exceeds
    `dispatcher.budget_seconds`, so that a lease never ends while its sender may still send.
    """

    database: Database
    dispatcher: Dispatcher
    vault: Vault
    public_url: str
    clock: Clock
    random: random.Random
    risk_checks: Sequence[RiskCheck] = ()
    lease_seconds: float = 35.0

    def __post_init__(self) -> None:
        assert self.lease_seconds >= self.dispatcher.budget_seconds + LEASE_MARGIN_SECONDS
