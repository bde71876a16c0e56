"""The navigator service: plans trajectories, reviews steps, keeps the journal."""
