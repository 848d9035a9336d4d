"""The ground everything stands on: money, identifiers, clock, errors, database, telemetry.

Imports nothing of ours; imported by everybody.
"""
