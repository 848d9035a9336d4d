"""Who may do what: tenants, their keys, tokens and allowed origins, and the audit log.

A neighbour of ledger, gateways and events: it knows none of them.
"""

from tenants.audit import record
from tenants.customers import (
    CUSTOMER_TOKEN_SECONDS,
    Customer,
    CustomerToken,
    find_customer,
    issue_customer_token,
)
from tenants.keys import (
    SCOPES,
    IssuedKey,
    KeyNotFound,
    Principal,
    PublishableKeyWithScope,
    UnknownScope,
    authenticate,
    issue,
    revoke,
    rotate,
)
from tenants.names import TenantNotFound, find_tenant
from tenants.origins import (
    BadOrigin,
    OriginNotFound,
    allow_origin,
    disallow_origin,
    is_allowed,
    origin_of_url,
    origins_of,
    tenants_allowing,
)

__all__ = [
    "CUSTOMER_TOKEN_SECONDS",
    "SCOPES",
    "BadOrigin",
    "Customer",
    "CustomerToken",
    "IssuedKey",
    "KeyNotFound",
    "OriginNotFound",
    "Principal",
    "PublishableKeyWithScope",
    "TenantNotFound",
    "UnknownScope",
    "allow_origin",
    "authenticate",
    "disallow_origin",
    "find_customer",
    "find_tenant",
    "is_allowed",
    "issue",
    "issue_customer_token",
    "origin_of_url",
    "origins_of",
    "record",
    "revoke",
    "rotate",
    "tenants_allowing",
]
