"""Whether Weights & Biases is used online, offline or not at all: decided in a second, unasked."""

import base64
import json
import os
import threading
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lightning_grok.errors import first_line
from lightning_grok.extras import named_extra

Mode = Literal["online", "offline", "disabled"]
_NOT_ONLINE: dict[str, Mode] = {"disabled": "disabled", "offline": "offline", "dryrun": "offline"}
REACH_SECONDS = 0.8  # for an answer; training waits a second at most in all


@named_extra()
def decide_mode(mode: str) -> tuple[Mode, str]:
    """Online, offline or disabled, and why; takes a second at most and never asks anything.

    Server, key and mode are those of W&B itself: of the environment, ``wandb login`` and
    ``wandb offline``. Where W&B refuses some of these it is offline, and this process goes on
    without them: W&B would not even start.

    Raises:
        MissingExtra: it is asked for and isn't installed.
    """
    asked = os.environ.get("WANDB_MODE", "") if mode == "auto" else mode
    if asked == "disabled":
        return "disabled", "as asked"
    if mode == "auto" and find_spec("wandb") is None:
        return "disabled", "not installed"
    refused = _drop_refused()
    if refused:
        return "offline", refused
    if asked in _NOT_ONLINE:
        return _NOT_ONLINE[asked], "as asked"
    settings = _settings()
    if mode == "auto" and settings.mode in _NOT_ONLINE:
        return _NOT_ONLINE[settings.mode], "as asked"
    base = settings.base_url.rstrip("/")
    key = settings.api_key or _stored_key(base)
    if not key:
        return "offline", "no API key is known"
    problem = _problem_with_server(base, key)
    return ("offline", problem) if problem else ("online", "the server answers")


def _drop_refused() -> str:
    """Take what W&B refuses of its variables out of this process's: which, and why."""
    import wandb

    reasons = []
    for key in [key for key in os.environ if key.startswith("WANDB_")]:
        try:
            wandb.Settings(silent=True).update_from_env_vars({key: os.environ[key]})
        except Exception as error:  # of W&B or of the library by which it checks
            del os.environ[key]
            reasons.append(f"W&B refuses {key}: {_reason(error)}")
    return "; ".join(reasons)


def _reason(error: Exception) -> str:
    """Why a value is refused, without the value, which may be a key."""
    listed = getattr(error, "errors", None)  # of pydantic
    return str(listed()[0]["msg"]) if callable(listed) else first_line(error)


def _settings() -> Any:
    """W&B's settings of this machine, as `wandb.setup` reads them; that would start a process."""
    import wandb

    settings = wandb.Settings(silent=True)
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    settings.settings_system = str(folder / "settings")
    settings.update_from_system_settings()
    settings.update_from_env_vars(dict(os.environ))
    return settings


def provide_cache(folder: Path) -> None:
    """Have W&B's cache in `folder` where its own place can't be written, as without a home."""
    own = os.environ.get("WANDB_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "wandb"
    )
    try:
        os.makedirs(own, exist_ok=True)
        usable = os.access(own, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        os.environ["WANDB_CACHE_DIR"] = str(folder.resolve())


def _stored_key(base: str) -> str | None:
    """The key that ``wandb login`` has written for a server, by W&B's own rules."""
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib.wbauth.wbnetrc import read_netrc_auth

    try:
        return read_netrc_auth(host=base)
    except AuthenticationError:
        return None


def _problem_with_server(base: str, key: str) -> str:
    """Why the server can't be used; empty where it answers a question about the key's owner."""
    token = base64.b64encode(f"api:{key}".encode()).decode()
    request = urllib.request.Request(
        f"{base}/graphql",
        data=json.dumps({"query": "query Viewer { viewer { id } }"}).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    answer: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(request, timeout=REACH_SECONDS) as response:
                known = json.load(response)["data"]["viewer"]
            answer.append("" if known else f"{base} does not know the API key")
        except urllib.error.HTTPError as error:
            answer.append(f"{base} answers {error.code}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer.append(f"{base} can't be used ({getattr(error, 'reason', error)})")

    # A thread, because the time-out of a socket does not cover the look-up of a name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return answer[0] if answer else f"{base} does not answer within a second"
