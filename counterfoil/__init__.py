"""The composition root: settings, processes, wiring. Everything else is given what it needs.

Start it with `python -m counterfoil serve`; `python -m counterfoil --help` lists the rest.
"""
