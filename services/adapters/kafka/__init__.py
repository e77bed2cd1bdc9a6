"""The Kafka adapter: the Faust worker that hands over whole partition batches, the producer, the reader and the topics.

Nothing is imported here, so that a role which only publishes does not load Faust.
"""
