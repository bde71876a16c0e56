"""Ways to solve a problem, of one signature: a task and the means of a run in, a solution out.

A strategy is its options, and `solve` reads like its algorithm. `catalogue` knows all of them by their names.
"""
