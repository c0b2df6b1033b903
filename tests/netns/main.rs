//! Suites in network namespaces of the host's kernel: elections, restarts, tracked services. Every test runs in a
//! sandbox of its own, as root.

mod addresses;
mod announce;
mod authentication;
mod chaos;
mod checks;
mod container;
mod control;
mod digest;
mod dumps;
mod election;
mod ending;
mod faults;
mod follow;
mod frr;
mod hostile;
mod installation;
mod interfaces;
mod keywords;
mod mail;
mod migration;
mod operator;
mod outage;
mod processes;
mod protocol;
mod real_servers;
mod reload;
mod restart;
mod routes;
mod service;
mod settings;
mod startup;
mod supervision;
mod sync_group;
mod tracking;
mod transport;
