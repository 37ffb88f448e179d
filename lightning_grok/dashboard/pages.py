"""What the browser asks for: the list of runs, a table of what they are, and pages, as JSON.

A request names runs by their ids and is answered from the folder alone. `Pages.tag` says cheaply
whether an answer would be another than the last one.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lightning_grok.dashboard.class_views import class_views
from lightning_grok.dashboard.colors import dark_partners, series_style
from lightning_grok.dashboard.comparison import (
    MOST,
    comparison_legend,
    comparison_views,
    ends_of,
    groups_of,
)
from lightning_grok.dashboard.epoch_axis import in_json, shown_epochs
from lightning_grok.dashboard.marks import Marks
from lightning_grok.dashboard.run_facts import facts_of, final_values, settings_of
from lightning_grok.dashboard.run_folder import RunFolder, reason_of
from lightning_grok.dashboard.run_views import key_view, run_views
from lightning_grok.dashboard.traces import numbers
from lightning_grok.dashboard.umap_view import umap_frame
from lightning_grok.dashboard.view import View
from lightning_grok.figures.layout import setup_in_words
from lightning_grok.runs.names import printable
from lightning_grok.runs.panels import headlines, measured_layers, panels_of
from lightning_grok.runs.run import Run

_ARRAYS = ("kernel_distance/pairwise", "kernel_distance/pairwise_estimate")
_STOPS = 48  # a decade, of the slider
_READINGS = 4  # beside the slider
_MOST_RUNS = 500
_MOST_KEYS = 500


class UnknownError(LookupError):
    """A request for what isn't there."""


