"""Benchmarks: `python -m bench` for all of it, `python -m bench.NAME [--quick|--full]` for one.

Every script prints a table with the machine it ran on. Ratios compare measurements of the same run; figures of
different runs or machines are not comparable.
"""
