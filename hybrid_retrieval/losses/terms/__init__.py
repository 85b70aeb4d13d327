"""Terms that an objective may add to InfoNCE: one a file, each a pure function of a global batch."""
