# shellcheck shell=bash
# The Kerberos server of a service (Apache Kerby, which Hadoop's MiniKdc is made of, with the jars of hdfs). Sourced by ../services.

REALM=WEIR.TEST

kerberos_configure() { # NAME: writes the settings of the Kerberos server and its clients
  local folder=$ROOT/$1
  pick_port
  {
    echo "KDC_PORT=$PORT"
    echo "KRB5_CONFIG=$folder/krb5.conf"
    echo "PRINCIPAL=weir@$REALM"
    echo "KEYTABS=$folder/keytabs"
  } >>"$folder/env"
  cat >"$folder/krb5.conf" <<CONF
[libdefaults]
  default_realm = $REALM
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  $REALM = {
    kdc = 127.0.0.1:$PORT
  }
CONF
}

kerberos_flag() { # NAME -> the flag of a JVM that tells it where the Kerberos server is
  [[ $1 != *_kerberos ]] || echo "-Djava.security.krb5.conf=$ROOT/$1/krb5.conf"
}

launch_kdc() { # NAME
  local folder=$ROOT/$1 port CP
  port=$(setting "$1" KDC_PORT)
  need_port "$1" kdc "$port"
  classpath hdfs
  compiled hdfs Kdc
  launch "$1" kdc "$HERE/hdfs:$CLASSES:$CP" "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1" \
    Kdc "$folder" "$port" "$REALM" "${KDC_TICKET_SECONDS:-86400}"
}

await_kdc() { # NAME
  await "$1" kdc "tickets" grep -q "^ready" "$ROOT/$1/log/kdc.log"
}
