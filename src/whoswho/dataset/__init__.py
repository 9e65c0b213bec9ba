"""The folder data/ and what people say about it: listing, manifest, forgotten, review, merging."""
