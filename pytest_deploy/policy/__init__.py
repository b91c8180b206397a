"""What was asked: deploy.yaml becomes one frozen policy, or one error that lists every fault."""
