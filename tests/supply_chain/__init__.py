"""What the project is made of beside its own code: advisories about it (`make audit`), and a list of it (`make sbom`)."""
