"""Takes task vectors and the facts about individual models; gives merged models, one per paper."""

from distmerge.methods.adamerging import METHOD as ADAMERGING
from distmerge.methods.adamerging_pp import METHOD as ADAMERGING_PP
from distmerge.methods.adaptation import Checked
from distmerge.methods.bd_merging import METHOD as BD_MERGING
from distmerge.methods.declaration import Method
from distmerge.methods.surgery import METHOD as SURGERY
from distmerge.methods.task_arithmetic import METHOD as TASK_ARITHMETIC
from distmerge.methods.ties import METHOD as TIES
from distmerge.methods.tinting import METHOD as TINTING
from distmerge.methods.weight_averaging import METHOD as WEIGHT_AVERAGING
from distmerge.spec import Hyper

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        WEIGHT_AVERAGING,
        TASK_ARITHMETIC,
        TIES,
        ADAMERGING,
        ADAMERGING_PP,
        SURGERY,
        TINTING,
        BD_MERGING,
    )
}
HYPERS: dict[str, type[Hyper]] = {name: method.hyper for name, method in METHODS.items()}

__all__ = ["HYPERS", "METHODS", "Checked", "Method"]
