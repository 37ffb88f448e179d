"""Weights & Biases through Lightning's WandbLogger: never a prompt, never a hang."""

import atexit
import base64
import json
import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only, rank_zero_warn

from lightning_grok.errors import InputError
from lightning_grok.runs import Run

Mode = Literal["online", "offline", "disabled"]
REACH_SECONDS = 1.0
FINISH_SECONDS = 10.0


@dataclass
class WandbOptions:
    """Logging to Weights & Biases.

    Args:
        mode: ``auto`` is online where a key is known and the server answers within a second, else
            offline; WANDB_MODE decides before either. ``disabled`` leaves W&B out.
        project: the project of the run.
        entity: user or team; None takes the account's default.
        alerts: whether memorization and generalization send an alert.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "lightning_grok"
    entity: str | None = None
    alerts: bool = False


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
    return answer[0] if answer else f"{base} does not answer within {REACH_SECONDS:g} s"


class GrokWandbLogger(WandbLogger):
    """Lightning's logger, with every own key on the axis ``epoch`` and errors kept from training.

    Args:
        options: the group ``wandb``.
        mode: from `decide_mode`.
        directory: of the run; W&B's files go below it.
        config: the resolved configuration, logged once.
        run_id: of a run that is resumed; None makes one.
    """

    def __init__(
        self,
        options: WandbOptions,
        mode: Mode,
        directory: Path,
        config: dict[str, Any],
        run_id: str | None,
    ) -> None:
        import wandb

        super().__init__(
            name=directory.name,
            save_dir=directory,
            # An agent has chosen the run's id; nothing may contradict it.
            version=None if "WANDB_RUN_ID" in os.environ else run_id,
            project=os.environ.get("WANDB_PROJECT", options.project),
            entity=options.entity,
            mode=mode,
            config=config,
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=10,
                x_disable_meta=False,
                x_transaction_log_flush_interval=1.0,  # else 15 s: the log is read while it grows
            ),
        )
        self._wandb_init.pop("anonymous", None)  # of no effect, and W&B warns of it
        self.mode = mode
        self.alerts = options.alerts
        self._directory = directory
        self._known: set[str] = set()
        self._broken = False
        self._run: Run | None = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log, or warn once and leave W&B alone from then on."""
        self._try(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_event(
        self,
        event: str,
        epoch: int,
        step: int,
        scalars: Mapping[str, float | str],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Log an event's numbers on the axis ``epoch``, and its pictures."""
        numbers = {key: value for key, value in scalars.items() if not isinstance(value, str)}
        self._try(self._define, numbers)
        self._try(super().log_metrics, {**numbers, "epoch": epoch}, step)
        if event in ("memorization", "generalization"):
            self._try(self._announce, event, epoch)

    def _define(self, numbers: Mapping[str, float]) -> None:
        for key in numbers.keys() - self._known:
            # Exact names: a second glob would compete with Lightning's "*".
            self.experiment.define_metric(key, step_metric="epoch")
            self._known.add(key)

    def _announce(self, event: str, epoch: int) -> None:
        self.experiment.summary[event] = epoch
        if self.alerts:
            self.experiment.alert(title=event, text=f"{self._directory.name}: epoch {epoch}")

    @rank_zero_only
    def log_views(self, measurement: str, epoch: int) -> None:
        """Show a measurement: pictures with the epoch in their captions, curves as charts."""
        draw = _VIEWS.get(measurement)
        if draw is not None:
            self._try(self._show, draw, epoch)

    def _show(self, draw: Callable[[Run, int], dict[str, Any]], epoch: int) -> None:
        run = self._run = self._run or Run(self._directory)
        run.refresh()
        try:
            views = draw(run, epoch)
        except InputError:  # an option has switched off what the picture shows
            return
        if views:
            self._define(dict.fromkeys(views, 0.0))
            self.experiment.log({**views, "epoch": epoch})

    def close(self, summary: Mapping[str, float], *, failed: bool) -> str:
        """Finish the run, waiting a limited time.

        Returns:
            Where to find it: its URL, or the command that sends it.
        """
        if self._experiment is None:
            return ""
        experiment = self.experiment
        self._try(experiment.summary.update, dict(summary))
        place = str(experiment.url or "") if self.mode == "online" else ""
        thread = threading.Thread(
            target=self._try, args=(experiment.finish, 1 if failed else 0), daemon=True
        )
        thread.start()
        thread.join(FINISH_SECONDS)
        if thread.is_alive():
            # W&B's own exit handler would go on waiting.
            atexit.register(os._exit, 1 if failed else 0)
            rank_zero_warn(f"W&B did not finish within {FINISH_SECONDS:g} s; its files are kept")
            place = ""
        return place or "\n".join(self.sync_commands)

    @property
    def sync_commands(self) -> list[str]:
        """What sends the run's offline parts, oldest first."""
        folders = sorted((self._directory / "wandb").glob("offline-run-*"))
        return [f"wandb sync {folder}" for folder in folders]

    def _try(self, function: Any, *arguments: Any) -> None:
        if self._broken:
            return
        try:
            function(*arguments)
        except Exception as error:  # whatever happens there is no reason to stop training
            self._broken = True
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            rank_zero_warn(f"W&B failed and is left alone from here on: {reason}")


def _kernel_views(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import kernel_distance_figure

    if epoch == 0:  # there are no pairs yet
        return {}
    return {"kernel_distance/heatmap": _picture(kernel_distance_figure(run), epoch)}


def _umap_views(run: Run, epoch: int) -> dict[str, Any]:
    from lightning_grok.figures import umap_figure

    return {"umap/snapshot": _picture(umap_figure(run, epoch), epoch)}


def _picture(figure: Any, epoch: int) -> Any:
    import wandb

    return wandb.Image(figure, caption=f"epoch {epoch}")


def _geometry_views(run: Run, epoch: int) -> dict[str, Any]:
    """Capacity, radius and dimension over epochs, one line a layer, as charts."""
    import wandb

    charts = {}
    for quantity in ("capacity", "radius", "dimension"):
        curves = {layer: run.series(key) for layer, key in _layer_keys(run, quantity).items()}
        if curves:
            charts[f"manifold_capacity/{quantity}"] = wandb.plot.line_series(
                xs=[epochs.tolist() for epochs, _ in curves.values()],
                ys=[values.tolist() for _, values in curves.values()],
                keys=list(curves),
                title=f"manifold {quantity} of each layer",
                xname="epoch",
            )
    return charts


def _layer_keys(run: Run, quantity: str) -> dict[str, str]:
    prefix, suffix = "manifold_capacity/", f"/{quantity}"
    return {
        key.removeprefix(prefix).removesuffix(suffix): key
        for key in run.keys
        if key.startswith(prefix) and key.endswith(suffix)
    }


_VIEWS: dict[str, Callable[[Run, int], dict[str, Any]]] = {
    "kernel_distance": _kernel_views,
    "manifold_capacity": _geometry_views,
    "umap": _umap_views,
}


def open_wandb(
    options: WandbOptions, directory: Path, config: dict[str, Any], run_id: str | None
) -> GrokWandbLogger | None:
    """A started W&B logger, or None where it is disabled or can't be started.

    Args:
        options: the group ``wandb``.
        directory: of the run.
        config: the resolved configuration.
        run_id: of the W&B run that is resumed; None makes one.
    """
    mode, reason = decide_mode(options.mode)
    if mode == "disabled":
        return None
    attempts: tuple[Mode, ...] = ("offline",) if mode == "offline" else (mode, "offline")
    for attempt in attempts:
        logger = GrokWandbLogger(options, attempt, directory, config, run_id)
        try:
            _ = logger.experiment
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        print(f"W&B: {attempt} ({reason})")
        return logger
    print(f"W&B: left out ({reason})")
    return None
