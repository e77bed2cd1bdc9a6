"""The relay on real Postgres and Kafka."""
