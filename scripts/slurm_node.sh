#!/bin/bash
# A Slurm cluster of this one machine, with accounting, for tests: scripts/slurm_node.sh install|start|stop
# As root on Debian 12. Nothing in /etc is changed: run clients with SLURM_CONF=$SLURM_TEST_DIR/slurm.conf.
set -euo pipefail
B=${SLURM_TEST_DIR:-/tmp/slurm-test}; H=$(hostname -s)
export SLURM_CONF=$B/slurm.conf
ready() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "error: no answer from: $*" >&2; return 1; }
case ${1:-} in
install)
  PACKAGES="slurmctld slurmd slurm-client munge slurmdbd mariadb-server"
  dpkg -s $PACKAGES >/dev/null 2>&1 && exit
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $PACKAGES ;;
start)
  install -d $B/ctld $B/slurmd
  install -d -o munge -g munge -m 755 /run/munge
  install -d -o mysql -g mysql -m 755 /run/mysqld $B/mysql
  cat > $B/slurm.conf <<C
ClusterName=toy
SlurmctldHost=$H(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credentials have expired: two minutes by default.
AuthInfo=cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
StateSaveLocation=$B/ctld
SlurmdSpoolDir=$B/slurmd
SlurmctldPidFile=$B/slurmctld.pid
SlurmdPidFile=$B/slurmd.pid
SlurmctldLogFile=$B/slurmctld.log
SlurmdLogFile=$B/slurmd.log
NodeName=$H NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=4000 State=UNKNOWN
PartitionName=usual Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
C
  cat > $B/slurmdbd.conf <<C
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=toy
StorageLoc=slurm_acct_db
LogFile=$B/slurmdbd.log
PidFile=$B/slurmdbd.pid
C
  chmod 600 $B/slurmdbd.conf
  runuser -u munge -- /usr/sbin/munged
  [ -d $B/mysql/mysql ] || mariadb-install-db --user=mysql --datadir=$B/mysql --auth-root-authentication-method=socket \
    >$B/mysql_install.log 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir=$B/mysql --socket=/run/mysqld/mysqld.sock --skip-networking \
    --pid-file=/run/mysqld/mysqld.pid --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    >$B/mysqld.log 2>&1 </dev/null &
  ready mariadb-admin ping
  mariadb -e "create database if not exists slurm_acct_db;
    create user if not exists 'slurm'@'localhost' identified by 'toy';
    grant all on slurm_acct_db.* to 'slurm'@'localhost';"
  slurmdbd
  ready sacctmgr -n show cluster
  slurmctld
  slurmd
  ready sh -c 'sinfo -h -o %T | grep -q idle'
  sinfo ;;
stop)
  for f in $B/slurmd.pid $B/slurmctld.pid $B/slurmdbd.pid /run/mysqld/mysqld.pid /run/munge/munged.pid; do
    [ -s $f ] || continue
    p=$(cat $f)
    kill $p || continue
    for _ in $(seq 50); do [ -d /proc/$p ] || break; sleep 0.2; done
  done ;;
*) sed -n 2,3p "$0"; exit 2 ;;
esac
