"""Loop Returns: pure wires, the API client, and the receiver of webhooks."""
