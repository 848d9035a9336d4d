"""Who may do what: tenants, keys, tokens and allowed origins, and the audit log.

A neighbour of ledger, gateways and events: it knows none of them.
"""

from tenants.audit import record
from tenants.customers import (
    CUSTOMER_TOKEN_SECONDS,
    Customer,
    CustomerToken,
    find_customer,
    is_customer_token,
    issue_customer_token,
)
from tenants.holders import holder_of
from tenants.key_sets import BadKeySet, KeySet, VerificationKey, read_key_set
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
from tenants.names import TenantNotFound, find_tenant, is_live
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
from tenants.tokens import Bearer, Issuer, is_jwt, verify_token

__all__ = [
    "CUSTOMER_TOKEN_SECONDS",
    "SCOPES",
    "BadKeySet",
    "BadOrigin",
    "Bearer",
    "Customer",
    "CustomerToken",
    "IssuedKey",
    "Issuer",
    "KeyNotFound",
    "KeySet",
    "OriginNotFound",
    "Principal",
    "PublishableKeyWithScope",
    "TenantNotFound",
    "UnknownScope",
    "VerificationKey",
    "allow_origin",
    "authenticate",
    "disallow_origin",
    "find_customer",
    "find_tenant",
    "holder_of",
    "is_allowed",
    "is_customer_token",
    "is_jwt",
    "is_live",
    "issue",
    "issue_customer_token",
    "origin_of_url",
    "origins_of",
    "read_key_set",
    "record",
    "revoke",
    "rotate",
    "tenants_allowing",
    "verify_token",
]