class Pages:
    """Answers to the requests of the page.

    Args:
        folder: the runs; refresh it before asking.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.marks = Marks(folder.root)

    def runs(self) -> dict[str, Any]:
        """The list of runs, what is noted of them, the newest, and whether all have been read."""
        rows = self.folder.rows()
        by_age = sorted(
            rows,
            key=lambda row: (row.get("state") == "running", str(row.get("created", "")), row["id"]),
        )
        return {
            "folder": printable(self.folder.given),
            "runs": rows,
            "marks": self.marks.all(),
            "colors": [series_style(k) for k in range(MOST)],
            "dark": dark_partners(),
            "newest": by_age[-1]["id"] if by_age else None,
            "complete": all(row["complete"] for row in rows),
        }

    def table(self) -> dict[str, Any]:
        """Settings and final values of every run that has been read."""
        runs = {key: self.folder.run(key) for key in self.folder.ids[:_MOST_RUNS]}
        return {
            key: {"settings": settings_of(run), "final": final_values(run)}
            for key, run in runs.items()
            if run is not None
        }

    def series(self, asked: object) -> list[dict[str, Any]]:
        """Epochs and values of ``[run, key]``, each as it was logged.

        Raises:
            UnknownError: there is no such run, or too much is asked for.
        """
        if not isinstance(asked, list) or len(asked) > _MOST_RUNS:
            raise UnknownError("series")
        found = []
        for pair in asked:
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
                raise UnknownError("series")
            epochs, values = self._run(pair[0]).series(str(pair[1]))
            shown = [value if math.isfinite(value) else None for value in values.tolist()]
            found.append({"epochs": epochs.tolist(), "values": shown})
        return found

    def tag(self, request: Mapping[str, str]) -> str:
        """Changes whenever the answer to a request for a page would."""
        parts: list[Any] = sorted(request.items())
        for key in self._ids(request):
            run = self.folder.run(key)
            if run is not None:
                run.refresh()
                files = [run.path / f"arrays/{each}.npz" for each in _ARRAYS]
                files.append(run.path / "run.json")
                parts.append((key, run.version, run.state, *map(run.signature_of, files)))
        return digest(repr(parts).encode())

    def page(self, request: Mapping[str, str]) -> dict[str, Any]:
        """The page ``page`` (run, classes, config or compare) of the ``run`` or the ``runs``.

        Raises:
            UnknownError: there is no such page, run or layer.
        """
        kind = request.get("page", "run")
        if kind == "compare":
            return self._compare(request)
        if kind not in ("run", "classes", "config"):
            raise UnknownError("page")
        key, run = request.get("run", ""), self._run(request.get("run", ""))
        events, record = self.folder.events(key)
        answer: dict[str, Any] = {
            "page": kind,
            "run": key,
            "heading": heading(run),
            "events": {
                name: None if epoch is None else round(epoch)
                for name, epoch in events._asdict().items()
            },
            "accuracies": bool(run.series("test/accuracy")[0].size),
            "grokked": record["grokked"],
            "outcome": record["outcome"],
            "reason": reason_of(run.meta),
            "place": self.folder.place(key),
        }
        if kind == "config":
            facts = facts_of(run, self.folder.place(key))
            return answer | {
                "facts": facts,
                "epochs": [],
                "views": [],
                "settings": settings_of(run),
            }
        layers = measured_layers(run)[1]
        layer = request.get("layer") or (layers[-1] if layers else None)
        if layer is not None and layer not in layers:
            raise UnknownError("layer")
        views = run_views(run, events) if kind == "run" else class_views(run, events, layer)
        shown = {of for view in views for _, _, of in view.sources}
        chosen_keys = _strings(request.get("charts"))
        added = [key_view(run, events, each) for each in chosen_keys if each in run.keys]
        return answer | {
            "more": [each for each in run.keys if each not in shown][:_MOST_KEYS],
            "clock": {"": _clock([run])},
            "layers": layers if kind == "classes" else [],
            "layer": layer,
            "epochs": _stops([run]),
            "first": run.first,
            "readings": _readings(run),
            "dark": dark_partners(*_layer_counts(run)),
            "views": self._described([*added, *views]),
        }

    def frame(self, key: str, epoch: int) -> dict[str, Any]:
        """The UMAP of one epoch.

        Raises:
            UnknownError: there is none.
        """
        frame = umap_frame(self._run(key), epoch)
        if frame is None:
            raise UnknownError("epoch")
        return frame

    def _compare(self, request: Mapping[str, str]) -> dict[str, Any]:
        by = request.get("by", "setup")
        ids = self._ids(request)
        runs = [(self._run(key), self.folder.events(key)[0]) for key in ids]
        groups = groups_of(runs, by)
        shown = groups[:MOST]
        what = by if by in ("run", "setup") else "value"
        known = {"run": "", "setup": f", {len(groups)} setups"}
        note = f"{len(runs)} runs" + known.get(by, f", {len(groups)} values of {printable(by)}")
        if len(shown) < len(groups):
            note += f"; the first {len(shown)} {what}s are shown. Tick or filter runs for others"
        return {
            "page": "compare",
            "by": by,
            "note": note,
            "legend": comparison_legend(shown),
            "epochs": _stops([run for group in shown for run, _ in group.runs]),
            "first": ends_of([run for group in shown for run, _ in group.runs])[0],
            "clock": {
                f"series {k}": _clock([run for run, _ in group.runs])
                for k, group in enumerate(shown)
            },
            "readings": [],
            "dark": dark_partners(),
            "views": self._described(comparison_views(shown)) if shown else [],
        }

    def _described(self, views: list[View]) -> list[dict[str, Any]]:
        """Views as JSON: each with a digest, its sources by ids of runs."""
        ids = self.folder.ids_by_path()
        found = []
        for view in views:
            sources = [[name, ids.get(path), key] for name, path, key in view.sources]
            described = view._asdict() | {"sources": sources}
            found.append({**described, "digest": digest(encode(described))[:16]})
        return found

    def _ids(self, request: Mapping[str, str]) -> list[str]:
        if request.get("page") != "compare":
            return [request.get("run", "")]
        if "runs" not in request:
            return self.folder.ids[:_MOST_RUNS]
        known = set(self.folder.ids)
        return [key for key in _strings(request["runs"]) if key in known]

    def _run(self, key: str) -> Run:
        run = self.folder.run(key)
        if run is None:
            raise UnknownError("run")
        return run


def heading(run: Run) -> dict[str, Any]:
    """Name, description in words, state and progress of a run."""
    words = [run.dataset, *setup_in_words(run.setup)]
    words += [] if run.seed is None else [f"seed {run.seed}"]
    last = run.meta.get("max_epochs")
    return {
        "name": run.name,
        "words": ", ".join(word for word in words if word),
        "state": run.state,
        "epoch": run.epoch,
        "last": last if type(last) is int and last > 0 else None,
    }


def encode(value: Any) -> bytes:
    """JSON in UTF-8, with no NaN."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def digest(content: bytes) -> str:
    """Changes whenever the content does."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _strings(text: str | None) -> list[str]:
    """The strings in a list of JSON; none where nothing was given.

    Raises:
        UnknownError: it is no list, or a long one.
    """
    asked = json.loads(text or "[]")
    if not isinstance(asked, list) or len(asked) > _MOST_RUNS:
        raise UnknownError("list")
    return [each for each in asked if isinstance(each, str)]


def _clock(runs: list[Run]) -> dict[str, float]:
    """Steps of an epoch, and seconds that training took for one on the average, where known."""
    found = {}
    steps = {run.meta.get("steps_per_epoch") for run in runs}
    if len(steps) == 1 and (count := steps.pop()):
        found["step"] = float(count)
    spent = [run.costs().get("training", 0.0) / run.epoch for run in runs if run.epoch]
    if spent and min(spent) > 0:
        found["second"] = float(np.mean(spent))
    return found


def _stops(runs: list[Run]) -> list[float]:
    """Epochs of the slider: those evaluated, thinned, and all that were measured."""
    stops: set[float] = set()
    for run in runs:
        for event in set(run.event_names) - {"error", "timing"}:
            stops |= set(shown_epochs(run.epochs_of(event), _STOPS))
    return sorted(stops)


def _layer_counts(run: Run) -> set[int]:
    """How many layers share a ramp of colors: the network's, or those of a panel."""
    panels = ({line.layer for line in panel.lines if line.layer} for panel in panels_of(run))
    return {len(run.meta.get("layer_names") or ()), *map(len, panels)}


def _readings(run: Run) -> list[dict[str, Any]]:
    """Series whose values at the slider's epoch are shown beside it."""
    known = [panel for panel in panels_of(run) if panel.known]
    readings = []
    stops = _stops([run])
    for _, line in headlines(known, "reading")[:_READINGS]:
        epochs, values = run.series(line.key)
        kept = np.flatnonzero(np.isin(epochs, stops))
        if len(kept):
            shown = {"epochs": in_json(epochs[kept]), "values": numbers(values[kept])}
            readings.append({"label": line.name, **shown})
    return readings
