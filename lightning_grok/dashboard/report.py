"""The page of some runs as one HTML file that needs neither a server nor a network."""

import html
import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_grok.dashboard.epoch_axis import shown_epochs
from lightning_grok.dashboard.pages import Pages, UnknownError, encode
from lightning_grok.dashboard.run_folder import RunFolder
from lightning_grok.dashboard.server import SCRIPTS, STATIC, assemble_page
from lightning_grok.errors import InputError
from lightning_grok.extras import named_extra
from lightning_grok.figures import write_run_figures
from lightning_grok.runs.files import write_content
from lightning_grok.runs.run import read_run

Appendix = Callable[[Sequence[Path], Sequence[Path]], str]
"""HTML below the views, from directories of runs and the figures, as paths beside the report."""


def write_report(
    runs: Sequence[Path],
    directory: Path,
    appendix: Appendix = lambda runs, figures: "",
    wrote: Callable[[Path], object] = lambda path: None,
) -> list[Path]:
    """Write ``report.html`` and the figures of the runs (PNG and PDF) into a directory.

    The figures (`write_run_figures`) stand in ``figures/<run>/``, a run named by its path below the
    runs' common folder, or in ``figures/`` where the report stands in the run's own directory.
    `wrote` is called with every figure that is there.

    Returns:
        The files written, the report first.

    Raises:
        InputError: one of the runs is none, or the directory can't be written.
    """
    paths = list(dict.fromkeys(read_run(run).path.resolve() for run in runs))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        figures = _figures(paths, directory.resolve(), wrote)
        shown = [path.relative_to(directory.resolve()) for path in figures]
        page = report_page(paths, shown, appendix(paths, shown))
        report = directory.resolve() / "report.html"
        write_content(report, page)
    except OSError as error:
        raise InputError(
            f"expected a folder to write a report into, received {directory}: {error.strerror}"
        ) from None
    return [report, *figures]


@named_extra()
def report_page(paths: Sequence[Path], figures: Sequence[Path], appendix: str = "") -> str:
    """The HTML file over the runs in `paths`, with links to the files `figures` beside it.

    Under the views stands `appendix`, as HTML.
    """
    from plotly.offline import get_plotlyjs

    style = (STATIC / "page.css").read_text(encoding="utf-8")
    scripts = [(STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS]
    made = f"Report of {datetime.now().astimezone():%Y-%m-%d %H:%M}."
    parts = [
        f'<script type="application/json" id="report-data" data-made="{made}">'
        f"{_embedded(_data(paths))}</script>",
        f'<template id="report-appendix">{appendix}</template>',
        f'<template id="report-files">{_links(figures)}</template>',
        *(f"<script>{each}</script>" for each in (get_plotlyjs(), *scripts)),
    ]
    return assemble_page(f"<style>{style}</style>", "\n".join(parts))


def _figures(paths: Sequence[Path], directory: Path, wrote: Callable[[Path], object]) -> list[Path]:
    files = []
    base = Path(os.path.commonpath(paths))
    for path in paths:
        # Runs of one name in different folders stay apart.
        below = path.relative_to(base) if path != base else Path(path.name)
        own = path == directory
        files += write_run_figures(path, None if own else directory / "figures" / below, wrote)
    return files


def _data(paths: Sequence[Path]) -> dict[str, Any]:
    """Answers to all that the page can ask for."""
    root = Path(os.path.commonpath(paths))
    folder = RunFolder(root, paths)
    folder.refresh()
    pages = Pages(folder)
    answers = {
        f"compare/{by}": pages.page({"page": "compare", "by": by}) for by in ("setup", "run")
    }
    frames: dict[str, dict[int, Any]] = {}
    charts: dict[str, dict[str, Any]] = {}  # of keys that no view shows
    for key in folder.ids:
        answers[f"run/{key}"] = pages.page({"page": "run", "run": key})
        first = answers[f"classes/{key}/"] = pages.page({"page": "classes", "run": key})
        for layer in first["layers"]:
            request = {"page": "classes", "run": key, "layer": layer}
            answers[f"classes/{key}/{layer}"] = pages.page(request)
        answers[f"config/{key}"] = pages.page({"page": "config", "run": key})
        more = encode(answers[f"run/{key}"]["more"]).decode()
        request = {"page": "run", "run": key, "charts": more}
        views = pages.page(request)["views"]
        charts[key] = {v["sources"][0][2]: v for v in views if v["id"].startswith("key-")}
        frames[key] = _frames(pages, key, answers[f"run/{key}"])
    found = {"runs": pages.runs(), "table": pages.table(), "pages": answers}
    return found | {"charts": charts, "frames": frames}


def _frames(pages: Pages, key: str, answer: dict[str, Any]) -> dict[int, Any]:
    """UMAP frames of at most 24 epochs a decade; the others are taken off the page."""
    frames: dict[int, Any] = {}
    for view in answer["views"]:
        if view["frames"]:
            kept = [int(epoch) for epoch in shown_epochs(sorted(view["frames"]))]
            view["frames"] = {epoch: view["frames"][epoch] for epoch in kept}
            for epoch in kept:
                try:
                    frames[epoch] = pages.frame(key, epoch)
                except UnknownError:  # removed meanwhile
                    del view["frames"][epoch]
    return frames


def _embedded(data: Any) -> str:
    """JSON that no text in it can end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _links(figures: Sequence[Path]) -> str:
    items = []
    for folder in dict.fromkeys(figure.parent for figure in figures):
        of = [figure for figure in figures if figure.parent == folder]
        links = " ".join(
            f'<a href="{html.escape(each.as_posix())}">{html.escape(each.name)}</a>' for each in of
        )
        name = f" of {folder.name}" if folder.name != "figures" else ""
        items.append(f"<p>Figures{html.escape(name)}: {links}</p>")
    return "".join(items)
