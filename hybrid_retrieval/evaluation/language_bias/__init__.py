"""Measures of how much the language of a document, rather than its content, decides its rank: one a file."""
