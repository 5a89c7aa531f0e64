# shellcheck shell=bash
# Apache Kafka: one broker that is its own controller (KRaft), plaintext. Sourced by ../services.

kafka_roles() { echo broker; }

# The listeners beside PLAINTEXT: the name, its protocol, and the key of its address in the env file. MTLS wants a certificate of
# the client, and the certificate of EXPIRED has expired.
KAFKA_SECURE=(
  "TLS SSL KAFKA_TLS" "MTLS SSL KAFKA_MTLS" "EXPIRED SSL KAFKA_EXPIRED"
  "SASL SASL_PLAINTEXT KAFKA_SASL" "SASLTLS SASL_SSL KAFKA_SASL_TLS"
  "OAUTH SASL_PLAINTEXT KAFKA_OAUTH" "OAUTHTLS SASL_SSL KAFKA_OAUTH_TLS"
)
KAFKA_PASSWORD=open-sesame # of the user weir, by PLAIN and SCRAM

kafka_certificates() { # FOLDER LOG: an authority, and another one that nobody knows; the server's and the client's certificates
  local name
  need openssl openssl
  mkdir -p "$1"
  (
    cd "$1"
    for name in ca other-ca; do
      openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$name" -keyout "$name.key" -out "$name.pem"
    done
    for name in server expired client; do
      openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
      openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$name.pem" \
        -days "$([[ $name == expired ]] && echo -1 || echo 3650)" \
        -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
      cat "$name.key" "$name.pem" >"$name.store.pem"
    done
  ) >"$2" 2>&1 || { cat "$2" >&2; die "making certificates failed"; }
}

base64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

kafka_token_key() { # FOLDER: the key that signs tokens, and its public part as the brokers read it (RFC 7517)
  local modulus
  (
    cd "$1"
    openssl genrsa -out token.key 2048
    modulus=$(openssl rsa -in token.key -noout -modulus | sed 's/^Modulus=//; s/../\\x&/g')
    printf '{"keys":[{"kty":"RSA","kid":"weir","alg":"RS256","use":"sig","n":"%s","e":"AQAB"}]}\n' \
      "$(printf '%b' "$modulus" | base64url)" >token-keys.json
  ) >"$ROOT/kafka/log/token-key.log" 2>&1 || { cat "$ROOT/kafka/log/token-key.log" >&2; die "making the key of tokens failed"; }
}

token() { # SECONDS [AUDIENCE]: a token of the user weir that expires in so many seconds, or has expired before
  local now head body
  [[ -f $ROOT/kafka/env ]] || die "kafka is not up in $ROOT"
  now=$(date +%s)
  head=$(printf '{"alg":"RS256","kid":"weir"}' | base64url)
  body=$(printf '{"iss":"weir-tests","sub":"weir","aud":"%s","iat":%d,"exp":%d}' "${2:-kafka}" "$((now - 60))" "$((now + $1))" | base64url)
  printf '%s.%s.%s\n' "$head" "$body" \
    "$(printf '%s' "$head.$body" | openssl dgst -sha256 -sign "$ROOT/kafka/certificates/token.key" | base64url)"
}

kafka_security() { # CERTIFICATES: the settings of the secure listeners
  local plain=org.apache.kafka.common.security.plain.PlainLoginModule name
  local scram=org.apache.kafka.common.security.scram.ScramLoginModule
  local oauth=org.apache.kafka.common.security.oauthbearer
  for name in tls mtls saslTls oauthTls expired; do
    echo "listener.name.${name,,}.ssl.keystore.type=PEM"
    echo "listener.name.${name,,}.ssl.keystore.location=$1/$([[ $name == expired ]] && echo expired || echo server).store.pem"
  done
  echo "listener.name.mtls.ssl.client.auth=required"
  echo "listener.name.mtls.ssl.truststore.type=PEM"
  echo "listener.name.mtls.ssl.truststore.location=$1/ca.pem"
  for name in sasl sasltls; do
    echo "listener.name.$name.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
    echo "listener.name.$name.plain.sasl.jaas.config=$plain required user_weir=\"$KAFKA_PASSWORD\";"
    echo "listener.name.$name.scram-sha-256.sasl.jaas.config=$scram required;"
    echo "listener.name.$name.scram-sha-512.sasl.jaas.config=$scram required;"
  done
  for name in oauth oauthtls; do
    echo "listener.name.$name.sasl.enabled.mechanisms=OAUTHBEARER"
    echo "listener.name.$name.oauthbearer.sasl.jaas.config=$oauth.OAuthBearerLoginModule required;"
    echo "listener.name.$name.oauthbearer.sasl.server.callback.handler.class=$oauth.OAuthBearerValidatorCallbackHandler"
    echo "listener.name.$name.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://$1/token-keys.json"
    echo "listener.name.$name.oauthbearer.sasl.oauthbearer.expected.audience=kafka"
    echo "listener.name.$name.oauthbearer.sasl.oauthbearer.expected.issuer=weir-tests"
    echo "listener.name.$name.oauthbearer.sasl.oauthbearer.clock.skew.seconds=0"
    # A client has to show a token again before the last one has expired.
    echo "listener.name.$name.oauthbearer.connections.max.reauth.ms=600000"
  done
}

