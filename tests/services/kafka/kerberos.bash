# shellcheck shell=bash
# kafka_kerberos: one broker whose listeners KAFKA_GSSAPI and KAFKA_GSSAPI_TLS want Kerberos tickets, and a Kerberos server of its own.
# Sourced by ../services.

kafka_kerberos_roles() { printf '%s\n' kdc broker; }

kafka_kerberos_security() { # FOLDER: the settings of the listeners
  local name
  # The broker has no ticket of its own, so that it needs no Kerberos server.
  local login="com.sun.security.auth.module.Krb5LoginModule required isInitiator=false useKeyTab=true storeKey=true"
  login+=" keyTab=\"$1/keytabs/kafka.keytab\" principal=\"kafka/localhost@$REALM\";"
  for name in gssapi gssapitls; do
    echo "listener.name.$name.sasl.enabled.mechanisms=GSSAPI"
    echo "listener.name.$name.gssapi.sasl.jaas.config=$login"
    # A client has to log in again after this time, for which it needs a ticket.
    echo "listener.name.$name.gssapi.connections.max.reauth.ms=3000"
  done
  echo "sasl.kerberos.service.name=kafka"
  # The principal guest may do nothing.
  echo "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
  echo "super.users=User:ANONYMOUS;User:weir"
  echo "listener.name.gssapitls.ssl.keystore.type=PEM"
  echo "listener.name.gssapitls.ssl.keystore.location=$1/certificates/server.store.pem"
}

kafka_kerberos_configure() {
  local folder=$ROOT/kafka_kerberos client controller plain tls listeners advertised map
  need base64 coreutils
  mkdir -p "$folder/log"
  pick_port; client=$PORT
  pick_port; controller=$PORT
  pick_port; plain=$PORT
  pick_port; tls=$PORT
  printf '%s\n' "KAFKA_BOOTSTRAP=127.0.0.1:$client" "KAFKA_CONTROLLER_PORT=$controller" "KAFKA_GSSAPI=localhost:$plain" \
    "KAFKA_GSSAPI_TLS=localhost:$tls" "KAFKA_CERTIFICATES=$folder/certificates" >"$folder/env"
  kerberos_configure kafka_kerberos
  kafka_certificates "$folder/certificates" "$folder/log/certificates.log"
  listeners=PLAINTEXT://127.0.0.1:$client,GSSAPI://127.0.0.1:$plain,GSSAPITLS://127.0.0.1:$tls
  # The name is a part of the broker's principal.
  advertised=PLAINTEXT://127.0.0.1:$client,GSSAPI://localhost:$plain,GSSAPITLS://localhost:$tls
  map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GSSAPI:SASL_PLAINTEXT,GSSAPITLS:SASL_SSL
  {
    kafka_basics "$folder" "$controller" "$listeners" "$advertised" "$map"
    kafka_kerberos_security "$folder"
  } >"$folder/server.properties"
  kafka_format "$folder"
}

kafka_kerberos_start() {
  kafka_kerberos_start_role kdc # makes the keytabs
  kafka_kerberos_start_role broker
}

kafka_kerberos_start_role() { # ROLE
  local folder=$ROOT/kafka_kerberos bootstrap
  [[ -z $(pid_of kafka_kerberos "$1") ]] || return 0
  if [[ $1 == kdc ]]; then
    launch_kdc kafka_kerberos
    await_kdc kafka_kerberos
    return
  fi
  bootstrap=$(setting kafka_kerberos KAFKA_BOOTSTRAP)
  need_port kafka_kerberos broker "${bootstrap##*:}"
  launch kafka_kerberos broker "$CP" "-Xms${KAFKA_HEAP:-512m} -Xmx${KAFKA_HEAP:-512m} -XX:+UseG1GC $(kerberos_flag kafka_kerberos)" \
    -Dorg.slf4j.simpleLogger.showDateTime=true kafka.Kafka "$folder/server.properties"
  await kafka_kerberos broker "Kafka Server started" grep -q "Kafka Server started" "$folder/log/broker.log"
}
