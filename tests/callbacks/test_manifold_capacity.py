"""What is logged of both splits against the geometry of the run's own snapshot."""

from collections.abc import Callable

import numpy as np
import pytest
from drawn import texts
from matplotlib.collections import PolyCollection

from lightning_grok.figures.curves import geometry_figure
from lightning_grok.geometry import manifold_capacity
from lightning_grok.geometry.activations import record
from lightning_grok.runs.network import load_model
from lightning_grok.runs.panels import headlines, measured_layers, panels_of
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData

LAYERS = ["layers.1", "layers.3"]
OTHERS = [f"--{group}.enabled=false" for group in ("kernel_distance", "linear_probe", "umap")]


def test_both_splits_have_as_many_images_a_class(fit: Callable[..., Run]) -> None:
    run = fit(
        *OTHERS,
        "--data.train_size=64",
        "--trainer.max_epochs=1",
        "--manifold_capacity.splits=[train,test]",
        "--manifold_capacity.per_class=6",
        "--manifold_capacity.num_vectors=10",
        "--manifold_capacity.restarts=1",
        "--manifold_capacity.repeats=3",
        "--manifold_capacity.layers=[layers.1]",
    )
    data = GrokData(dataset="digits", train_size=64)
    data.prepare_data()
    data.setup("fit")
    fewest = int(np.bincount(data.reference_set.part("train")[1]).min())
    assert fewest < 6  # else the test images would not be cut
    network = load_model(run.path, 0)
    for split, prefix in (("train", "train/"), ("test", "")):
        images, labels = data.reference_set.manifold_points(split, fewest, 0)
        assert np.bincount(labels).tolist() == [fewest] * 10
        points = record(network, ["layers.1"], images)["layers.1"].double().numpy()
        expected = [
            manifold_capacity(points, labels.numpy(), num_vectors=10, restarts=1, seed=seed)
            for seed in range(3)
        ]
        for name in ("capacity", "radius", "dimension"):
            key = f"manifold_capacity/{prefix}layers.1/{name}"
            values = [getattr(each, name) for each in expected]
            assert run.series(key)[1][0] == pytest.approx(values[0], rel=1e-6)
            spread = np.std(values, ddof=1)
            assert spread > 0
            assert run.series(f"{key}_sd")[1][0] == pytest.approx(spread, rel=1e-6)


@pytest.mark.slow
def test_floors_stand_in_the_panels_of_their_values(fit: Callable[..., Run]) -> None:
    options = [
        "--trainer.max_epochs=1",
        "--manifold_capacity.per_class=8",
        "--manifold_capacity.num_vectors=10",
        "--manifold_capacity.restarts=1",
        "--manifold_capacity.draws=3",
        "--manifold_capacity.layers=[layers.1,layers.3]",
        "--manifold_capacity.floor=[init,shuffle]",
    ]
    run = fit(*OTHERS, *options)
    data = GrokData(dataset="digits", train_size=64)
    data.prepare_data()
    data.setup("fit")
    images, labels = data.reference_set.manifold_points("test", 8, 0)
    points = record(load_model(run.path, 1), ["layers.1"], images)["layers.1"].double().numpy()
    shuffled = [
        manifold_capacity(points, generator.permutation(labels.numpy()), num_vectors=10, restarts=1)
        for generator in (np.random.default_rng((0, draw)) for draw in range(3))
        if generator.integers(2**31) >= 0  # a seed is drawn first
    ]
    key = "manifold_capacity/layers.1"
    for name in ("capacity", "radius", "dimension"):
        values = [getattr(each, name) for each in shuffled]
        assert run.series(f"{key}/{name}/floor_shuffle")[1][1] == pytest.approx(np.mean(values))
        spread = run.series(f"{key}/{name}/floor_shuffle_sd")[1][1]
        assert spread == pytest.approx(np.std(values, ddof=1))
        fresh = run.series(f"{key}/{name}/floor_init")[1]
        assert fresh[0] == fresh[1]
        panel = next(panel for panel in panels_of(run) if panel.id == name)
        assert [line.key for line in panel.lines] == [
            f"manifold_capacity/{layer}/{name}{end}"
            for layer in LAYERS
            for end in ("", "/floor_init", "/floor_shuffle")
        ]
    assert measured_layers(run) == (None, LAYERS)
    assert [line.floor for _, line in headlines(panels_of(run), "lag") if line.layer] == [""] * 3
    figure = geometry_figure(run)
    assert {"fresh networks", "shuffled"} <= set(texts(figure))
    bands = {artist.get_gid() for artist in figure.findobj(PolyCollection)}
    assert f"{key}/radius_se" in bands
    assert not [gid for gid in bands if "floor" in str(gid)]  # of two layers
