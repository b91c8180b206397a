"""Google Cloud through Google's own clients."""
