"""Whether Weights & Biases is used online, offline or not at all: decided in a second, unasked."""

import base64
import json
import netrc
import os
import threading
import urllib.error
import urllib.request
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]
REACH_SECONDS = 0.8  # for an answer; training waits a second at most in all


def decide_mode(mode: str) -> tuple[Mode, str]:
    """Online, offline or disabled, and why; takes a second at most and never asks anything."""
    asked = os.environ.get("WANDB_MODE", "") if mode == "auto" else mode
    if asked in ("disabled", "offline"):
        return asked, "as asked"  # type: ignore[return-value]
    key = _api_key()
    if not key:
        return "offline", "no API key is known"
    problem = _problem_with_server(key)
    return ("offline", problem) if problem else ("online", "the server answers")


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def _api_key() -> str | None:
    """The key in the environment or, where ``wandb login`` puts it, in the netrc file."""
    if "WANDB_API_KEY" in os.environ:
        return os.environ["WANDB_API_KEY"]
    try:
        known = netrc.netrc(os.environ.get("NETRC")).authenticators(
            str(urlsplit(_server()).hostname)
        )
    except (OSError, netrc.NetrcParseError, TypeError):
        return None
    return known[2] if known else None


def _problem_with_server(key: str) -> str:
    """Why the server can't be used; empty where it answers a question about the key's owner."""
    base = _server()
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
