#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests; needs root, but no systemd.
#
#   slurm.sh install     from the distribution's packages (Debian, Ubuntu)
#   slurm.sh start DIR   configuration, state and logs in DIR; then export SLURM_CONF=DIR/slurm.conf
#   slurm.sh stop DIR
set -euo pipefail

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
}

start() {
  local dir=$1 host
  host=$(hostname -s)
  mkdir -p "$dir/state" "$dir/spool"
  cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthInfo=cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
JobRequeue=1
KillWait=5
MpiDefault=none
ProctrackType=proctrack/pgid
ReturnToService=2
SlurmctldLogFile=$dir/slurmctld.log
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdLogFile=$dir/slurmd.log
SlurmdParameters=config_overrides
SlurmdPidFile=$dir/slurmd.pid
SlurmdSpoolDir=$dir/spool
StateSaveLocation=$dir/state
TaskPlugin=task/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF="$dir/slurm.conf"
  if ! munge -n >/dev/null 2>&1; then
    install -d -o munge -g munge -m 0755 /run/munge
    runuser -u munge -- munged --pid-file="/run/munge/test.pid"
  fi
  slurmctld
  slurmd
  for _ in $(seq 60); do
    if [[ $(sinfo -h -o %T 2>/dev/null) == idle ]]; then
      return
    fi
    sleep 1
  done
  echo "the node did not come up; see $dir/*.log" >&2
  return 1
}

stop() {
  local dir=$1 name
  for name in slurmd slurmctld; do
    if [[ -s "$dir/$name.pid" ]]; then
      kill "$(cat "$dir/$name.pid")" || true
    fi
  done
  if [[ -s /run/munge/test.pid ]]; then
    kill "$(cat /run/munge/test.pid)" || true
  fi
}

case "${1:-}" in
  install) install_packages ;;
  start) start "$2" ;;
  stop) stop "$2" ;;
  *)
    sed -n '2,6p' "$0" >&2
    exit 2
    ;;
esac
