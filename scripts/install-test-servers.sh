#!/usr/bin/env bash
# Installs the servers that tests start and that no package manager of ours brings. Says what it does; nothing where all is there.
set -uo pipefail

missing=()
command -v prometheus >/dev/null || missing+=(prometheus)
command -v nats-server >/dev/null || [ -x /usr/sbin/nats-server ] || missing+=(nats-server)
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)

if [ "${#missing[@]}" -eq 0 ]; then
  echo 'test servers: all are installed'
  exit 0
fi
echo "test servers: installing ${missing[*]}"
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo -n)
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  { echo "test servers: ${missing[*]} could not be installed; under CI their tests fail"; exit 1; }
