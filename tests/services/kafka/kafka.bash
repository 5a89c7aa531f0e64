# shellcheck shell=bash
# Apache Kafka: one broker that is its own controller (KRaft), plaintext. Sourced by ../services.

kafka_roles() { echo broker; }

kafka_configure() {
  local folder=$ROOT/kafka client controller
  need base64 coreutils
  mkdir -p "$folder/log"
  pick_port "${KAFKA_PORT:-}"; client=$PORT
  pick_port; controller=$PORT
  {
    echo "process.roles=broker,controller"
    echo "node.id=1"
    echo "controller.quorum.voters=1@127.0.0.1:$controller"
    echo "controller.listener.names=CONTROLLER"
    echo "listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:$client"
    echo "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
    echo "inter.broker.listener.name=PLAINTEXT"
    echo "log.dirs=$folder/data"
    echo "log.retention.hours=-1"
    echo "num.partitions=${KAFKA_PARTITIONS:-4}"
    echo "group.initial.rebalance.delay.ms=0"
    echo "offsets.topic.replication.factor=1"
    echo "offsets.topic.num.partitions=4"
    echo "transaction.state.log.replication.factor=1"
    echo "transaction.state.log.min.isr=1"
    echo "transaction.state.log.num.partitions=4"
    echo "share.coordinator.state.topic.replication.factor=1"
    echo "share.coordinator.state.topic.min.isr=1"
    echo "share.coordinator.state.topic.num.partitions=4"
    [[ -z ${KAFKA_EXTRA:-} ]] || tr ' ' '\n' <<<"$KAFKA_EXTRA"
  } >"$folder/server.properties"
  printf '%s\n' "KAFKA_BOOTSTRAP=127.0.0.1:$client" "KAFKA_CONTROLLER_PORT=$controller" >"$folder/env"
  # a cluster id is 16 bytes in URL-safe base64; the "W" prevents a leading "-", which would be parsed as an option
  CLASSPATH=$CP "$JAVA" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format \
    -t "W$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)" -c "$folder/server.properties" \
    >"$folder/log/format.log" 2>&1 || { cat "$folder/log/format.log" >&2; die "formatting Kafka's storage failed"; }
}

kafka_start() {
  local bootstrap
  [[ -z $(pid_of kafka broker) ]] || return 0
  bootstrap=$(setting kafka KAFKA_BOOTSTRAP)
  need_port kafka broker "${bootstrap##*:}"
  need_port kafka broker "$(setting kafka KAFKA_CONTROLLER_PORT)"
  launch kafka broker "$CP" "-Xms${KAFKA_HEAP:-512m} -Xmx${KAFKA_HEAP:-512m} -XX:+UseG1GC" \
    -Dorg.slf4j.simpleLogger.showDateTime=true kafka.Kafka "$ROOT/kafka/server.properties"
  await kafka broker "Kafka Server started" grep -q "Kafka Server started" "$ROOT/kafka/log/broker.log"
}

kafka_start_role() { kafka_start; }

records() { # TOPIC
  [[ -f $ROOT/kafka/env ]] || die "kafka is not up in $ROOT"
  classpath kafka
  compiled kafka Records
  exec "$JAVA" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$CLASSES:$CP" Records "$(setting kafka KAFKA_BOOTSTRAP)" "$@"
}
