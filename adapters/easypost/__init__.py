"""EasyPost: labels bought on the merchant's own carrier account."""
