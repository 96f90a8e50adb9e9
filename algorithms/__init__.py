"""Solving one game: policies, exact values and gaps, solvers and their kernels."""
