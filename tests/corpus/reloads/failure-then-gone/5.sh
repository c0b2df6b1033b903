ip address add 10.79.0.11/32 dev lo
