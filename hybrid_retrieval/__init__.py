"""Train and evaluate retrievers that work in every language at once."""

__version__ = "0.1.0"
