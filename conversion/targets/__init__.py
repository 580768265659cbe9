"""Which delegate runs which operator of a bundle's graphs, said before anyone flashes. Needs no torch."""
