"""What all strategies share: the engine, metered and seeded (`model`), whole solutions (`chains`), one step at a time
(`steps`), `judges` and `voting`. `means` is what a strategy is given; `solver` makes an attempt of its solution."""
