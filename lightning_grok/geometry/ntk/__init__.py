"""Neural tangent kernels: exact, sketched, and how far they move."""
