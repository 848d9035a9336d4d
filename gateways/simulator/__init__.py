"""The adapter of the simulator, the provider that runs beside the product for trying and testing.

Source: docs/simulator.md.
"""

from gateways.simulator.registration import SimulatorAdapter

__all__ = ["SimulatorAdapter"]
