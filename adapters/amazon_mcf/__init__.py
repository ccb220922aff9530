"""Amazon: Multi-Channel Fulfillment returns, and labels bought from Amazon Shipping, over the Selling Partner API."""
