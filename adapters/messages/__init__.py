"""How people are told: a web hook of their own, Slack, ntfy, or mail."""
