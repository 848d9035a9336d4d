"""Stripe: PaymentIntents and refunds over its form-encoded API. Facts: docs.stripe.com/api."""

from gateways.stripe.registration import StripeAdapter

__all__ = ["StripeAdapter"]
