"""The missions that come with the product, as data: YAML files that `services/adapters/catalogue_files.py` reads."""
