"""The launch files of cluster/, as a user would have changed them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
RAY_UP = ("aws", "gcp", "onprem")
KUBERAY = ("kuberay", "kuberay-job")


def changed(name: str, *edits: tuple[str, str]) -> str:
    """Give a shipped file with every CHANGE filled in, then with each edit made once."""
    text = (CLUSTER / f"{name}.yaml").read_text().replace("CHANGE-key", "~/key")
    text = text.replace("CHANGE-models", "~/models")
    text = re.sub(r"CHANGE(-[a-z0-9-]+)?", "mine", text)
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text
