"""Every setting that an operator may change."""
