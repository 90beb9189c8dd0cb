"""Pictures of anomaly maps."""
