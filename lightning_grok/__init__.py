"""Grokking and representation geometry, measured while a network trains.

Subpackages and modules
    model, module, data   the network, its training step and the images
    geometry              pure functions: kernels, manifolds, probes, embeddings
    analysis              pure functions: onset and change point
    callbacks             thin Lightning shells around them
    runs                  the run directory, written and read back
    figures               pictures of run directories
"""

__version__ = "0.1.0"
