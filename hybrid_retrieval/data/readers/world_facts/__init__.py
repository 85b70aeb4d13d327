"""The embedded data set: parallel questions and passages about facts in CLDR and pycountry."""

from hybrid_retrieval.data.readers.world_facts.reader import WorldFactsReader

__all__ = ["WorldFactsReader"]
