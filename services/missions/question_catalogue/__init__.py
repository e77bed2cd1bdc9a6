"""The sample of questions that comes with the product, as data: one YAML file a language, each in the order in which it is taught."""
