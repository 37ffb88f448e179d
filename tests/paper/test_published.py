"""Files of published numbers: what stands where, and what is refused."""

from pathlib import Path

import pytest

from lightning_grok.errors import InputError
from lightning_grok.paper.published import Published, belongs_to
from lightning_grok.schedule import ROUND_EPOCHS

HEAD = "dataset,run,metric,layer,epoch,value,source\n"
EMNIST = "AdamW-10-2000-0.5-0"
MNIST = "AdamW-8-1000-0.5-0-mse-200x200"
ROWS = f"""\
EMNIST,{EMNIST},test_acc,,10.0,11.5,x
EMNIST,{EMNIST},test_acc,,1.0,3.5,x
EMNIST,{EMNIST},test_loss,,1.0,165.0,x
EMNIST,{EMNIST},avg_capacity,6,1.0,0.05,x
EMNIST,{EMNIST},K_dist_to_model0, ,0.0,0.0,x
EMNIST,{EMNIST},K_dist_to_model0, ,1.0,0.49,x
EMNIST,{EMNIST},train99,,,64,x
MNIST,alpha_0.5,test_accuracies,,10.0,0.12,x
MNIST,alpha_0.5,avg_radius,5,100.0,1.5,x
MNIST,alpha_0.5,norms,,0.0,93.8,x
MNIST,alpha_0.5,K_dist_to_model0_train,,10,0.11,x
MNIST,alpha_0.5,K_dist_to_model0_train_512,,10,0.12,x
MNIST,alpha_0.5,K_dist_to_model0_test,,10,0.13,x
MNIST-probe,ood_accs_p5,acc_mean,,50.0,0.33,x
"""


def test_runs_are_measured_at_the_papers_checkpoints_where_nobody_says_when() -> None:
    trained = [epoch for epoch in ROUND_EPOCHS if epoch > 0]
    assert sum(epoch <= 10_000 for epoch in trained) == 28
    assert sum(epoch <= 50_000 for epoch in trained) == 32
    assert {1, 5, 10, 50, 100, 500, 1500, 4000, 10_000, 50_000} <= set(trained)


def written(folder: Path, text: str) -> Path:
    path = folder / "numbers.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("setup", "key", "places", "values"),
    [
        (EMNIST, "test/accuracy", [1, 10], [0.035, 0.115]),  # percent there
        (EMNIST, "test/loss", [1], [165]),
        (EMNIST, "manifold_capacity/layers.6/capacity", [1], [0.05]),
        (EMNIST, "kernel_distance/full/foreign", [1], [0.49]),  # place 0 is the reference itself
        (EMNIST, "linear_probe/paper/accuracy", [50], [0.33]),
        (EMNIST, "linear_probe/sound/accuracy", [], []),
        (EMNIST, "kernel_distance/full/own", [], []),
        (EMNIST, "weight_norm/total", [], []),
        (MNIST, "test/accuracy", [10], [0.12]),  # a fraction there
        (MNIST, "manifold_capacity/layers.4/radius", [100], [1.5]),  # there layer 0 is the input
        (MNIST, "weight_norm/total", [0], [93.8]),
        (MNIST, "kernel_distance/full/foreign", [10], [0.11]),
        (MNIST, "kernel_distance_train512/full/foreign", [10], [0.12]),
        (MNIST, "kernel_distance_test256/full/foreign", [10], [0.13]),
        ("AdamW-1-2000-1-0.001", "test/accuracy", [], []),
    ],
)
def test_points_of_our_keys(
    tmp_path: Path, setup: str, key: str, places: list[float], values: list[float]
) -> None:
    at, found = Published(written(tmp_path, HEAD + ROWS)).points(setup, key)
    assert at.tolist() == places
    assert found == pytest.approx(values)


def test_numbers_of_a_whole_run(tmp_path: Path) -> None:
    published = Published(written(tmp_path, HEAD + ROWS))
    assert published.number(EMNIST, "train99") == 64
    assert published.number(EMNIST, "test_mid") != published.number(EMNIST, "test_mid")  # NaN
    assert set(published.all_points(EMNIST, ["test/loss", "weight_norm/total"])) == {"test/loss"}


def test_a_table_as_excel_writes_it(tmp_path: Path) -> None:
    (tmp_path / "excel.csv").write_bytes((HEAD + ROWS).replace("\n", "\r\n").encode("utf-8-sig"))
    assert Published(tmp_path / "excel.csv").number(EMNIST, "train99") == 64


def test_columns_stand_in_any_order_and_others_are_passed_over(tmp_path: Path) -> None:
    text = "value,note,epoch,layer,metric,run,dataset\n0.5,a,3,,train_loss," + f"{EMNIST},EMNIST\n"
    at, values = Published(written(tmp_path, text)).points(EMNIST, "train/loss")
    assert (at.tolist(), values.tolist()) == ([3], [0.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected columns dataset, run, metric, layer, epoch, value in"),
        ("dataset,run,metric,epoch,value\n", "expected columns layer in"),
        (HEAD, "expected published numbers in .* received none"),
        (HEAD + "EMNIST,a,test_acc,,one,2,x\n", r"line 2, received 'one' and '2'"),
        (HEAD + "EMNIST,a,test_acc,,1,\n", r"line 2, received '1' and ''"),
        (HEAD + "EMNIST,a,test_acc,,1,nan\n", r"line 2, received '1' and 'nan'"),
        (HEAD + "EMNIST,a,test_acc\n", r"expected numbers .* line 2, received '' and ''"),
        (HEAD + "EMNIST,a,test_acc,,-1,2,x\n", r"epoch of at least 0 in .* line 2, received -1"),
    ],
)
def test_what_is_no_such_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Published(written(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"received .*nowhere\.csv: no such file"):
        Published(tmp_path / "nowhere.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match=r"expected published numbers, received .*image\.csv: "):
        Published(tmp_path / "image.csv")


def test_a_stand_in_has_no_published_numbers() -> None:
    assert belongs_to(EMNIST, "EMNIST balanced")
    assert belongs_to(MNIST, "MNIST")
    assert not belongs_to(EMNIST, "embedded digits")
    assert not belongs_to(MNIST, "EMNIST balanced")
