"""Geometry of representations and kernels: numbers from arrays, with no trainer and no disk.

Every public name is importable from here and is loaded from its file at first use, so that
importing the package costs nothing: ``from lightning_grok.geometry import kernel_distance``.
"""

import lazy_loader

from lightning_grok.extras import named_extra

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = named_extra()(_load)
