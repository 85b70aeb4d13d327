"""Search over the embeddings of a corpus: exact, by FAISS, and after taking out each language's offset."""
