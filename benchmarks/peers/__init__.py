"""Other stream processors beside ours, on the same events: what the field offers to whoever builds this."""
