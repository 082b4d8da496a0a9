"""Takes a launch file and a study; gives what is wrong, what it costs, and jobs that run it."""

from distmerge.launch.check import Report, check
from distmerge.launch.jobs import Ended, JobCluster
from distmerge.launch.machines import Price
from distmerge.launch.package import Package, packed
from distmerge.launch.reach import View, absolute_outputs, elsewhere, unseen

__all__ = [
    "Ended",
    "JobCluster",
    "Package",
    "Price",
    "Report",
    "View",
    "absolute_outputs",
    "check",
    "elsewhere",
    "packed",
    "unseen",
]
