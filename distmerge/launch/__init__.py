"""Takes a launch file and a study; gives what is wrong with them and what they cost, offline."""

from distmerge.launch.check import Report, check
from distmerge.launch.machines import Price

__all__ = ["Price", "Report", "check"]
