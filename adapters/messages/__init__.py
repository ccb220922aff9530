"""Messages to operators: by web hook, Slack, ntfy or mail."""
