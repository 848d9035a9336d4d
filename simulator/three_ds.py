"""The bank's page of a payment that requires action: one form, two buttons, no script."""

import html
import sqlite3
from typing import Final

from core.currencies import EXPONENTS

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<h1>{title}</h1>
<p>Test bank of the simulator. No money moves.</p>
<dl>
<dt>Merchant</dt><dd>{merchant}</dd>
<dt>Amount</dt><dd>{amount}</dd>
<dt>Reference</dt><dd>{reference}</dd>
</dl>
{rest}
</html>
"""
_FORM: Final = """<form method="post">
<button name="decision" value="approve">Approve</button>
<button name="decision" value="decline">Decline</button>
</form>"""


def page(payment: sqlite3.Row) -> str:
    """The question, or how it was answered."""
    waiting = payment["status"] == "requires_action"
    back = _link(payment["return_url"]) if payment["return_url"] else "You may close this page."
    status = html.escape(payment["status"])
    return _PAGE.format(
        title="Approve this payment?" if waiting else "This payment is decided",
        merchant=html.escape(payment["account"]),
        amount=_decimal(payment["amount"], payment["currency"]),
        reference=html.escape(payment["reference"]),
        rest=_FORM if waiting else f"<p>Status: {status}. {back}</p>",
    )


def headers(payment: sqlite3.Row) -> dict[str, str]:
    """Nothing is loaded, nobody frames it, and without a way back the form leads here only.

    Browsers hold every redirect behind a form to `form-action`, and a way back may lead on.
    """
    back = " http: https:" if payment["return_url"] else ""
    policy = (
        f"default-src 'none'; form-action 'self'{back}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _link(url: str) -> str:
    return f'<a href="{html.escape(url)}">Back to the shop</a>'


def _decimal(amount: int, currency: str) -> str:
    exponent = EXPONENTS[currency]
    digits = str(amount).rjust(exponent + 1, "0")
    whole, fraction = digits[: len(digits) - exponent], digits[len(digits) - exponent :]
    return f"{whole}.{fraction} {currency}" if exponent else f"{whole} {currency}"
