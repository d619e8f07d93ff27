#!/bin/sh
# certificates.sh NAME…: a certificate for each service of docker-compose.yml, put into /tls/NAME as ca.pem, cert.pem and key.pem.
# node-* are nodes, build-* build workers. The CA and all certificates are kept in /ca; what is there stays until its last 30 days.
set -eu
[ -e /ca/ca.pem ] || gantry certs init --dir /ca
for name; do
  case $name in
    node-*) who=node/$name ;;
    build-*) who=build ;;
    *) who=$name ;;
  esac
  [ -e "/ca/$name.pem" ] || gantry certs issue "$who" --dir /ca --name "$name" --host "$name" --host localhost --host 127.0.0.1
done
gantry certs renew --dir /ca --within 30
for name; do
  # The key first: a service that looks in between waits until they fit.
  install -o 10001 -g 10001 -m 0600 "/ca/$name-key.pem" "/tls/$name/key.pem"
  install -m 0644 "/ca/$name.pem" "/tls/$name/cert.pem"
  install -m 0644 /ca/ca.pem "/tls/$name/ca.pem"
done
