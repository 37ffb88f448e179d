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
        figure: where to look, as the claims file says it.
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


def verdict_rows(
    verdicts: Mapping[str, Any], forecast: Mapping[str, Any] | None = None
) -> list[Row]:
    """The rows of all claims, their parts among them, and of the forecast as the last.

    Args:
        verdicts: of `lightning_grok.claims.verdict.judge`.
        forecast: of `lightning_grok.claims.forecast.forecast_runs`; None for no such row.
    """
    rows = [_row(name, claim) for name, claim in with_parts(verdicts).items()]
    return rows if forecast is None else [*rows, _forecast_row(forecast)]


def variant_lines(verdicts: Mapping[str, Any], variants: Mapping[str, Any]) -> list[str]:
    """What every outcome would be by other definitions: a line each that it differs by.

    Args:
        verdicts: of `lightning_grok.claims.verdict.judge`.
        variants: the same by other definitions, by their names.
    """
    if not variants:
        return []
    own, lines = with_parts(verdicts), ["by other definitions"]
    for name, found in variants.items():
        other = with_parts(found)
        changes = [
            f"{claim} {each['verdict']} (not {own[claim]['verdict']}), "
            f"{_estimate(each['estimate'], each['interval'])}"
            for claim, each in other.items()
            if claim in own and each["verdict"] != own[claim]["verdict"]
        ]
        lines.append(f"  {name}: {'; '.join(changes) or 'no other outcome'}")
    return lines


def with_parts(verdicts: Mapping[str, Any]) -> dict[str, Any]:
    """Every claim, each followed by its parts, by name."""
    found: dict[str, Any] = {}
    for name, claim in verdicts.items():
        found[name] = claim
        parts = {key: each for key, each in claim.items() if isinstance(each, dict)}
        found |= {k: each for k, each in parts.items() if isinstance(each.get("verdict"), str)}
    return found


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
