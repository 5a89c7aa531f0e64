# shellcheck shell=bash
# Apache HDFS: one namenode and HDFS_DATANODES datanodes, each its own process. Sourced by ../services.

hdfs_roles() { # prints the roles in the order of their start; before the configuration, only the namenode
  local i nodes
  nodes=$(setting hdfs HDFS_NODES)
  echo namenode
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

hdfs_configure() {
  local folder=$ROOT/hdfs rpc http nodes=${HDFS_DATANODES:-1} i extra
  read -ra extra <<<"${HDFS_EXTRA:-}"
  # the jars lack the web pages that the daemons look for on the classpath; empty folders are enough
  mkdir -p "$folder/conf/webapps/hdfs" "$folder/conf/webapps/datanode" "$folder/log" "$folder/data"
  pick_port "${HDFS_PORT:-}"; rpc=$PORT
  pick_port; http=$PORT
  {
    echo "HDFS_URL=hdfs://127.0.0.1:$rpc"
    echo "HDFS_HTTP=http://127.0.0.1:$http"
    echo "HADOOP_CONF_DIR=$folder/conf"
    echo "HDFS_NODES=$nodes"
    for ((i = 1; i <= nodes; i++)); do
      pick_port; echo "DATANODE${i}_PORT=$PORT"
      pick_port; echo "DATANODE${i}_HTTP=$PORT"
      pick_port; echo "DATANODE${i}_IPC=$PORT"
    done
  } >"$folder/env"
  # a datanode counts as dead after about 20 s (Hadoop's default is 10.5 min); both files get all settings, because
  # hdfs-default.xml (in the jar) is read after core-site.xml and would override dfs.* in it
  hdfs_site "$folder/conf/hdfs-site.xml" "fs.defaultFS=hdfs://127.0.0.1:$rpc" "hadoop.tmp.dir=$folder/data/tmp" \
    "dfs.namenode.rpc-address=127.0.0.1:$rpc" "dfs.namenode.http-address=127.0.0.1:$http" \
    "dfs.namenode.name.dir=file://$folder/data/name" "dfs.replication=$((nodes < 3 ? nodes : 3))" \
    dfs.namenode.safemode.extension=0 dfs.heartbeat.interval=1 dfs.namenode.heartbeat.recheck-interval=5000 \
    dfs.namenode.stale.datanode.interval=10000 "${extra[@]}"
  cp "$folder/conf/hdfs-site.xml" "$folder/conf/core-site.xml"
  cp "$HERE/hdfs/log4j.properties" "$folder/conf/"
  CLASSPATH=$folder/conf:$CP "$JAVA" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive -force >"$folder/log/format.log" 2>&1 ||
    { tail -n 25 "$folder/log/format.log" >&2; die "formatting the namenode failed (log: $folder/log/format.log)"; }
}

hdfs_launch_namenode() {
  local folder=$ROOT/hdfs url http
  [[ -z $(pid_of hdfs namenode) ]] || return 0
  url=$(setting hdfs HDFS_URL)
  http=$(setting hdfs HDFS_HTTP)
  need_port hdfs namenode "${url##*:}"
  need_port hdfs namenode "${http##*:}"
  launch hdfs namenode "$folder/conf:$CP" "-Xmx${HDFS_HEAP:-256m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1" \
    org.apache.hadoop.hdfs.server.namenode.NameNode
}

hdfs_launch_datanode() { # NUMBER
  local folder=$ROOT/hdfs data http ipc
  [[ -z $(pid_of hdfs "datanode$1") ]] || return 0
  data=$(setting hdfs "DATANODE${1}_PORT")
  http=$(setting hdfs "DATANODE${1}_HTTP")
  ipc=$(setting hdfs "DATANODE${1}_IPC")
  need_port hdfs "datanode$1" "$data"
  need_port hdfs "datanode$1" "$http"
  need_port hdfs "datanode$1" "$ipc"
  launch hdfs "datanode$1" "$folder/conf:$CP" "-Xmx${HDFS_HEAP:-256m} -XX:+UseG1GC" \
    org.apache.hadoop.hdfs.server.datanode.DataNode "-Ddfs.datanode.data.dir=file://$folder/data/datanode$1" \
    "-Ddfs.datanode.address=127.0.0.1:$data" "-Ddfs.datanode.http.address=127.0.0.1:$http" \
    "-Ddfs.datanode.ipc.address=127.0.0.1:$ipc"
}

hdfs_out_of_safemode() {
  curl -fsS "$(setting hdfs HDFS_HTTP)/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState" |
    grep -q '"FSState" : "Operational"'
}

hdfs_await() { # ROLE
  case $1 in
    namenode) await hdfs namenode "RPC up" grep -q "NameNode RPC up at" "$ROOT/hdfs/log/namenode.log" ;;
    # this process has reported its storage to the namenode
    *) await hdfs "$1" "block report" grep -q "Successfully sent block report" "$ROOT/hdfs/log/$1.log" ;;
  esac
}

hdfs_start() {
  local role
  need curl curl
  for role in $(hdfs_roles); do hdfs_launch "$role"; done
  for role in $(hdfs_roles); do hdfs_await "$role"; done
  await hdfs namenode "out of safe mode" hdfs_out_of_safemode
}

hdfs_launch() { # ROLE
  case $1 in
    namenode) hdfs_launch_namenode ;;
    *) hdfs_launch_datanode "${1#datanode}" ;;
  esac
}

hdfs_start_role() { # ROLE
  hdfs_launch "$1"
  hdfs_await "$1"
}

# ---- Hadoop's own client, compiled once ----

dfs() { # VERB PATH...
  [[ -f $ROOT/hdfs/env ]] || die "hdfs is not up in $ROOT"
  classpath hdfs
  compiled hdfs Dfs
  exec "$JAVA" -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dweir.log.level=WARN \
    -cp "$ROOT/hdfs/conf:$CLASSES:$CP" Dfs "$@"
}
