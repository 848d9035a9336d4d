"""Who may do what: tenants, their API keys, and the audit log.

A neighbour of ledger, gateways and events: it knows none of them.
"""

from tenants.audit import record
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
from tenants.names import TenantNotFound, find_tenant

__all__ = [
    "SCOPES",
    "IssuedKey",
    "KeyNotFound",
    "Principal",
    "TenantNotFound",
    "UnknownScope",
    "authenticate",
    "find_tenant",
    "issue",
    "record",
    "revoke",
    "rotate",
]
