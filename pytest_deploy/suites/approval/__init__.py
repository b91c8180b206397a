"""Who must sign has signed."""
