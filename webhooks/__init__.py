"""What providers tell us: proven, kept once, and turned into evidence.

provider ── POST ──▶ receiver: verify → inbox (unique event id) → 2xx
                                 inbox ──▶ processor: evidence → projection → entries → done
"""
