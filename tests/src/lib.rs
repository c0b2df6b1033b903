//! The laboratory: hosts on a network of namespaces, the programs under test on them, and instruments that judge
//! what goes over the wire. Used by the suites beside this folder and by the programs `lab-demo` and `lab-bench`.
//! Everything runs as root in namespaces of its own that end with the run; nothing here is installed.

pub mod bench;
pub mod calls;
pub mod chaos;
pub mod demo;
pub mod fuzz;
pub mod kernel;
pub mod lab;
pub mod values;
