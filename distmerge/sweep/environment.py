"""Ray's environment; set before ray is imported, since it reads these at import."""

import os

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # the board shows the runs
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # rows hold our state; Tune's grows with every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # runs in progress save their state first
}
# A cluster of our own listens on loopback only, asks for a token, and hides GPUs from CPU work.
_LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


def set_ray_environment() -> None:
    """Set what is not set already; a cluster named by ``RAY_ADDRESS`` keeps its own rules."""
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.pop("RAY_ADDRESS", None)  # Ray takes an empty address for a wrong one
    chosen = _ALWAYS if "RAY_ADDRESS" in os.environ else {**_ALWAYS, **_LOCAL}
    for name, value in chosen.items():
        os.environ.setdefault(name, value)
