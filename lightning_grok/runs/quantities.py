"""What a logged key is, in words: the one catalogue that everything that shows a run reads.

A panel is what shares its axes; a line is one key of it, or one a layer. Which panels a run has,
those of keys that are not in the catalogue among them, says `lightning_grok.runs.panels`.
"""

import re
from typing import Any, Literal, NamedTuple

LAYER = "{layer}"
"""Stands for the name of a layer in the key of a line."""


GEOMETRY = ("capacity", "radius", "dimension")
"""Panels of the class manifolds."""

PERFORMANCE = ("accuracy", "loss")
"""Panels of what a network is trained for."""


Dash = Literal["solid", "dash", "dot", "dashdot"]


class Line(NamedTuple):
    """One line of a panel.

    Attributes:
        key: as logged; in the catalogue `LAYER` stands for the name of a layer, and the word of the
            measurement also for one called ``<word>_...``.
        label: in a legend; empty for the layer's.
        color: its meaning, a key of `lightning_grok.figures.palette.COLORS`; empty for none.
        dash: ``solid``, ``dash``, ``dot`` or ``dashdot``.
        error: what is appended to the key for the half-width of its band.
        level: key of a constant that a line is held against, with its spread under ``<level>_sd``.
        level_label: what the level is.
        name: what the number is called beside others; empty where it is not shown so.
        reading: whether it stands beside the slider of the page and on the progress bar.
        compared: whether a comparison of runs has a view of it (of layers: of the last one).
        predicts: whether it may foretell generalization.
        lag: from where its change is timed: ``zero``, or the ``plateau`` after memorization.
        transferred: whether it says nothing where the digits of the probe are like the training
            samples.
        layer: whose value it is; empty for the whole network.
        floor: what it is of that has learned nothing, in words; empty for a value of the run. The
            line that is held against it has its key up to the last ``/``.
    """

    key: str
    label: str = ""
    color: str = ""
    dash: Dash = "solid"
    error: str = "_se"
    level: str = ""
    level_label: str = ""
    name: str = ""
    reading: bool = False
    compared: bool = False
    predicts: bool = False
    lag: Literal["", "zero", "plateau"] = ""
    transferred: bool = False
    layer: str = ""
    floor: str = ""


class Panel(NamedTuple):
    """What shares its axes.

    Attributes:
        id: of letters, digits and ``-``; unique in a run.
        title, note: what it shows, in words.
        unit: of the values.
        group: under which panels stand together.
        lines: in the order of a legend.
        symbol: the quantity and its sign, where the unit alone doesn't say.
        low, high: ends of the axis; None is where the values end.
        log: whether the axis is logarithmic, where no value is below 0.
        known: whether it is one of the catalogue's.
    """

    id: str
    title: str
    note: str
    unit: str
    group: str
    lines: tuple[Line, ...]
    symbol: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    known: bool = True

    @property
    def many_floors(self) -> bool:
        """Whether the floors are of several layers: with bands they would hide each other."""
        return len({line.layer for line in self.lines if line.floor}) > 1

    @property
    def without_floors(self) -> "Panel":
        """Values of the run alone."""
        return self._replace(lines=tuple(line for line in self.lines if not line.floor))

    @property
    def leads(self) -> bool:
        """Whether it stands before pairs of epochs and maps: what a first look is for."""
        return self.known and self.id.partition("-")[0] in (*PERFORMANCE, "kernel", *GEOMETRY)


LOSSES = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}
"""Value of ``model.loss`` -> its name and unit."""

VALIDATION = ("validation", "validation")
_KINDS = (("full",) * 3, ("sketch", "sketched", "full"), ("trace",) * 3)
_FRESH = "fresh networks, mean ± s.d."
_CAPACITY = "manifold_capacity/{layer}/"


def _geometry(quantity: str, symbol: str, note: str, unit: str, **line: Any) -> Panel:
    note += " ({split} samples, bands ± s.e.)."
    of_layers = Line(_CAPACITY + quantity, name=quantity, lag="plateau", **line)
    title, symbol = f"Manifold {quantity} {symbol}", f"{quantity} {symbol}"
    return Panel(quantity, title, note, unit, "Manifold geometry", (of_layers,), symbol)


def _kernels(of: str, to: str = "", dash: Dash = "solid") -> tuple[Line, ...]:
    return tuple(
        Line(f"kernel_distance/{kind}/{of}", f"{word} kernel{to}", f"{color} kernel", dash)
        for kind, word, color in _KINDS
    )


