"""How far from the bare ceiling we are: `python -m benchmarks [name …]`.

Every figure is a ratio to a ceiling measured in the same run: rounds alternate between the two, and the median of the
within-round ratios counts. Ceilings do the least that the same answer needs, on the same server program, database and
driver; their code is in `ceilings.py`. Absolute figures move with the machine and are printed for orientation only.
"""
