"""Experiments on the method itself: what the paper claims, tried at toy size with everything real."""
