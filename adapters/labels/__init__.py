"""The PDF that a shopper prints."""
