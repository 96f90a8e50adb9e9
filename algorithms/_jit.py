"""How kernels are compiled.

Numba's cache does not notice a change in this file, so that `__pycache__` has to go after one.
"""

JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
# For what allocates no array: references are not counted, which is atomic and took a third of the
# time in inner loops. (`_nrt`, Numba's runtime, is an option that its documentation leaves out.)
BARE = {**JIT, "_nrt": False}
SUMS = {**JIT, "fastmath": {"contract", "reassoc"}}  # in any order: several at a time
