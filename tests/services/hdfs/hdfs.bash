# shellcheck shell=bash
# Apache HDFS, each process its own. Sourced by ../services. Three services, which differ in their roles and settings:
#   hdfs           one namenode and HDFS_DATANODES datanodes
#   hdfs_kerberos  the same with Kerberos, and with a Kerberos server of its own
#   hdfs_ha        a name service of two namenodes with a shared directory of edits, and three datanodes or more

hdfs_roles() { cluster_roles hdfs; }
hdfs_configure() { cluster_configure hdfs; }
hdfs_start() { cluster_start hdfs; }
hdfs_start_role() { cluster_start_role hdfs "$1"; }

hdfs_kerberos_roles() { cluster_roles hdfs_kerberos; }
hdfs_kerberos_configure() { cluster_configure hdfs_kerberos; }
hdfs_kerberos_start() { cluster_start hdfs_kerberos; }
hdfs_kerberos_start_role() { cluster_start_role hdfs_kerberos "$1"; }

hdfs_ha_roles() { cluster_roles hdfs_ha; }
hdfs_ha_configure() { cluster_configure hdfs_ha; }
hdfs_ha_start() { cluster_start hdfs_ha; }
hdfs_ha_start_role() { cluster_start_role hdfs_ha "$1"; }

namenodes() { # NAME -> the roles of its namenodes
  case $1 in
    hdfs_ha) echo namenode1 namenode2 ;;
    *) echo namenode ;;
  esac
}

cluster_roles() { # NAME: prints the roles in the order of their start; before the configuration, without the datanodes
  local i nodes
  nodes=$(setting "$1" HDFS_NODES)
  [[ $1 != hdfs_kerberos ]] || echo kdc
  namenodes "$1" | tr ' ' '\n'
  for ((i = 1; i <= ${nodes:-0}; i++)); do echo "datanode$i"; done
}

hdfs_site() { # FILE KEY=VALUE...
  local file=$1 entry
  shift
  {
    echo '<?xml version="1.0"?>'
    echo '<configuration>'
    for entry in "$@"; do
      printf '  <property><name>%s</name><value>%s</value></property>\n' "${entry%%=*}" "${entry#*=}"
    done
    echo '</configuration>'
  } >"$file"
}

cluster_ports() { # NAME NODES: prints the lines of the env file with the ports
  local role i
  for role in $(namenodes "$1"); do
    if [[ $role == namenode ]]; then pick_port "${HDFS_PORT:-}"; else pick_port; fi
    echo "${role^^}_PORT=$PORT"
    pick_port; echo "${role^^}_HTTP=$PORT"
  done
  for ((i = 1; i <= $2; i++)); do
    pick_port; echo "DATANODE${i}_PORT=$PORT"
    pick_port; echo "DATANODE${i}_HTTP=$PORT"
    pick_port; echo "DATANODE${i}_IPC=$PORT"
  done
}

cluster_configure() { # NAME
  local name=$1 folder=$ROOT/$1 nodes=${HDFS_DATANODES:-1} extra own=() url
  read -ra extra <<<"${HDFS_EXTRA:-}"
  [[ $name != hdfs_ha ]] || nodes=${HDFS_DATANODES:-3}
  # the jars lack the web pages that the daemons look for on the classpath; empty folders are enough
  mkdir -p "$folder/conf/webapps/hdfs" "$folder/conf/webapps/datanode" "$folder/log" "$folder/data"
  cluster_ports "$name" "$nodes" >"$folder/env"
  url=hdfs://127.0.0.1:$(setting "$name" NAMENODE_PORT)
  [[ $name != hdfs_ha ]] || url=hdfs://weir
  {
    echo "HDFS_URL=$url"
    echo "HADOOP_CONF_DIR=$folder/conf"
    echo "HDFS_NODES=$nodes"
  } >>"$folder/env"
  case $name in
    hdfs_kerberos) kerberos_configure hdfs_kerberos; mapfile -t own < <(kerberos_settings) ;;
    hdfs_ha) mapfile -t own < <(ha_settings) ;;
    *) mapfile -t own < <(single_settings "$name") ;;
  esac
  # a datanode counts as dead after about 20 s (Hadoop's default is 10.5 min); both files get all settings, because
  # hdfs-default.xml (in the jar) is read after core-site.xml and would override dfs.* in it
  hdfs_site "$folder/conf/hdfs-site.xml" "fs.defaultFS=$url" "hadoop.tmp.dir=$folder/data/tmp" \
    "dfs.replication=$((nodes < 3 ? nodes : 3))" \
    dfs.namenode.safemode.extension=0 dfs.heartbeat.interval=1 dfs.namenode.heartbeat.recheck-interval=5000 \
    dfs.namenode.stale.datanode.interval=10000 "${own[@]}" "${extra[@]}"
  cp "$folder/conf/hdfs-site.xml" "$folder/conf/core-site.xml"
  cp "$HERE/hdfs/log4j.properties" "$folder/conf/"
  cluster_format "$name"
}

