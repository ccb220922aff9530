"""The composition root: builds everything that runs, and introduces it to each other."""
