"""From a parsed request to the domain and back: plain async functions.

    context + domain values in ── resolvers ── values with plain attributes out (views)

Reads are batched by the loaders of a request; lists are paged by key in one place (paging).
"""
