"""A verdict in words: one row a claim, the same in the terminal and in the report."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One claim, or the forecast; all of it text.

    Attributes:
        claim: its name; parts of a claim (C3b) follow it.
        verdict: held, failed or undecided; of the forecast the lead in decades or ``not at all``.
        estimate: with its interval over seeds, ``-`` without one.
        seeds: how many.
        figure: panels of the paper's figures, then a figure of ours.
        statement: what is claimed.
        reason: why the verdict is what it is, and what would have to be run.
    """

    claim: str
    verdict: str
    estimate: str
    seeds: str
    figure: str
    statement: str
    reason: str


def verdict_rows(verdicts: Mapping[str, Any], forecast: Mapping[str, Any]) -> list[Row]:
    """The rows of all claims, their parts among them, and of the forecast as the last.

    Args:
        verdicts: of `lightning_grok.paper.claims.verdict.verdict`.
        forecast: of `lightning_grok.paper.claims.forecast.forecast_runs`.
    """
    rows = []
    for name, claim in verdicts.items():
        parts = {key: each for key, each in claim.items() if _is_part(name, key)}
        rows += [_row(label, each) for label, each in ({name: claim} | parts).items()]
    return [*rows, _forecast_row(forecast)]


def _is_part(name: str, key: str) -> bool:
    return key.startswith(name) and key[len(name) :].isalpha()


def _row(name: str, claim: Mapping[str, Any]) -> Row:
    return Row(
        name,
        claim["verdict"],
        _estimate(claim["estimate"], claim["interval"]),
        str(claim["seeds"]),
        claim["figure"],
        f"{claim['statement']}{_of(claim)}.",
        claim["reason"],
    )


def _of(claim: Mapping[str, Any]) -> str:
    """What the estimate is of."""
    if claim["estimate"] is None or not claim["quantity"]:
        return ""
    return f" (estimate: {claim['quantity']}, {claim['setup']})"


def _forecast_row(forecast: Mapping[str, Any]) -> Row:
    lead, reason = forecast["lead"], forecast["reason"]
    told = "not at all" if lead is None else f"{lead:g} decades"
    against = forecast.get("epoch_c_index")
    beside = "" if against is None else f" (C-index; the epoch alone: {against:.2f})"
    return Row(
        "forecast",
        "undecided" if reason.startswith("undecided") else told,
        _estimate(forecast.get("c_index"), forecast.get("interval")),
        str(forecast["seeds"]),
        "",
        "How long before generalization a measurement had told that it was coming.",
        f"{forecast['setup']}: {reason}{beside}",
    )


def _estimate(value: float | None, interval: Sequence[float | None] | None) -> str:
    if value is None:
        return "-"
    ends = "" if interval is None else f" [{_short(interval[0])}, {_short(interval[1])}]"
    return f"{_short(value)}{ends}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
