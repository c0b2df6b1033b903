//! ipvsd writes the kernel's table of IPVS, and nothing else.
//!
//! It is told by the parent which services and servers exist (a generation's list) and what the table should say
//! of them (entries that come from checkd); it compares that with what it believes the kernel's table to say and
//! writes the difference. It decides nothing about health, weights or quorum, and it never touches a service that
//! isn't on its list.
//!
//! Pure: [`list`], [`reconcile`], [`believed`], [`ledger`], [`audit`], [`limited`], [`sync`], [`statistics`]. Does
//! things: [`loading`] (a new list), [`kernel`] (netlink), [`keeper`] (the order in which the kernel is read and
//! written), [`driver`] (the parent, the loop). Everything that the parent passes on from checkd is untrusted.

pub mod audit;
pub mod believed;
pub mod driver;
pub mod keeper;
pub mod kernel;
pub mod ledger;
pub mod limited;
pub mod list;
pub mod loading;
pub mod marks;
pub mod reconcile;
pub mod statistics;
pub mod sync;

#[cfg(test)]
mod samples;
