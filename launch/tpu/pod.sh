#!/bin/bash
# A TPU VM slice, all its workers at once, by gcloud.
#
#   launch/tpu/pod.sh create NAME v5litepod-256      # as a queued resource, on spot machines; waits until it is there
#   launch/tpu/pod.sh setup NAME                     # this checkout's last commit onto all workers, and what it needs
#   launch/tpu/pod.sh train NAME --config configs/sdit.py:xl --config.autoencoder=/gcs/autoencoder ...
#                                                    # waits for its end; called again, for the end of the one that runs
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
STOPPED=75       # exit code of a training that saved and is to be run again
MISTAKE=2        # of one that another try would not help
WAIT=${WAIT:-30} # seconds between two looks at what Google or the training is doing
LOOKS=20         # before machines count as still there after a failure
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

# What Google says of the request; NOT_FOUND where there is none, UNKNOWN where it cannot be asked.
state() {
  local answer
  answer=$(cloud queued-resources describe "$1" --format='value(state.state)' 2>&1) || true
  grep -owm1 -E 'NOT_FOUND|ACCEPTED|WAITING_FOR_RESOURCES|(CREAT|PROVISION|SUSPEND|DELET)ING|ACTIVE|SUSPENDED|FAILED' \
    <<<"$answer" ||
    { echo "$answer" >&2 && echo UNKNOWN; }
}

# Whether the machines were taken away, which their state says some minutes later.
taken_away() {
  local look
  for ((look = 0; look < LOOKS; look++)); do
    case $(state "$1") in
      ACTIVE | UNKNOWN) sleep "$WAIT" ;;
      *) return 0 ;;
    esac
  done
  return 1
}

create() {
  local name=$1 type=$2 asked=
  while true; do
    case $(state "$name") in
      ACTIVE) return ;;
      NOT_FOUND)
        cloud queued-resources create "$name" --node-id="$name" --accelerator-type="$type" \
          --runtime-version="$VERSION" --spot
        asked=1
        ;;
      FAILED | SUSPENDED) # which stays in the list until it is deleted
        if [[ -n $asked ]]; then
          echo "Google refused $name: see gcloud compute tpus queued-resources describe" >&2
          return 1
        fi
        delete "$name"
        ;;
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
    flock -n ~/train.lock true || { echo 'a training is at work: nothing is changed' >&2; exit 0; }
    rm -rf $FOLDER && mkdir $FOLDER && tar -xzf /tmp/$FOLDER.tar.gz -C $FOLDER && cd $FOLDER
    command -v uv >/dev/null || python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --allow-existing --python 3.12 ../venv
    python3 -m uv pip install --quiet --python ../venv/bin/python -c constraints.txt -e '.[tpu,gcs]'
    sudo apt-get -qq -o DPkg::Lock::Timeout=600 update
    sudo apt-get -qq -o DPkg::Lock::Timeout=600 install -y libgl1 libglib2.0-0 libxcb1"
  if [[ -n ${BUCKET:-} ]]; then
    on_all "$name" "set -e
      mountpoint -q /gcs && exit 0
      command -v gcsfuse >/dev/null || { echo 'install gcsfuse in the image, or leave BUCKET empty' >&2; exit 1; }
      sudo mkdir -p /gcs && sudo chown \"\$USER\" /gcs && gcsfuse --implicit-dirs --rename-dir-limit=100000 '$BUCKET' /gcs"
  fi
}

# insist NAME COMMAND: on_all, again while the connection fails and the machines are there. The command itself must not.
insist() {
  local answer
  until answer=$(on_all "$@"); do
    case $(state "$1") in
      ACTIVE | UNKNOWN) sleep "$WAIT" ;;
      *) echo "the machines are gone" >&2 && return 1 ;;
    esac
  done
  echo "$answer"
}

# One command on every worker; the workers find each other. It outlives the connection, and holds ~/train.lock: where one
# runs, no other is started. The log of each is ~/train.log, its exit code ~/train.code.
train() {
  local name=$1 arguments answer code
  shift
  arguments=$(printf '%q ' "$@")
  insist "$name" "(
    flock -n 9 || exit 0
    rm -f ~/train.code
    setsid nohup bash -c 'cd ~/$FOLDER && \"\$@\" 9>&-; echo \$? >~/train.code' train \
      ../venv/bin/python -m adiff_jax.train $arguments </dev/null >>~/train.log 2>&1 &
  ) 9>>~/train.lock" >/dev/null
  echo "training; to look at it: $0 run $name tail -n 3 train.log" >&2
  while true; do
    # Without an exit code it was lost with its machine.
    answer=$(insist "$name" "flock -n ~/train.lock sh -c 'echo train:\$(cat ~/train.code || echo 1)' || echo train:runs")
    [[ $answer == *train:runs* ]] || break
    sleep "$WAIT"
  done
  code=$(grep -o 'train:[0-9]*' <<<"$answer" | cut -d: -f2 | sort -n | tail -n 1)
  [[ $code -eq 0 ]] || on_all "$name" "tail -n 3 ~/train.log" || true
  return "$code"
}

# Trains to the end, whatever happens to the machines.
keep() {
  local name=$1 type=$2 code
  shift 2
  while true; do
    create "$name" "$type"
    code=0
    if "$0" setup "$name"; then
      "$0" train "$name" "$@" || code=$?
    else
      code=1
    fi
    if [[ $code -eq 0 || $code -eq $MISTAKE ]]; then
      return "$code"
    elif [[ $code -ne $STOPPED ]] && ! taken_away "$name"; then
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
