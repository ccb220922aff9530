"""Moves returns along: takes messages in, picks due returns, performs duties and saves the results."""
