"""The figures: every label fits, none overlaps; the same values give the same bytes."""
