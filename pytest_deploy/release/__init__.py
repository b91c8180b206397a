"""What is to be deployed: commit, artefact, migrations, policy: the request that people sign."""
