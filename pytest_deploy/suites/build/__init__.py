"""The service's own checks pass, and its artefact is built twice alike."""
