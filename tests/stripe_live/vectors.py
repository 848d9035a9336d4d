"""The seventeen published signatures of Stripe's own library."""

import json
from typing import Any, Final

from tests.gateways.stripe.builders import HERE

VECTORS: Final[list[dict[str, Any]]] = json.loads((HERE / "vectors.json").read_text("utf-8"))[
    "vectors"
]
SECRET: Final = "whsec_SampleSecretForVectors0123456789abcd"
OLD_SECRET: Final = "whsec_OldSampleSecret9876543210zyxwvutsrq"
STRICTER_THAN_THE_SDK: Final = "valid_future_timestamp_sdk"
"""Stripe's library sets no bound for times in the future; we do."""