cluster_format() { # NAME
  local folder=$ROOT/$1 own=() flags
  mapfile -t flags < <(kerberos_flag "$1")
  [[ $1 != hdfs_ha ]] || own=(-Ddfs.ha.namenode.id=namenode1)
  [[ $1 != hdfs_kerberos ]] || cluster_start_role "$1" kdc
  CLASSPATH=$folder/conf:$CP "$JAVA" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "${flags[@]}" \
    org.apache.hadoop.hdfs.server.namenode.NameNode "${own[@]}" -format -nonInteractive -force \
    >"$folder/log/format.log" 2>&1 ||
    { tail -n 25 "$folder/log/format.log" >&2; die "formatting the namenode failed (log: $folder/log/format.log)"; }
  [[ $1 != hdfs_ha ]] || cp -r "$folder/data/namenode1" "$folder/data/namenode2"
}

single_settings() { # NAME
  local name=$1
  echo "dfs.namenode.rpc-address=127.0.0.1:$(setting "$name" NAMENODE_PORT)"
  echo "dfs.namenode.http-address=127.0.0.1:$(setting "$name" NAMENODE_HTTP)"
  echo "dfs.namenode.name.dir=file://$ROOT/$name/data/name"
}

# ---- two namenodes ----

ha_settings() {
  local role
  printf '%s\n' dfs.nameservices=weir dfs.ha.namenodes.weir=namenode1,namenode2 \
    "dfs.namenode.shared.edits.dir=file://$ROOT/hdfs_ha/data/shared" "dfs.ha.fencing.methods=shell(/bin/true)" \
    dfs.client.failover.proxy.provider.weir=org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider \
    dfs.ha.tail-edits.period=1
  for role in $(namenodes hdfs_ha); do
    echo "dfs.namenode.rpc-address.weir.$role=127.0.0.1:$(setting hdfs_ha "${role^^}_PORT")"
    echo "dfs.namenode.http-address.weir.$role=127.0.0.1:$(setting hdfs_ha "${role^^}_HTTP")"
    echo "dfs.namenode.name.dir.weir.$role=file://$ROOT/hdfs_ha/data/$role"
  done
}

haadmin() { # ARGUMENTS...
  [[ -f $ROOT/hdfs_ha/env ]] || die "hdfs_ha is not up in $ROOT"
  classpath hdfs
  "$JAVA" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dweir.log.level=WARN -cp "$ROOT/hdfs_ha/conf:$CP" \
    org.apache.hadoop.hdfs.tools.DFSHAAdmin "$@"
}

ha_is_active() { # ROLE
  curl -fsS "http://127.0.0.1:$(setting hdfs_ha "${1^^}_HTTP")/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus" |
    grep -q '"State" : "active"'
}

ha_activate() { # makes the first namenode active, unless one is
  local role
  for role in $(namenodes hdfs_ha); do ! ha_is_active "$role" || return 0; done
  haadmin -transitionToActive namenode1 >&2
}

# ---- Kerberos ----

kerberos_settings() {
  local keytabs daemon
  keytabs=$(setting hdfs_kerberos KEYTABS)
  single_settings hdfs_kerberos
  # the ports are free ones, and the web pages have no certificates
  printf '%s\n' hadoop.security.authentication=kerberos hadoop.rpc.protection=privacy \
    dfs.block.access.token.enable=true dfs.data.transfer.protection=privacy \
    dfs.encrypt.data.transfer.cipher.suites=AES/CTR/NoPadding ignore.secure.ports.for.testing=true
  for daemon in namenode datanode; do
    echo "dfs.$daemon.kerberos.principal=hdfs/localhost@$REALM"
    echo "dfs.$daemon.keytab.file=$keytabs/hdfs.keytab"
  done
}

