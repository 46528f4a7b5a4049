#!/bin/bash
# A Ceph object gateway of one's own on loopback: monitor, one OSD in memory, gateway. Usage: rgw.sh FOLDER GATEWAY_PORT MONITOR_PORT
# Ends when its stdin closes, and takes the three processes with it by their ids.
set -euo pipefail
readonly FOLDER=$1 PORT=$2 MONITOR_PORT=$3
readonly CONF=$FOLDER/ceph.conf
mkdir -p "$FOLDER"/{mon,osd,gateway,run,log}
cd "$FOLDER"

cluster=$(cat /proc/sys/kernel/random/uuid)
cat >"$CONF" <<EOF
[global]
fsid = $cluster
mon_initial_members = a
mon_host = v1:127.0.0.1:$MONITOR_PORT
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 500
run_dir = $FOLDER/run
log_file = $FOLDER/log/\$name.log
admin_socket = $FOLDER/run/\$name.asok
pid_file =
[mon.a]
mon_data = $FOLDER/mon
[osd.0]
osd_data = $FOLDER/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:$PORT
rgw_data = $FOLDER/gateway
rgw_dns_name = s3.localhost
rgw_sts_key = abcdefghijklmnop
# Sessions of seconds, so that tests see them end.
rgw_sts_min_session_duration = 1
rgw_s3_auth_use_sts = true
rgw_thread_pool_size = 16
EOF

pids=()
# shellcheck disable=SC2329 # called by the trap
stop() {
  ((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null
  # The OSD takes its time with data that nobody wants any more.
  sleep 1
  ((${#pids[@]})) && kill -KILL "${pids[@]}" 2>/dev/null
  wait
}
trap stop EXIT
trap 'exit 1' TERM INT

daemon() {
  "$1" -c "$CONF" -f "${@:2}" --setuser root --setgroup root </dev/null >>"log/$1.out" 2>&1 &
  pids+=($!)
}
ask() { ceph -c "$CONF" --connect-timeout 20 "$@" </dev/null >>log/ceph.out 2>&1; }
admin() { radosgw-admin -c "$CONF" -n client.rgw.a "$@" </dev/null >>log/admin.out 2>&1; }

monmaptool --create --clobber --addv a "v1:127.0.0.1:$MONITOR_PORT" --fsid "$cluster" monmap >>log/setup.out 2>&1
ceph-mon -c "$CONF" --mkfs -i a --monmap monmap --setuser root --setgroup root >>log/setup.out 2>&1
daemon ceph-mon -i a
disk=$(cat /proc/sys/kernel/random/uuid)
ask osd new "$disk"
ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$disk" --setuser root --setgroup root >>log/setup.out 2>&1
daemon ceph-osd -i 0
osd=$! starts=1
daemon radosgw -n client.rgw.a
for _ in $(seq 120); do
  (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break
  # An OSD that asks before the monitor has told it the cluster's id is refused ("wrong fsid") and ends: it asks again.
  if ! kill -0 "$osd" 2>/dev/null && ((starts < 10)); then
    daemon ceph-osd -i 0
    osd=$! starts=$((starts + 1))
  fi
  kill -0 "$osd" "${pids[0]}"
  sleep 0.5
done

admin user create --uid=rec --display-name=rec --access-key=AKTEST --secret-key=SKTEST --caps="roles=*"
admin role create --role-name=rec --assume-role-policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/rec"]},"Action":["sts:AssumeRole"]}]}'
admin role-policy put --role-name=rec --policy-name=p --policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}'
echo ready
# Until whoever started this ends or lets go.
cat >/dev/null
