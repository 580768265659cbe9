"""What may be spent now: the board's state and the limits that follow from it."""
