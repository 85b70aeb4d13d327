#!/usr/bin/env bash
# A throw-away SLURM cluster of several virtual nodes on one machine, with accounting; needs root, no systemd.
#
#   local_cluster.sh start     munged, MariaDB, slurmdbd, slurmctld and one slurmd a node
#   local_cluster.sh env       shell lines that point the SLURM commands at it
#   local_cluster.sh stop      cancels the jobs and ends every daemon
#   local_cluster.sh missing   names the commands that are not installed; nothing when all are there
#   local_cluster.sh install   installs the packages that are missing (Debian); 3 if there can be no cluster here
#
# Environment (with defaults):
#   SLURM_LOCAL=/tmp/slurm-local       everything of the cluster lies here; a short path (munge's socket)
#   SLURM_LOCAL_NODES=2  SLURM_LOCAL_CPUS=2
#   SLURM_LOCAL_GPUS=0                 pretend GPUs of a node: accepted by sbatch, nothing behind them
#   SLURM_LOCAL_PORT=16800             first of the ports: this and the next 19 + nodes, on 127.0.0.1 alone
#   SLURM_LOCAL_ACCT=1                 0: without accounting, sacct does not answer
#
# Partitions: low (default), grace (a job to be pre-empted has 60 s), high (pre-empts those two).
set -euo pipefail
D="${SLURM_LOCAL:-/tmp/slurm-local}"
NODES="${SLURM_LOCAL_NODES:-2}" CPUS="${SLURM_LOCAL_CPUS:-2}" GPUS="${SLURM_LOCAL_GPUS:-0}"
PORT="${SLURM_LOCAL_PORT:-16800}" ACCT="${SLURM_LOCAL_ACCT:-1}"
HOST="$(hostname -s)"
PACKAGES="slurm-wlm munge slurmdbd mariadb-server mariadb-client"
export PATH="$PATH:/usr/sbin:/sbin" SLURM_CONF="$D/slurm.conf"

missing() {
  local commands=(munged slurmctld slurmd sbatch srun squeue scontrol)
  [ "$ACCT" = 0 ] || commands+=(slurmdbd sacctmgr sacct mariadbd mariadb-install-db mariadb-admin)
  for each in "${commands[@]}"; do command -v "$each" >/dev/null || echo "$each"; done
}

cannot() {
  echo "no SLURM cluster on this machine: $*" >&2
  exit 3
}

install() {
  [ "$(id -u)" = 0 ] || cannot "it needs root"
  local lacking log
  lacking="$(missing | xargs)"
  [ -n "$lacking" ] || return 0
  command -v apt-get > /dev/null || cannot "$lacking not installed, and there is no apt-get"
  log="$(mktemp -t slurm-install-XXXXXX.log)"
  local policy=/usr/sbin/policy-rc.d
  # The packages' own daemons are not to start.
  [ -e "$policy" ] || { trap "rm -f $policy" EXIT; printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; }
  export DEBIAN_FRONTEND=noninteractive
  echo "installing $PACKAGES" >&2
  { timeout 300 apt-get update && timeout 600 apt-get install -y --no-install-recommends $PACKAGES; } \
    > "$log" 2>&1 < /dev/null || cannot "apt-get install $PACKAGES failed or took over 15 minutes; see $log"
  lacking="$(missing | xargs)"
  [ -z "$lacking" ] || cannot "$PACKAGES do not hold $lacking"
  rm -f "$log"
}

