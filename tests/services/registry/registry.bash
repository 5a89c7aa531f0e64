# shellcheck shell=bash
# Apicurio Registry with its schemas in memory: a schema registry with the interface of Confluent's. Sourced by ../services.

registry_roles() { echo registry; }

registry_configure() {
  mkdir -p "$ROOT/registry/log"
  pick_port "${REGISTRY_PORT:-}"
  {
    echo "REGISTRY_HTTP_PORT=$PORT"
    echo "REGISTRY_URL=http://127.0.0.1:$PORT/apis/ccompat/v7"
  } >"$ROOT/registry/env"
}

registry_start() {
  [[ -n $(pid_of registry registry) ]] || registry_start_role registry
}

registry_answers() ( # PORT: the list of subjects can be read; a subshell, which a refused connection ends
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET /apis/ccompat/v7/subjects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
  read -r -t 5 status <&3
  [[ $status == *" 200 "* ]]
)

registry_start_role() { # the archive is unpacked once
  local port folder runner
  port=$(setting registry REGISTRY_HTTP_PORT)
  need_port registry registry "$port"
  need tar tar
  folder=$CACHE/registry-$(sha256sum <<<"$CP" | cut -c1-16)
  (
    flock 8
    if [[ ! -d $folder ]]; then
      rm -rf "$folder.new"
      mkdir -p "$folder.new"
      tar -xzf "$CP" -C "$folder.new" || die "unpacking $CP failed"
      mv "$folder.new" "$folder"
    fi
  ) 8>"$CACHE/registry.lock" || exit 1
  runner=$(echo "$folder"/*-runner.jar)
  [[ -f $runner ]] || die "$CP has no program of the registry"
  launch registry registry "" "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=$port" \
    -jar "$runner"
  await registry registry "the registry answers" registry_answers "$port"
}
