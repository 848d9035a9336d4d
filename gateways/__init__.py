"""Adapters to payment providers, and the machinery that sends for them.

An adapter yields HTTP calls and interprets answers; it performs no I/O. The driver sends, so what
"did money possibly move?" means is decided once, here, and never by an adapter's author.
"""