CATALOGUE: tuple[Panel, ...] = (
    Panel(
        "accuracy", "Accuracy",
        "Share of training samples and of held-out samples answered correctly.",
        "accuracy (fraction)", "Performance",
        (
            Line("train/accuracy", "train", "train", name="train accuracy", reading=True,
                 compared=True),
            Line("test/accuracy", "test", "test", name="test accuracy", reading=True,
                 compared=True, predicts=True),
            Line("val/accuracy", *VALIDATION, name="validation accuracy", compared=True),
        ),
        low=0, high=1,
    ),
    Panel(
        "loss", "Loss", "On training samples and on held-out samples.", "{loss}",
        "Performance",
        (
            Line("train/loss", "train", "train", name="train loss", compared=True),
            Line("test/loss", "test", "test", name="test loss", compared=True, predicts=True),
            Line("val/loss", *VALIDATION, name="validation loss", compared=True),
        ),
        log=True,
    ),
    Panel(
        "kernel", "Kernel distance to the start",
        "How far the neural tangent kernel has moved from epoch 0; 0 means not at all.",
        "kernel distance S", "Kernel distance",
        (
            Line("kernel_distance/full/own", "full kernel", "full kernel",
                 level="kernel_distance/full/floor", name="kernel distance", level_label=_FRESH,
                 reading=True,
                 compared=True, predicts=True, lag="zero"),
            Line("kernel_distance/sketch/own", "sketched kernel", "full kernel", "dash",
                 level="kernel_distance/sketch/floor", level_label=_FRESH,
                 name="sketched kernel distance", compared=True, predicts=True, lag="zero"),
            Line("kernel_distance/trace/own", "trace kernel", "trace kernel",
                 level="kernel_distance/trace/floor", name="trace kernel distance",
                 level_label=_FRESH, predicts=True,
                 lag="zero"),
        ),
        low=0,
    ),
    _geometry("capacity", "α_C", "Classes that a layer can separate per dimension",
              "classes/dimension", reading=True, compared=True, predicts=True),
    _geometry("radius", "R_M", "Spread of a class about its center", "center norms"),
    _geometry("dimension", "D_M", "Directions in which a class spreads", ""),
    Panel(
        "probe", "Linear probes",
        "What linear readouts of the features know of {digits} (bands ± s.d.){seen}.",
        "accuracy (chance 0.1)", "Linear probe",
        (
            Line("linear_probe/sound/accuracy", "held out, converged", "sound probe", error="_sd",
                 name="sound probe", compared=True, predicts=True),
            Line("linear_probe/sound_stored/accuracy", "the same, upright digits", "sound probe",
                 "dot", "_sd", transferred=True),
            Line("linear_probe/paper/accuracy", "100 steps, training digits",
                 "paper probe", error="_sd"),
            Line("linear_probe/direct/accuracy", "network's own digit outputs", "total", "dash",
                 "_sd"),
            Line("linear_probe/direct_stored/accuracy", "these, upright digits", "total", "dot",
                 "_sd", transferred=True),
        ),
        low=0, high=1,
    ),
    Panel(
        "readout", "Representation and readout",
        "Held-out accuracy on the network's own task: of a readout fitted to its features, of one "
        "fitted to those of its training samples, and of the network itself.",
        "accuracy (fraction)", "Linear probe",
        (
            Line("linear_probe/own/representation", "representation", "sound probe",
                 name="readable from features", compared=True, predicts=True),
            Line("linear_probe/own/trained", "readout of the training set", "train", "dash"),
            Line("linear_probe/own/network", "network", "test"),
        ),
        low=0, high=1,
    ),
    Panel(
        "weights", "Weight norms",
        "Euclidean norm of the parameters of every layer, biases included.",
        "norm ‖θ‖", "Weight norm",
        (
            Line("weight_norm/total", "all parameters", "total", "dash", name="weight norm",
                 predicts=True),
            Line("weight_norm/{layer}"),
        ),
        low=0,
    ),
    Panel(
        "growth", "Weights against the initialization",
        "Norm of all parameters over that at epoch 0, and the cosine of the angle between them.",
        "ratio", "Weight norm",
        (
            Line("weight_norm/relative", "norm ‖θ‖ / ‖θ₀‖", "total", name="relative weight norm",
                 compared=True),
            Line("weight_norm/cosine", "cosine of θ and θ₀", "train"),
        ),
    ),
    Panel(
        "precision", "What the precision still sees",
        "Share of the training set whose loss is exactly 0 in its precision and, of Adam, of the "
        "parameters whose second moment is lost in its eps.",
        "fraction", "Stability",
        (
            Line("stability/zero_loss_share", "samples without a loss", "train",
                 name="zero-loss share", compared=True),
            Line("stability/below_eps", "√v below eps", "test", "dash"),
        ),
        low=0, high=1,
    ),
    Panel(
        "margins", "Margins of the training set",
        "Lead of the right logit over the best other one: the 5th, 50th and 95th percentile.",
        "margin", "Stability",
        (
            Line("stability/margin_5", "5 %", "train", "dot"),
            Line("stability/margin_50", "median", "train"),
            Line("stability/margin_95", "95 %", "train", "dash"),
        ),
    ),
    Panel(
        "normalized", "Normalized margin",
        "Smallest margin of the training set over the norm of all parameters to the power of the "
        "number of layers.",
        "margin", "Stability", (Line("stability/normalized_margin", "smallest", "train"),),
    ),
    Panel(
        "logits", "Scale of the logits",
        "Root mean square of the logits of the training set, as a power of ten.",
        "log₁₀", "Stability", (Line("stability/log10_logit_rms", "logits", "train"),),
    ),
    Panel(
        "remaining", "What is left of the training loss",
        "Mean loss of the training set in float64, which sees what a lower precision rounds to 0.",
        "{loss}", "Stability", (Line("stability/loss", "in float64", "train"),), log=True,
    ),
    Panel(
        "optimizer", "Step of the optimizer",
        "Root mean square of the update and, of Adam, of the square root of the second moment.",
        "per parameter", "Stability",
        (
            Line("stability/update_rms", "update", "train"),
            Line("stability/sqrt_v_rms", "√v", "test"),
        ),
        log=True,
    ),
    Panel(
        "steps", "Step of every layer against its weights",
        "Norm of the update, learning rate included, over the norm of the layer.",
        "ratio", "Stability", (Line("stability/{layer}/update_over_weight"),), log=True,
    ),
    Panel(
        "scaling", "Descent by scaling alone",
        "Cosine of the descent direction with the weights: near 1 all that is left to learn is to "
        "scale the logits.",
        "cosine", "Stability", (Line("stability/gradient_cosine", "cosine", "train"),),
    ),
    Panel(
        "foreign", "Kernel distance to another network",
        "To one fresh network, which is far from the start already.",
        "kernel distance S", "Kernel distance", _kernels("foreign", ", to another network", "dash"),
        low=0,
    ),
    Panel(
        "previous", "Kernel distance to the measurement before",
        "How far the kernel has moved since it was last measured.",
        "kernel distance S", "Kernel distance", _kernels("previous"), low=0,
    ),
    Panel(
        "velocity", "Velocity of the kernel",
        "Distance to the measurement before, per unit of log epoch.",
        "dS / d ln(epoch)", "Kernel distance", _kernels("velocity"), log=True,
    ),
    Panel(
        "alignment", "Alignment of the kernel with the labels",
        "Cosine of the trace kernel and the kernel of the labels; 1 is the same.",
        "alignment", "Kernel distance",
        (
            Line("kernel_distance/alignment", "as it is", "trace kernel"),
            Line("kernel_distance/centered_alignment", "centered", "trace kernel", "dot"),
        ),
    ),
    Panel(
        "rank", "Effective rank of the kernel", "Exponential of its eigenvalues' entropy.",
        "directions", "Kernel distance",
        (Line("kernel_distance/effective_rank", "trace kernel", "trace kernel"),), low=1,
    ),
    Panel(
        "maps", "How far a UMAP can be trusted",
        "Share of nearest neighbors that the plane keeps, and movement since the map before.",
        "fraction", "UMAP",
        (
            Line("umap/preservation", "neighbors kept", "sound probe"),
            Line("umap/movement", "movement", "total"),
        ),
        low=0,
    ),
)  # fmt: skip
"""What is known of the measurements that come with the package, in reading order."""

_DIAGNOSTIC = re.compile(
    r"known_at|.*/(summary_)?seconds|linear_probe\w*/.*/(loss|converged"
    r"|accuracy_all)|manifold_capacity\w*/.*/(rank|flagged|failed|residual_correlation"
    r"|median_radius|center_correlation)"
)


def is_diagnostic(key: str) -> bool:
    """Whether a known key says how a measurement went, not what it found: it has no panel."""
    return _DIAGNOSTIC.fullmatch(key) is not None
