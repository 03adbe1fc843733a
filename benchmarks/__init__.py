"""Benchmarks of speed, overhead and fault tolerance, run by hand with ``make bench``.

Each writes a JSON file with its results and a description of the machine to ``benchmarks/results``.
"""
