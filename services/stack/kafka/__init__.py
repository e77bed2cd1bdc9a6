"""Apache Kafka for the local stack: one real broker in KRaft mode, from Maven's jars on a packaged Java."""
