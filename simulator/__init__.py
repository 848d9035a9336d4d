"""A payment provider of our own: a separate HTTP process with a durable log of every money effect.

It exists so that any test can ask *what did the provider really charge?* It knows nothing of the
gateway it serves; the two meet only over HTTP.

    request ─▶ api ─▶ pipeline ─▶ books (one writer thread, SQLite) ─▶ answer, or a planned fault
                                    └─▶ events ─▶ deliveries ─▶ signed webhooks
"""
