"""The listeners: what Loop, shoppers and operators reach."""
