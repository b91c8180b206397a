"""Infrastructure through Pulumi's own engine: the command-line program, driven by its Automation API."""
