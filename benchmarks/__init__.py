"""Our speed beside others', measured in one run on one machine with the same frames."""
