ip address add 10.79.0.13/32 dev lo