kafka_configure() {
  local folder=$ROOT/kafka client controller listeners advertised map secure=() line name protocol key behind
  need base64 coreutils
  mkdir -p "$folder/log"
  kafka_certificates "$folder/certificates" "$folder/log/certificates.log"
  kafka_token_key "$folder/certificates"
  pick_port "${KAFKA_PORT:-}"; client=$PORT
  pick_port; controller=$PORT
  listeners=PLAINTEXT://127.0.0.1:$client map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
  for line in "${KAFKA_SECURE[@]}"; do
    read -r name protocol key <<<"$line"
    pick_port
    listeners+=,$name://127.0.0.1:$PORT map+=,$name:$protocol
    secure+=("$key=127.0.0.1:$PORT")
  done
  # Clients of this listener are told another port, where a test forwards their connections, or does not.
  pick_port; behind=$PORT
  pick_port
  advertised=$listeners,PROXIED://127.0.0.1:$PORT
  listeners+=,PROXIED://127.0.0.1:$behind map+=,PROXIED:PLAINTEXT
  secure+=("KAFKA_PROXIED=127.0.0.1:$PORT" "KAFKA_BEHIND=127.0.0.1:$behind")
  {
    kafka_basics "$folder" "$controller" "$listeners" "$advertised" "$map"
    kafka_security "$folder/certificates"
    echo "group.consumer.min.session.timeout.ms=6000"
    echo "group.consumer.session.timeout.ms=6000"
    echo "group.consumer.min.heartbeat.interval.ms=1000"
    echo "group.consumer.heartbeat.interval.ms=1000"
    [[ -z ${KAFKA_EXTRA:-} ]] || tr ' ' '\n' <<<"$KAFKA_EXTRA"
  } >"$folder/server.properties"
  printf '%s\n' "KAFKA_BOOTSTRAP=127.0.0.1:$client" "KAFKA_CONTROLLER_PORT=$controller" "${secure[@]}" \
    "KAFKA_CERTIFICATES=$folder/certificates" "KAFKA_PASSWORD=$KAFKA_PASSWORD" >"$folder/env"
  kafka_format "$folder" --add-scram "SCRAM-SHA-256=[name=weir,password=$KAFKA_PASSWORD]" \
    --add-scram "SCRAM-SHA-512=[name=weir,password=$KAFKA_PASSWORD]"
}

kafka_basics() { # FOLDER CONTROLLER_PORT LISTENERS ADVERTISED PROTOCOLS: the settings of a broker that is its own controller
  echo "process.roles=broker,controller"
  echo "node.id=1"
  echo "controller.quorum.voters=1@127.0.0.1:$2"
  echo "controller.listener.names=CONTROLLER"
  echo "listeners=$3,CONTROLLER://127.0.0.1:$2"
  echo "advertised.listeners=$4"
  echo "listener.security.protocol.map=$5"
  echo "inter.broker.listener.name=PLAINTEXT"
  echo "log.dirs=$1/data/broker"
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
}

kafka_format() { # FOLDER ARGUMENTS...: makes the storage of a broker
  local folder=$1
  shift
  # a cluster id is 16 bytes in URL-safe base64; the "W" prevents a leading "-", which would be parsed as an option
  CLASSPATH=$CP "$JAVA" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format \
    -t "W$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)" -c "$folder/server.properties" "$@" \
    >"$folder/log/format.log" 2>&1 || { cat "$folder/log/format.log" >&2; die "formatting Kafka's storage failed"; }
}

kafka_start() {
  local bootstrap
  [[ -z $(pid_of kafka broker) ]] || return 0
  bootstrap=$(setting kafka KAFKA_BOOTSTRAP)
  need_port kafka broker "${bootstrap##*:}"
  need_port kafka broker "$(setting kafka KAFKA_CONTROLLER_PORT)"
  launch kafka broker "$CP" "-Xms${KAFKA_HEAP:-512m} -Xmx${KAFKA_HEAP:-512m} -XX:+UseG1GC" \
    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$ROOT/kafka/certificates/token-keys.json" \
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
