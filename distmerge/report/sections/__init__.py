"""Takes one study's results; gives the sections of its report, most important first."""

from collections.abc import Callable

from distmerge.report.content import Omitted, Section
from distmerge.report.sections.accuracy import per_task, ranking
from distmerge.report.sections.calibration import calibration
from distmerge.report.sections.coefficients import coefficients
from distmerge.report.sections.cost import cost
from distmerge.report.sections.failures import failures
from distmerge.report.sections.provenance import provenance
from distmerge.report.sections.representation import representation
from distmerge.report.sections.robustness import corrupted, unseen
from distmerge.report.sections.routing import routing
from distmerge.report.sections.settings import settings
from distmerge.report.sections.training import training
from distmerge.report.source import StudyResults

SECTIONS: tuple[Callable[[StudyResults], Section | Omitted], ...] = (
    ranking,
    per_task,
    corrupted,
    unseen,
    cost,
    settings,
    coefficients,
    training,
    representation,
    routing,
    calibration,
    failures,
    provenance,
)
"""What a report may hold, most important first."""

__all__ = ["SECTIONS"]
