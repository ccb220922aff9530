"""The composition root: builds and connects everything that runs."""
