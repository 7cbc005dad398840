"""The commands of the command line: a module each, with `add`, which every one of them needs."""