write_configuration() {
  mkdir -p "$D"/{state,log,run,spool}
  local accounting="AccountingStorageType=accounting_storage/none"
  [ "$ACCT" = 0 ] || accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePass=$D/run/munge.sock
AccountingStoragePort=$((PORT + 2))"
  # cred_expire: a requeued job waits for twice as long; 5 is the least that munge takes.
  cat > "$D/slurm.conf" <<C
ClusterName=local
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.sock,cred_expire=6
CredType=cred/munge
SlurmctldPort=$PORT
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmdSpoolDir=$D/spool/%n
StateSaveLocation=$D/state
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
$accounting
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
ReturnToService=2
JobRequeue=1
KillWait=15
MinJobAge=3600
SlurmctldTimeout=300
SlurmdTimeout=300
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000
C
  local gres="" nodes="node[1-$NODES]"
  if [ "$GPUS" -gt 0 ]; then
    gres="Gres=gpu:$GPUS"
    echo "GresTypes=gpu" >> "$D/slurm.conf"
    for g in $(seq 0 $((GPUS - 1))); do : > "$D/run/gpu$g"; done
    printf 'AutoDetect=off\nName=gpu File=%s/run/gpu[0-%s]\n' "$D" $((GPUS - 1)) > "$D/gres.conf"
  else
    rm -f "$D/gres.conf"
  fi
  for i in $(seq 1 "$NODES"); do
    echo "NodeName=node$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 19 + i)) CPUs=$CPUS RealMemory=8000 $gres State=UNKNOWN"
  done >> "$D/slurm.conf"
  cat >> "$D/slurm.conf" <<C
PartitionName=low   Nodes=$nodes Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=REQUEUE
PartitionName=grace Nodes=$nodes Default=NO  MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=REQUEUE GraceTime=60
PartitionName=high  Nodes=$nodes Default=NO  MaxTime=INFINITE State=UP PriorityTier=20 PreemptMode=OFF
C
}

start_accounting() {
  if [ ! -d "$D/db/mysql" ]; then
    mkdir -p "$D/db"
    mariadb-install-db --user=root --datadir="$D/db" --auth-root-authentication-method=normal > "$D/log/db-init.log" 2>&1
  fi
  mariadbd --user=root --datadir="$D/db" --socket="$D/run/db.sock" --pid-file="$D/run/mariadb.pid" \
    --skip-networking --innodb-buffer-pool-size=64M > "$D/log/mariadb.log" 2>&1 < /dev/null &
  for _ in $(seq 60); do
    mariadb-admin --socket="$D/run/db.sock" ping > /dev/null 2>&1 && break
    sleep 0.5
  done
  cat > "$D/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
CommunicationParameters=NoInAddrAny
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$D/log/slurmdbd.log
PidFile=$D/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
C
  chmod 600 "$D/slurmdbd.conf"
  (cd "$D/run" && SLURM_CONF="$D/slurmdbd.conf" MYSQL_UNIX_PORT="$D/run/db.sock" slurmdbd)
  for _ in $(seq 40); do
    timeout 5 sacctmgr -i show cluster > /dev/null 2>&1 && break
    sleep 0.5
  done
  sacctmgr -i add cluster local > /dev/null 2>&1 || true
}

start() {
  local lacking
  lacking="$(missing | xargs)"
  [ "$(id -u)" = 0 ] || cannot "it needs root"
  [ -z "$lacking" ] || cannot "$lacking not installed; $0 install does that"
  write_configuration
  [ -f "$D/munge.key" ] || (umask 277 && head -c 1024 /dev/urandom > "$D/munge.key")
  # --force: a folder below /tmp, which everyone may write to, is a warning and no error.
  munged --force --key-file="$D/munge.key" --socket="$D/run/munge.sock" --pid-file="$D/run/munged.pid" \
    --log-file="$D/log/munged.log" --seed-file="$D/munge.seed" 2>> "$D/log/munged.err"
  [ "$ACCT" = 0 ] || start_accounting
  slurmctld -f "$D/slurm.conf" -c
  for i in $(seq 1 "$NODES"); do
    mkdir -p "$D/spool/node$i"
    slurmd -f "$D/slurm.conf" -N "node$i"
  done
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -p low -t idle 2> /dev/null | wc -l)" = "$NODES" ] && { sinfo; return; }
    sleep 0.5
  done
  echo "the nodes did not come up; see $D/log" >&2
  exit 1
}

stop() {
  [ ! -f "$D/slurm.conf" ] || timeout 20 scancel -f -u root 2> /dev/null || true
  local files=("$D"/run/slurmd-*.pid "$D/run/slurmctld.pid" "$D/run/slurmdbd.pid" "$D/run/mariadb.pid" "$D/run/munged.pid")
  local pids=()
  for file in "${files[@]}"; do
    [ -f "$file" ] && pids+=("$(cat "$file")")
  done
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  for _ in $(seq 40); do
    local left=0
    for pid in "${pids[@]}"; do kill -0 "$pid" 2> /dev/null && left=1; done
    [ "$left" = 1 ] || return 0
    sleep 0.25
  done
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
}

case "${1:-}" in
  start | stop | missing | install) "$1" ;;
  env) echo "export SLURM_CONF=$D/slurm.conf" ;;
  *) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
