"""Measurements that a run has nothing of, because they failed whenever they were taken."""

from lightning_grok.runs.run import Run


def failed_measurements(run: Run) -> dict[str, str]:
    """Measurements that failed at every epoch at which they were due, by name.

    Returns:
        how often, and the newest reason: ``6 times, RuntimeError: out of luck``.
    """
    measured = run.event_names
    if "error" not in measured:  # reading all events takes long
        return {}
    reasons: dict[str, list[str]] = {}
    for event in run.events:
        if event["event"] == "error" and event.get("measurement") not in measured:
            reasons.setdefault(str(event.get("measurement")), []).append(str(event.get("message")))
    return {name: f"{len(said)} times, {said[-1]}" for name, said in reasons.items()}
