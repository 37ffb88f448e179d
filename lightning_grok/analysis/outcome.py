"""What is to be seen of a run, in one sentence and in a few numbers, the same everywhere."""

import math
from typing import Any

from lightning_grok.analysis.onset import GrokkingEvents


def outcome(events: GrokkingEvents, *, so_far: bool = False) -> str:
    """One sentence: ``Memorized at 316; test accuracy still rising (68 %)``.

    Args:
        events: of the run.
        so_far: whether the run goes on, or was broken off: what it says may change.
    """
    if math.isnan(events.test_accuracy):
        return f"No accuracies of training and held-out data{' yet' if so_far else ''}"
    yet = " so far" if so_far else ""
    train = f"train accuracy {percent(events.train_accuracy)}"
    if math.isfinite(events.t_mem):
        memorized = f"Memorized at {in_epochs(events.t_mem)}"
    else:
        memorized = f"Not memorized{yet} ({train})"
    return f"{memorized}; {_generalization(events, yet)}"


def event_record(events: GrokkingEvents, *, so_far: bool = False) -> dict[str, Any]:
    """The same as plain values, under the names that they have everywhere.

    ``memorization``, ``begins`` and ``half`` in whole epochs, ``final_level``, ``grokked``,
    ``outcome``. What never came is None, and so is the final level of a test accuracy that is still
    rising: ``half`` is then a lower bound.
    """
    counted = not events.test.censored
    return {
        "memorization": rounded(events.t_mem),
        "begins": rounded(events.begins),
        "half": rounded(events.test.t_half),
        "final_level": round(events.test.final, 4) if counted and not events.moving else None,
        "grokked": events.grokked,
        "outcome": outcome(events, so_far=so_far),
    }


def event_words(events: GrokkingEvents, *, so_far: bool = False) -> list[str]:
    """Its times, each in a word or two: ``memorized 316``, ``begins 2,000``, ``half ≥ 3,000``."""
    times = {"memorized": events.t_mem, "begins": events.begins, "half": events.test.t_half}
    after = {"half": " so far"} if so_far else {}
    return [
        f"{name} {events.bound if name == 'half' else ''}{in_epochs(epoch)}{after.get(name, '')}"
        for name, epoch in times.items()
        if math.isfinite(epoch)
    ]


def rounded(epoch: float) -> int | None:
    """A time in whole epochs; None for one that never came."""
    return round(epoch) if math.isfinite(epoch) else None


def in_epochs(epoch: float) -> str:
    """A time in words: ``3,481``."""
    return f"{round(epoch):,}"


def percent(share: float) -> str:
    """A share in words, to three digits: ``68.2 %``, ``7.75 %``."""
    return f"{100 * share:.3g} %"


def _generalization(events: GrokkingEvents, yet: str) -> str:
    test, level = events.test, percent(events.test_accuracy)
    begun = ""
    if math.isfinite(events.begins):
        begun = f"generalization begins at {in_epochs(events.begins)}"
    moving = f"test accuracy {'' if yet else 'still '}{events.moving} ({level}{yet})"
    if events.grokked:
        half = f"{begun}, half at {in_epochs(test.t_half)}"
        if events.moving:
            bound = "later" if events.moving == "rising" else "earlier"
            return f"{half} or {bound}: grokked{yet}; {moving}"
        return f"{half} (from {percent(test.plateau)} to {percent(test.final)}): grokked{yet}"
    if events.moving:
        return f"{begun}; {moving}" if begun else moving
    if events.lost:
        lost = f"{begun or 'it generalized'} and was lost again"
        return f"{lost} (test accuracy {level}{yet}, {percent(events.best)} at best)"
    if test.censored:
        if events.chance is None:
            return f"no rise of test accuracy that counts{yet} ({level})"
        return f"no generalization{yet} (test accuracy {level}, chance {percent(events.chance)})"
    delay = " without delay" if math.isfinite(events.t_mem) else ""
    return f"generalized{delay}, half at {in_epochs(test.t_half)} (test accuracy {level}{yet})"
