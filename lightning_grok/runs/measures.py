"""Measures by name: what ``--measure NAME`` takes, and what a plug-in adds.

A package that has measures names them in its own pyproject.toml, each a `Measure`:

    [project.entry-points."lightning_grok.measurements"]
    roundness = "my_package.measures:ROUNDNESS"
"""

from functools import cache
from typing import Any, Literal, NamedTuple

from lightning_grok.errors import InputError, first_line, hint

GROUP = "lightning_grok.measurements"
"""Of entry points."""

_CLASSES = {
    "layer": "LayerMeasurement", "weight": "WeightMeasurement", "model": "ModelMeasurement",
}  # fmt: skip


class Measure(NamedTuple):
    """A function of layers' activations, of weight matrices or of the whole network.

    Attributes:
        name: what it is called, and the prefix of its keys.
        of: ``layer``, ``weight`` or ``model``: what the function takes.
        function: its dotted path.
        words: what it says, in one line.
        unit: of its values.
        cost: in words.
        source: whose it is.
        arguments: further keyword arguments of the function.
        options: of its callback, where its defaults would take long.
    """

    name: str
    of: Literal["layer", "weight", "model"]
    function: str
    words: str
    unit: str
    cost: str
    source: str
    arguments: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def callback(self) -> dict[str, Any]:
        """The entry of ``trainer.callbacks`` that takes it."""
        init: dict[str, Any] = {"function": self.function, "name": self.name} | dict(self.options)
        if self.arguments:
            init["arguments"] = dict(self.arguments)
        return {"class_path": f"lightning_grok.callbacks.{_CLASSES[self.of]}", "init_args": init}


_GEOMETRY = "lightning_grok.geometry"

