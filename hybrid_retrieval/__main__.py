"""`python -m hybrid_retrieval` is the console command."""

from hybrid_retrieval.cli import main

main()
