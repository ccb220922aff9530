"""The HTTP listeners for Loop, shoppers and operators."""
