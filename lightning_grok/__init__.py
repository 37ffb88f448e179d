"""Grokking and representation geometry, measured while a network trains.

What a user imports is importable from here, each name loaded from its room at first use:
``from lightning_grok import GrokModule, KernelDistance, read_run``. The rooms:

    tasks       what is trained on: data, networks, the module that trains them
    geometry    pure functions: kernels, manifolds, probes, embeddings
    analysis    pure functions: onset, lags, intervals
    callbacks   when to measure, in any Lightning training
    loggers     where values go: a run's directory, W&B
    runs        a run's directory, read while it grows or afterwards
    figures     pictures of run directories
    dashboard   the live page and the report
    paper       the replication of one paper: its claims and figures
    commands    the command line
"""

import lazy_loader

from lightning_grok.extras import named_extra

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = named_extra()(_load)
