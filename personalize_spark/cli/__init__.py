"""The command line: modules whose `add` registers commands, each of them arguments, one call and a printed result."""
