//! Suites that need a kernel with IPVS: they boot user-mode Linux and run many scenarios per boot.
