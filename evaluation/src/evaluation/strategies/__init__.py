"""Ways to solve a problem, of one signature: a task and the means of a run in, a solution out.

A strategy is its options, and `solve` reads like its algorithm. What all share stands beside: `model` (the engine,
metered and seeded), `chains` (whole solutions), `steps` (one step at a time), `judges` and `voting`. `solver` makes an
attempt of a solution, and `catalogue` knows all strategies by their names.
"""
