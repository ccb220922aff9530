"""Benchmarks: `python -m bench` for all of it, `python -m bench.NAME [--quick|--full]` for one.

Every script prints a table with the machine it ran on. Ratios compare what was measured within the same run; figures
of different runs, or machines, do not compare.
"""