BUILT_IN = (
    Measure(
        "participation_ratio", "layer", f"{_GEOMETRY}.participation_ratio",
        "directions that the samples spread over", "directions", "n² d a layer",
        "Gao et al. 2017; corrected for few samples",
    ),
    Measure(
        "effective_rank", "layer", f"{_GEOMETRY}.effective_rank",
        "exponential of the entropy of the singular values", "directions",
        "one singular value decomposition a layer", "Roy & Vetterli 2007",
    ),
    Measure(
        "spectral_entropy", "layer", f"{_GEOMETRY}.spectral_entropy",
        "how evenly samples spread over all directions, 0 for one and 1 for all", "",
        "n d² a layer", "arXiv 2604.13123",
    ),
    Measure(
        "numerical_rank", "layer", f"{_GEOMETRY}.numerical_rank",
        "directions of more than a thousandth of the largest spread", "directions",
        "n d² a layer", "Masarczyk et al. 2023",
    ),
    Measure(
        "intrinsic_dimension", "layer", f"{_GEOMETRY}.intrinsic_dimension",
        "dimension of what samples lie on, by two nearest neighbors", "",
        "n² d a layer, of 50 samples a class", "Facco et al. 2017", options=(("per_class", 50),),
    ),
    Measure(
        "glue", "layer", f"{_GEOMETRY}.glue",
        "classes that a dimension separates as they lie (GLUE), with radius, dimension, utility "
        "and alignments", "",
        "200 nonnegative least squares a layer, about 1 s for 47 classes of 50",
        "Chou et al. 2025, arXiv 2503.18114",
    ),
    Measure(
        "cka", "layer", f"{_GEOMETRY}.layer_cka",
        "likeness of a layer to its start, to the measurement before, to the labels and to the "
        "layers below (debiased linear CKA, 1 for the same up to rotation)", "",
        "n d e for two of d and e features, of 50 samples a class",
        "Kornblith et al. 2019; Song et al. 2012", options=(("per_class", 50),),
    ),
    Measure(
        "neural_collapse", "layer", f"{_GEOMETRY}.neural_collapse",
        "how far classes have shrunk to the corners of a simplex (NC1, NC2, CDNV)", "",
        "n d a layer", "Papyan, Han & Donoho 2020; Galanti et al. 2022",
    ),
    Measure(
        "weight_spectrum", "weight", f"{_GEOMETRY}.weight_spectrum",
        "tail exponent, stable rank, entropy and traps of the spectrum", "",
        "two singular value decompositions a matrix", "Martin & Mahoney 2021",
    ),
    Measure(
        "sharpness", "model", f"{_GEOMETRY}.sharpness",
        "largest eigenvalue of the Hessian of the training loss", "per squared weight",
        "13 to 25 Hessian-vector products", "Cohen et al. 2021",
    ),
    Measure(
        "adaptive_sharpness", "model", f"{_GEOMETRY}.adaptive_sharpness",
        "sharpness in units of the optimizer's steps, only while a run trains: Adam is unstable "
        "above 38 (2 + 2 β₁ over 1 - β₁)", "",
        "13 to 25 Hessian-vector products", "Cohen et al. 2022",
    ),
    Measure(
        "commutator", "model", f"{_GEOMETRY}.split_commutator",
        "how much the order of two batches' steps matters, without a step size", "",
        "two Hessian-vector products", "Xu 2026, arXiv 2602.16746",
    ),
    Measure(
        "gradient_noise", "model", f"{_GEOMETRY}.gradient_noise",
        "signal to noise of per-sample gradients, and the noise scale", "",
        "one gradient a sample, of 500", "McCandlish et al. 2018", options=(("samples", 500),),
    ),
    Measure(
        "local_complexity", "model", f"{_GEOMETRY}.local_complexity",
        "units whose kink passes close to a sample, layer by layer", "units a sample",
        "50 forward passes of every sample", "Humayun et al. 2024",
    ),
    Measure(
        "learning_coefficient", "model", f"{_GEOMETRY}.learning_coefficient",
        "how degenerate the minimum is that the network stands in", "parameters / 2",
        "1,200 gradients", "Lau et al. 2023",
    ),
    Measure(
        "irrep_progress", "model", "lightning_grok.tasks.mechanisms.irrep_progress",
        "of group composition, which irreducible representations answers rest on; "
        "arguments: {group: A5}", "nats; shares",
        "one forward pass of all pairs", "Chughtai, Chan & Nanda 2023",
    ),
    Measure(
        "fourier_progress", "model", "lightning_grok.tasks.mechanisms.fourier_progress",
        "of modular addition, what rests on the frequencies of a + b", "nats; shares",
        "one forward pass of all pairs", "Nanda et al. 2023",
    ),
    Measure(
        "residue_participation", "weight", "lightning_grok.tasks.mechanisms.residue_participation",
        "of modular arithmetic, how few frequencies the weights use, 1 for a single one; "
        "arguments: {modulus: 53}", "share",
        "a Fourier transform of every row", "Doshi et al. 2023",
    ),
    Measure(
        "coordinate_mass", "weight", "lightning_grok.tasks.mechanisms.coordinate_mass",
        "of sparse parity, how much of a layer reads the first coordinates, which decide; "
        "arguments: {first: 3}", "share",
        "one pass over the matrix", "for the task of Merrill et al. 2023",
    ),
)  # fmt: skip
"""What comes with the package."""


@cache
def known_measures() -> tuple[dict[str, Measure], tuple[str, ...]]:
    """All measures by name, those of plug-ins behind ours, and why some of these are left out."""
    from importlib.metadata import entry_points  # takes as long to load as Python itself

    found = {measure.name: measure for measure in BUILT_IN}
    problems = []
    for entry in entry_points(group=GROUP):
        try:
            measure = entry.load()
            if not isinstance(measure, Measure) or measure.of not in _CLASSES:
                raise TypeError(f"expected a Measure, received {type(measure).__name__}")
            if measure.name in found:
                raise ValueError(f"expected another name, {measure.name} is taken")
        except Exception as error:  # whatever somebody's package does
            problems.append(f"measure {entry.name} ({entry.value}): {first_line(error)}")
            continue
        found[measure.name] = measure
    return found, tuple(problems)


def named_measures(names: str) -> list[Measure]:
    """The measures of a list such as ``sharpness,commutator``.

    Raises:
        InputError: one is unknown.
    """
    known, problems = known_measures()
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            reasons = "".join(
                f"; {problem}" for problem in problems if f"measure {name} " in problem
            )
            raise InputError(
                f"expected measures of {', '.join(known)}; received {name or 'none'}"
                f"{hint(name, known)}{reasons}"
            )
    return [known[name] for name in chosen]
