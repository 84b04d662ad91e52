#!/bin/sh
# Starts the broker of the Service `kafka` of this namespace; user `tests` with password `tests` by SCRAM-SHA-512.
set -eu
domain=$(sed -n 's/^search \([^ ]*\).*/\1/p' /etc/resolv.conf)
cat > /tmp/server.properties <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=SASL_PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093,PLAINTEXT://127.0.0.1:9094
advertised.listeners=SASL_PLAINTEXT://kafka.${domain}:9092,PLAINTEXT://127.0.0.1:9094
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=/tmp/kafka
num.partitions=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
EOF
java="java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -cp /kafka/*"
set -f  # the virtual machine itself reads the star
$java kafka.tools.StorageTool format --cluster-id AAAAAAAAAAAAAAAAAAAAAA --config /tmp/server.properties \
  --ignore-formatted --add-scram 'SCRAM-SHA-512=[name=tests,password=tests]'
exec $java kafka.Kafka /tmp/server.properties
