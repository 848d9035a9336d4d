"""Whom our HTTP clients trust."""

import ssl
from functools import cache

import httpx


@cache
def usual_authorities() -> ssl.SSLContext:
    """The certificate authorities of httpx, loaded once per process: that takes 50 ms."""
    return httpx.create_ssl_context(trust_env=False)
