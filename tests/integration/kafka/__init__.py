"""Tests of the Kafka adapter with a real broker."""
