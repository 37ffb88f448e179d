"""Manifold capacity, radius and dimension, and the programs that they take."""
