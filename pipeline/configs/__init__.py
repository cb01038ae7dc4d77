"""Ready configurations, found as package data."""
