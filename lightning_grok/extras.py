"""What the extras of the package bring, said in one line where one of them is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_grok.errors import InputError

EXTRAS = {
    "cvxpy": "oracle",
    "dask": "sweep",
    "distributed": "sweep",
    "mlxtend": "digits",
    "plotly": "page",
    "umap": "umap",
    "wandb": "wandb",
    "wandb_workspaces": "wandb",
}
"""Packages that a training does without, and the extra of each."""


MISSING = 'the package {package}, which isn\'t installed: pip install "lightning_grok[{extra}]"'


class MissingExtra(ModuleNotFoundError, InputError):
    """A package that an extra brings isn't installed; the message says which to install."""


@contextmanager
def named_extra() -> Iterator[None]:
    """Within it, an import of a missing package of `EXTRAS` is answered by its extra.

    Raises:
        MissingExtra: a package isn't installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS or isinstance(error, MissingExtra):
            raise
        missing = MISSING.format(package=package, extra=EXTRAS[package])
        raise MissingExtra(f"expected {missing}", name=package) from None
