"""Suspects: pictures whose label looks wrong to models that never saw them."""
