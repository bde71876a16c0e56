"""How a run is carried out: stages in order, its folder, its log, records that survive a kill."""
