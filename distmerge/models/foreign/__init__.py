"""Takes checkpoints of other programs; gives towers and heads of ours, and the way back."""

from distmerge.models.foreign.convert import Imported, import_checkpoint
from distmerge.models.foreign.hugging_face import from_hugging_face, to_hugging_face
from distmerge.models.foreign.lora import merge_adapter
from distmerge.models.foreign.published import published_coefficients
from distmerge.models.foreign.text import text_model_files

__all__ = [
    "Imported",
    "from_hugging_face",
    "import_checkpoint",
    "merge_adapter",
    "published_coefficients",
    "text_model_files",
    "to_hugging_face",
]
