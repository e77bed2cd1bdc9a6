"""How laws are tried: no test of ours may fail because a machine is slow."""

from hypothesis import settings

settings.register_profile("laws", deadline=None, print_blob=True)
settings.load_profile("laws")
