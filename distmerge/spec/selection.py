"""How task vectors are thinned out before they are merged."""

from dataclasses import asdict, dataclass
from typing import Literal

from distmerge.errors import ConfigError


@dataclass(frozen=True)
class Selection:
    """Settings of TIES. Source: TIES-Merging, arXiv:2306.01708, algorithm 1."""

    density: float
    """Share of every task's parameters that is kept, in (0, 1]."""
    aggregate: Literal["sum", "mean", "max"] = "sum"
    """Of the parameters that agree with the elected sign: their sum, mean, or largest."""
    trim_rule: Literal["exact", "reference"] = "exact"
    """exact keeps ``floor(n density)``, reference ``int(n density) + 1``, both with ties."""
    text_parameters: int = 0
    """Parameters outside the tower that the reference counts in n, all of them zero."""

    def __post_init__(self) -> None:
        """Check the density, which must not be taken for a percentage.

        Raises:
            ConfigError: it is not in (0, 1].
        """
        if not 0 < self.density <= 1:
            raise ConfigError(f"density: got {self.density}, expected a fraction in (0, 1]")

    def kept(self, num_parameters: int) -> int:
        """Give how many parameters of a task are kept."""
        counted = num_parameters + self.text_parameters
        extra = 1 if self.trim_rule == "reference" else 0
        return min(num_parameters, max(1, int(counted * self.density) + extra))

    def state(self) -> dict[str, float | int | str]:
        """Give the settings as JSON-like content."""
        return asdict(self)
