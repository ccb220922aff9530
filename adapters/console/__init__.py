"""The web pages for operators: they read and act by verbs alone, and work without JavaScript."""
