"""Fakes that pass the same tests as what they stand for, and ways to serve an app in a test."""
