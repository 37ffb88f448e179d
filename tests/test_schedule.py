import pytest

from lightning_grok.schedule import (
    OPEN_END,
    ROUND_EPOCHS,
    Schedule,
    evaluation_epochs,
    log_spaced,
    validate_epochs,
)


def test_every_power_of_ten_has_its_round_epochs_however_long_a_run_is() -> None:
    assert ROUND_EPOCHS[0] == 0
    assert list(ROUND_EPOCHS) == sorted(set(ROUND_EPOCHS))
    for ten in (1, 10, 100, 1000, 10_000, 100_000):
        assert {ten, 2 * ten, 3 * ten, 4 * ten, 5 * ten} <= set(ROUND_EPOCHS)
    assert ROUND_EPOCHS[-1] == OPEN_END


def test_a_decade_has_as_many_epochs_as_asked_for() -> None:
    epochs = log_spaced(10_000, 24)
    for low in (100, 1000):
        assert sum(low <= epoch < 10 * low for epoch in epochs) == 24
    assert epochs[:10] == list(range(1, 11))  # finer than whole epochs: every epoch
    assert epochs == sorted(set(epochs))


def test_a_schedule_has_start_end_and_round_epochs() -> None:
    epochs = evaluation_epochs(777, 24)
    assert {0, 777, 40, 500} <= epochs
    assert max(epochs) == 777


@pytest.mark.parametrize("epochs", [[], [-1, 2], [3, 2], [2, 2]])
def test_bad_lists_are_refused(epochs: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        validate_epochs(epochs)


@pytest.mark.parametrize(("last", "per_decade"), [(0, 24), (10, 0)])
def test_bad_grids_are_refused(last: int, per_decade: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        log_spaced(last, per_decade)


@pytest.mark.parametrize("per_decade", [1, 3, 4, 8, 24, 100])
def test_a_schedule_of_steps_needs_no_end(per_decade: int) -> None:
    schedule = Schedule(steps=per_decade)
    found = [step for step in range(3001) if schedule.at_step(step)]
    assert found == [0, *log_spaced(3000, per_decade)]
    assert not any(schedule.at_epoch(epoch) for epoch in range(100))


def test_kinds_of_a_schedule_add_up() -> None:
    schedule = Schedule(epochs=[1, 5], every_n_epochs=4, steps=[7], every_n_steps=10)
    assert [epoch for epoch in range(10) if schedule.at_epoch(epoch)] == [0, 1, 4, 5, 8]
    assert [step for step in range(21) if schedule.at_step(step)] == [0, 7, 10, 20]


@pytest.mark.parametrize(
    "options", [{"every_n_steps": 0}, {"every_n_epochs": -1}, {"steps": [2, 1]}, {"epochs": 0}]
)
def test_bad_schedules_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Schedule(**options)
