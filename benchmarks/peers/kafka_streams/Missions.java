// Peer: Kafka Streams, exactly once v2, state in RocksDB with a changelog topic. The rules are those of ../rules.py.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Missions {
  static final String[] NAMES = {"lesson-1", "xp-20", "xp-40", "fix-2", "medium-3"};
  static final int[] TARGETS = {1, 20, 40, 2, 3};
  static final AtomicLong applied = new AtomicLong();

  /** One user: progress by mission, and the questions whose last answer was wrong. */
  static final class State {
    final int[] progress = new int[TARGETS.length];
    final List<String> mistakes = new ArrayList<>();

    /** Progress and mistakes, parted by ';' and ','. */
    byte[] encode() {
      StringBuilder text = new StringBuilder(64);
      for (int value : progress) text.append(value).append(',');
      text.append(';');
      for (String mistake : mistakes) text.append(mistake).append(',');
      return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    static State decode(byte[] bytes) {
      State state = new State();
      if (bytes == null) return state;
      String[] parts = new String(bytes, StandardCharsets.UTF_8).split(";", -1);
      String[] values = parts[0].split(",");
      for (int i = 0; i < TARGETS.length; i++) state.progress[i] = Integer.parseInt(values[i]);
      if (!parts[1].isEmpty()) state.mistakes.addAll(Arrays.asList(parts[1].split(",")));
      return state;
    }

    boolean add(int mission, int amount, List<String> completed) {
      if (progress[mission] >= TARGETS[mission]) return false;
      progress[mission] = Math.min(progress[mission] + amount, TARGETS[mission]);
      if (progress[mission] == TARGETS[mission]) completed.add(NAMES[mission]);
      return true;
    }

    boolean advance(JsonNode event, List<String> completed) {
      JsonNode data = event.get("data");
      switch (event.get("type").textValue()) {
        case "learning.lesson-completed.v1":
          return add(0, 1, completed);
        case "learning.xp-earned.v1":
          if (data.get("xp_source").textValue().equals("mission_reward")) return false;
          int amount = data.get("amount").intValue();
          return add(1, amount, completed) | add(2, amount, completed);
        case "learning.question-answered.v1":
          String question = data.get("question_id").textValue();
          if (!data.get("correct").booleanValue()) {
            return !mistakes.contains(question) && mistakes.add(question);
          }
          boolean changed = mistakes.remove(question);
          if (changed) add(3, 1, completed);
          if (data.get("difficulty").textValue().equals("medium")) changed |= add(4, 1, completed);
          return changed;
        default:
          return false;
      }
    }
  }

  static final class PerEvent implements Processor<String, byte[], String, byte[]> {
    private final ObjectMapper mapper = new ObjectMapper();
    private final List<String> completed = new ArrayList<>();
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> users;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.users = context.getStateStore("users");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      try {
        JsonNode event = mapper.readTree(record.value());
        String user = event.get("subject").textValue();
        State state = State.decode(users.get(user));
        completed.clear();
        if (state.advance(event, completed)) users.put(user, state.encode());
        for (String mission : completed) {
          String value = "{\"user\":\"" + user + "\",\"mission\":\"" + mission + "\"}";
          context.forward(new Record<>(user, value.getBytes(StandardCharsets.UTF_8), record.timestamp()));
        }
        applied.incrementAndGet();
      } catch (java.io.IOException error) {
        throw new IllegalArgumentException(error);
      }
    }
  }

  /** Arguments: bootstrap, topic, topic out, application id, state directory, records to wait for. */
  public static void main(String[] arguments) throws Exception {
    Topology topology = new Topology();
    topology.addSource("in", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), arguments[1]);
    topology.addProcessor("missions", PerEvent::new, "in");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("users"), Serdes.String(), Serdes.ByteArray()),
        "missions");
    topology.addSink("out", arguments[2], Serdes.String().serializer(), Serdes.ByteArray().serializer(), "missions");
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    long records = Long.parseLong(arguments[5]);
    try (KafkaStreams streams = new KafkaStreams(topology, settings)) {
      streams.start();
      long now;
      do {
        Thread.sleep(100);
        now = applied.get();
        System.out.println("{\"applied\":" + now + "}");
        System.out.flush();
      } while (now < records);
    }
  }
}
