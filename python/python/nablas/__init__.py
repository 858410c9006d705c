"""∇BLAS: a BLAS for the backward pass, in NumPy.

`nablas.torch`, `nablas.jax` and `nablas.sklearn` have the same for these libraries, and are imported on demand.
"""
