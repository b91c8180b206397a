"""The standard steps of every deployment, a folder a phase. A project's own steps lie in its `suites/`."""
