"""The stages of a run, one file each that reads like its algorithm, and what single stages need beside them."""
