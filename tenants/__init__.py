"""Who may do what: tenants, their API keys, the tokens of an identity provider, and the audit log.

A neighbour of ledger, gateways and events: it knows none of them.
"""

from tenants.audit import record
from tenants.holders import holder_of
from tenants.key_sets import BadKeySet, KeySet, VerificationKey, read_key_set
from tenants.keys import (
    SCOPES,
    IssuedKey,
    KeyNotFound,
    Principal,
    UnknownScope,
    authenticate,
    issue,
    revoke,
    rotate,
)
from tenants.names import TenantNotFound, find_tenant, is_live
from tenants.tokens import Bearer, Issuer, is_token, verify_token

__all__ = [
    "SCOPES",
    "BadKeySet",
    "Bearer",
    "IssuedKey",
    "Issuer",
    "KeyNotFound",
    "KeySet",
    "Principal",
    "TenantNotFound",
    "UnknownScope",
    "VerificationKey",
    "authenticate",
    "find_tenant",
    "holder_of",
    "is_live",
    "is_token",
    "issue",
    "read_key_set",
    "record",
    "revoke",
    "rotate",
    "verify_token",
]
