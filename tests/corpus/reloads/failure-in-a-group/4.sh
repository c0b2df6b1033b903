ip address delete 10.79.0.12/32 dev lo
