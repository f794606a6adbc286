#!/bin/bash
# A TPU VM slice, all its workers at once, by gcloud.
#
#   launch/tpu/pod.sh create NAME v5litepod-256      # as a queued resource, on spot machines; waits until it is there
#   launch/tpu/pod.sh setup NAME                     # this checkout's last commit onto all workers, and what it needs
#   launch/tpu/pod.sh train NAME --config configs/sdit.py:xl --config.autoencoder=/gcs/autoencoder ...
#   launch/tpu/pod.sh keep NAME v5litepod-256 --config ...   # the three of them, again after each preemption
#   launch/tpu/pod.sh run NAME COMMAND               # anything else on all workers, such as: tail -n 3 ~/train.log
#   launch/tpu/pod.sh stop NAME                      # lets the training save and end
#   launch/tpu/pod.sh delete NAME
#
# $ZONE (us-west4-a), $VERSION (of the TPU software), $BUCKET (mounted at /gcs if set) and $PROJECT (gcloud's own
# default) say where and how. All workers must see the run directory: give one below /gcs.
set -euo pipefail

ZONE=${ZONE:-us-west4-a}
VERSION=${VERSION:-v2-alpha-tpuv5-lite}
STOPPED=75 # exit code of a training that saved and is to be run again
WAIT=30    # seconds between two looks at what Google is doing
FOLDER=adiff_jax

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
  exit 2
}

cloud() {
  gcloud --quiet compute tpus "$@" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"}
}

# on_all NAME COMMAND: on all workers at once; fails if it fails on one of them.
on_all() {
  cloud tpu-vm ssh "$1" --worker=all --command="$2"
}

state() {
  cloud queued-resources describe "$1" --format='value(state.state)' 2>/dev/null || echo ABSENT
}

create() {
  local name=$1 type=$2
  case $(state "$name") in
    ABSENT) ;;
    ACTIVE) return ;;
    *) delete "$name" ;; # what was preempted or refused stays in the list until it is deleted
  esac
  cloud queued-resources create "$name" --node-id="$name" --accelerator-type="$type" --runtime-version="$VERSION" --spot
  until [[ $(state "$name") == ACTIVE ]]; do
    case $(state "$name") in
      FAILED | SUSPENDED) echo "Google refused $name: see gcloud compute tpus queued-resources describe" >&2 && return 1 ;;
    esac
    sleep "$WAIT"
  done
}

setup() {
  local name=$1 archive
  archive=$(mktemp --suffix=.tar.gz)
  git archive --format=tar.gz --output="$archive" HEAD
  cloud tpu-vm scp "$archive" "$name:/tmp/$FOLDER.tar.gz" --worker=all
  rm "$archive"
  on_all "$name" "set -e
    rm -rf $FOLDER && mkdir $FOLDER && tar -xzf /tmp/$FOLDER.tar.gz -C $FOLDER && cd $FOLDER
    command -v uv >/dev/null || python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --allow-existing --python 3.12 ../venv
    python3 -m uv pip install --quiet --python ../venv/bin/python -c constraints.txt -e '.[tpu,gcs]'
    sudo apt-get install -qq -y libgl1 libglib2.0-0 libxcb1"
  if [[ -n ${BUCKET:-} ]]; then
    on_all "$name" "set -e
      mountpoint -q /gcs && exit 0
      command -v gcsfuse >/dev/null || { echo 'install gcsfuse in the image, or leave BUCKET empty' >&2; exit 1; }
      sudo mkdir -p /gcs && sudo chown \"\$USER\" /gcs && gcsfuse --implicit-dirs --rename-dir-limit=100000 '$BUCKET' /gcs"
  fi
}

# One command on every worker; the workers find each other. The log of each is ~/train.log.
train() {
  local name=$1 arguments
  shift
  arguments=$(printf '%q ' "$@")
  on_all "$name" "set -o pipefail; cd $FOLDER && ../venv/bin/python -m adiff_jax.train $arguments 2>&1 | tee -a ~/train.log"
}

# Trains to the end, whatever happens to the machines.
keep() {
  local name=$1 type=$2 code
  shift 2
  while true; do
    create "$name" "$type"
    code=0
    { "$0" setup "$name" && "$0" train "$name" "$@"; } || code=$?
    if [[ $code -eq 0 ]]; then
      break
    elif [[ $code -ne $STOPPED && $(state "$name") == ACTIVE ]]; then
      echo "failed with exit code $code, and the machines are there: not tried again" >&2
      return "$code"
    fi
    echo "stopped or preempted: again in $WAIT s" >&2
    sleep "$WAIT"
  done
}

delete() {
  cloud queued-resources delete "$1" --force
}

[[ $# -ge 2 ]] || usage
verb=$1
shift
case $verb in
  create | keep) [[ $# -ge 2 ]] || usage && "$verb" "$@" ;;
  setup | train | delete) "$verb" "$@" ;;
  run) name=$1 && shift && on_all "$name" "$*" ;;
  # Neither the shell that looks for it nor the one that runs the training: that must live to say how it ended.
  stop) on_all "$1" "kill -TERM \$(pgrep -f '^[^ ]*/python -m [a]diff_jax[.]train')" ;;
  *) usage ;;
esac
