#!/usr/bin/env bash
# Stand-ins for the base images, made from Debian's packages: for a machine that has a Docker engine and a Debian
# mirror but cannot pull. An image that is there already, pulled or made, is left alone.
#   sudo tests/compose/base_images.sh     needs: debootstrap, docker, root
# Each stand-in gets the tag that our files name, so that the Dockerfiles and docker-compose.yml are used as they are.
# Debian's versions differ from upstream's: the label org.reasonflux.stand-in says what is really inside.
set -euo pipefail
cd "$(dirname "$0")/../.."

MIRROR=${DEBIAN_MIRROR:-}
LABEL=org.reasonflux.stand-in
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf 'error: %s\n→ %s\n' "$1" "$2" >&2; exit 1; }
missing() { ! docker image inspect "$1" >/dev/null 2>&1; }
version() { chroot "$1" dpkg-query -W -f '${Version}' "$2"; }

# tag_of PATTERN: the one tag under which our files name an image.
tag_of() {
  grep -hoE "(FROM|image:) $1[^ ]*" deploy/Dockerfile docker-compose.yml | awk '{print $2}' | sort -u | head -n 1
}

# debian FOLDER PACKAGE…: the smallest Debian with these packages, without what an image does not need.
debian() {
  local root=$1; shift
  if [ ! -d "$work/plain" ]; then
    echo '• the smallest Debian'
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/plain" ${MIRROR:+"$MIRROR"} >"$work/log" 2>&1 ||
      { tail -n 5 "$work/log" >&2; fail "debootstrap failed" "set DEBIAN_MIRROR to a mirror that this machine reaches"; }
    printf '#!/bin/sh\nexit 101\n' >"$work/plain/usr/sbin/policy-rc.d"  # nothing is started in here
    chmod +x "$work/plain/usr/sbin/policy-rc.d"
  fi
  echo "• the same with $*"
  cp -a "$work/plain" "$root"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -qy --no-install-recommends "$@" >"$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; fail "apt-get could not install $*" "look at the lines above"; }
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/* "$root"/var/log/* \
    "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf
}

# as_image FOLDER TAG INSIDE CHANGE…: the folder becomes an image.
as_image() {
  local root=$1 tag=$2 inside=$3; shift 3
  local changes=(--change "LABEL $LABEL=\"$inside\"")
  local change; for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$root" --numeric-owner --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    docker import "${changes[@]}" - "$tag" >/dev/null
  rm -rf "$root"
  echo "  $tag is $inside"
}

# Python where upstream's image has it, and this machine's own way to its package index: certificates and pip settings.
# Folders of wheels on this machine are not reachable from a build: give PIP_FIND_LINKS_FOR_BUILDS a URL that is.
python_image() {
  local tag=$1 root=$work/python
  debian "$root" python3.11 python3.11-venv python3-pip
  rm -f "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
  local name; for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "$root/usr/local/bin/$name"; done
  ln -s /usr/bin/pip3 "$root/usr/local/bin/pip"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  pip_settings >"$root/etc/pip.conf"
  as_image "$root" "$tag" "Debian's python3.11 $(version "$root" python3.11)" \
    'CMD ["python3"]' 'ENV LANG=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt'
}

pip_settings() {
  echo '[global]'
  python3 -m pip config list |
    sed -n "s/^global\.\(index-url\|extra-index-url\|trusted-host\|timeout\)='\(.*\)'$/\1 = \2/p" | grep -v 'file:' || true
  [ -z "${PIP_FIND_LINKS_FOR_BUILDS:-}" ] || echo "find-links = $PIP_FIND_LINKS_FOR_BUILDS"
}

# The user and the group of upstream's image have the number 999.
redis_image() {
  local tag=$1 root=$work/redis
  debian "$root" redis-server
  chroot "$root" sh -c 'usermod -u 999 redis && groupmod -g 999 redis && mkdir -p /data && chown redis:redis /data'
  as_image "$root" "$tag" "Debian's redis-server $(version "$root" redis-server)" \
    'WORKDIR /data' 'VOLUME /data' 'CMD ["redis-server"]'
}

prometheus_image() {
  local tag=$1 root=$work/prometheus
  debian "$root" prometheus wget
  mkdir -p "$root/bin" "$root/prometheus"; chown 65534:65534 "$root/prometheus"
  as_image "$root" "$tag" "Debian's prometheus $(version "$root" prometheus)" \
    'ENTRYPOINT ["/usr/bin/prometheus"]' 'VOLUME /prometheus' 'WORKDIR /prometheus'
}

command -v docker >/dev/null || fail "docker is not installed" "Debian: apt install docker.io"
wanted=(python redis)
[ "${1:-}" != observability ] || wanted+=(prometheus)
declare -A named=([python]='python:' [redis]='redis:' [prometheus]='prom/prometheus:')
for name in "${wanted[@]}"; do
  tag=$(tag_of "${named[$name]}")
  if ! missing "$tag"; then echo "  $tag is there"; continue; fi
  [ "$(id -u)" = 0 ] || fail "debootstrap needs root" "run this with sudo"
  command -v debootstrap >/dev/null || fail "debootstrap is not installed" "Debian: apt install debootstrap"
  "${name}_image" "$tag"
done