# ---- processes ----

launch_namenode() { # NAME ROLE
  local name=$1 role=$2 port http id=()
  port=$(setting "$name" "${role^^}_PORT")
  http=$(setting "$name" "${role^^}_HTTP")
  need_port "$name" "$role" "$port"
  need_port "$name" "$role" "$http"
  [[ $name != hdfs_ha ]] || id=("-Ddfs.ha.namenode.id=$role")
  launch "$name" "$role" "$ROOT/$name/conf:$CP" \
    "-Xmx${HDFS_HEAP:-256m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 $(kerberos_flag "$name")" \
    org.apache.hadoop.hdfs.server.namenode.NameNode "${id[@]}"
}

launch_datanode() { # NAME NUMBER
  local folder=$ROOT/$1 name=$1 role=datanode$2 data http ipc
  data=$(setting "$name" "DATANODE${2}_PORT")
  http=$(setting "$name" "DATANODE${2}_HTTP")
  ipc=$(setting "$name" "DATANODE${2}_IPC")
  need_port "$name" "$role" "$data"
  need_port "$name" "$role" "$http"
  need_port "$name" "$role" "$ipc"
  launch "$name" "$role" "$folder/conf:$CP" "-Xmx${HDFS_HEAP:-256m} -XX:+UseG1GC $(kerberos_flag "$name")" \
    org.apache.hadoop.hdfs.server.datanode.DataNode "-Ddfs.datanode.data.dir=file://$folder/data/$role" \
    "-Ddfs.datanode.address=127.0.0.1:$data" "-Ddfs.datanode.http.address=127.0.0.1:$http" \
    "-Ddfs.datanode.ipc.address=127.0.0.1:$ipc"
}

cluster_launch() { # NAME ROLE
  [[ -z $(pid_of "$1" "$2") ]] || return 0
  case $2 in
    kdc) launch_kdc "$1" ;;
    namenode*) launch_namenode "$1" "$2" ;;
    *) launch_datanode "$1" "${2#datanode}" ;;
  esac
}

out_of_safemode() { # NAME ROLE
  curl -fsS "http://127.0.0.1:$(setting "$1" "${2^^}_HTTP")/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState" |
    grep -q '"FSState" : "Operational"'
}

cluster_await() { # NAME ROLE
  case $2 in
    kdc) await_kdc "$1" ;;
    namenode*) await "$1" "$2" "RPC up" grep -q "NameNode RPC up at" "$ROOT/$1/log/$2.log" ;;
    # this process has reported its storage to a namenode
    *) await "$1" "$2" "block report" grep -q "Successfully sent block report" "$ROOT/$1/log/$2.log" ;;
  esac
}

cluster_start() { # NAME
  local role
  need curl curl
  [[ $1 != hdfs_kerberos ]] || cluster_start_role "$1" kdc # the daemons ask for tickets when they start
  for role in $(cluster_roles "$1"); do cluster_launch "$1" "$role"; done
  for role in $(cluster_roles "$1"); do cluster_await "$1" "$role"; done
  [[ $1 != hdfs_ha ]] || ha_activate
  for role in $(namenodes "$1"); do await "$1" "$role" "out of safe mode" out_of_safemode "$1" "$role"; done
}

cluster_start_role() { # NAME ROLE
  cluster_launch "$1" "$2"
  cluster_await "$1" "$2"
}

# ---- Hadoop's own client, compiled once ----

dfs() { # [--of NAME] VERB PATH...
  local name=hdfs flags
  if [[ $1 == --of ]]; then
    name=$2
    shift 2
  fi
  [[ -f $ROOT/$name/env ]] || die "$name is not up in $ROOT"
  classpath hdfs
  compiled hdfs Dfs
  mapfile -t flags < <(kerberos_flag "$name")
  exec "$JAVA" -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dweir.log.level=WARN "${flags[@]}" \
    -cp "$ROOT/$name/conf:$CLASSES:$CP" Dfs "$@"
}
