"""What a task can't be asked for is refused by the command line, in one line."""

from pathlib import Path

import pytest

from lightning_grok.commands.main import main

MODULAR, GROUPS = (
    f"lightning_grok.tasks.tables.{name}" for name in ("ModularArithmetic", "GroupComposition")
)
PARITY = "lightning_grok.tasks.synthetic.SparseParity"


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (MODULAR, ["p=null"], "expected data.p of 2 to 1,009, received null"),
        (MODULAR, ["p=1"], "expected data.p of 2 to 1,009, received 1"),
        (MODULAR, ["p=12", "operation=divide"], "expected a prime p"),
        (MODULAR, ["operation=a+b"], "expected an operation of add, subtract"),
        (MODULAR, ["fraction=0"], "received 0"),
        (MODULAR, ["fraction=1.5"], "received 1.5"),
        (MODULAR, ["fraction=nan"], "received nan"),
        (
            MODULAR,
            ["encoding=tokens"],
            "data: expected inputs that MLP takes, received int64 (2, 2)",
        ),
        (GROUPS, ["group=E8"], "expected a group of S1 to S6, A1 to A6"),
        (PARITY, ["n=3", "k=4"], "data.k from 1 to the 3 coordinates, received 4"),
        (PARITY, ["k=0"], "received 0"),
    ],
)
def test_a_task_out_of_range_is_refused_in_one_line(
    data: str, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--data.{each}" for each in options]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", f"--data={data}", *given, f"--run.root={tmp_path}", "--trainer.max_epochs=1",
              "--wandb.mode=disabled"])  # fmt: skip
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert said in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["data.p=11"], "index out of range"),
        (["model.network.init_args.num_classes=3"], "each of 7 classes, received 3"),
    ],
)
def test_a_network_of_other_data_is_refused_in_one_line(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = ["class_path=lightning_grok.tasks.networks.Transformer", "init_args.symbols=7",
               "init_args.num_classes=7"]  # fmt: skip
    given = [f"--model.network.{each}" for each in network]
    data = [f"--data={MODULAR}", "--data.p=7", "--data.encoding=tokens"]
    last = [f"--{each}" for each in options]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *data, *given, *last, f"--run.root={tmp_path}", "--wandb.mode=disabled"])
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert said in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "meant"),
    [("--data=SparseParit", "SparseParity"), ("--model.network=SmalCNN", "SmallCNN")],
)
def test_a_class_that_is_nearly_named_is_answered(
    option: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", option, f"--run.root={tmp_path}"])
    assert stopped.value.code == 2
    assert f"(did you mean {meant}?)" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
