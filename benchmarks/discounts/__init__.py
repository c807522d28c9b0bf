"""The cheapest lawful price beside HiGHS, CP-SAT and plain enumeration on the same parties (goals O1 to O3).

`parties` makes the parties, `offers` prices their seats into numbers, `programs` writes the numbers as integer
programmes, `solvers` runs those in processes of their own, `campaign` measures, `report` and `plot` tell.
"""
