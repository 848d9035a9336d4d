"""For HTTP clients of the tests, which never leave this machine."""

import ssl
from typing import Final

TRUSTS_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loading the usual authorities, as every client does unless told, takes longer than a test."""
