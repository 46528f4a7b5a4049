"""A cluster in network namespaces of this machine, and what can go wrong with it; see `cluster/lab --help`."""

from laboratory.lab import Lab
from laboratory.members import Plan
from laboratory.network import Network, inside

__all__ = ["Lab", "Network", "Plan", "inside"]
