"""Amazon's queues at AWS: the only place that knows the AWS library."""
