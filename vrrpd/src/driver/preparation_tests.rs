//! Tests of `preparation`: slices, and what the types can't check.

use super::*;
use crate::fixtures::instance;
use config::model::vrrp::VrrpGlobal;
use ipc::memfd::{self, RecordWriter};
use std::os::fd::AsFd;

fn preparation(announced: u32, names: &[String]) -> Preparation {
    let mut writer = RecordWriter::new(memfd::create("test").unwrap());
    let head = VrrpHead {
        global: VrrpGlobal::default(),
        tracked_scripts: Vec::new(),
        files: Vec::new(),
        tracked_processes: Vec::new(),
        sync_groups: Vec::new(),
        statics: config::model::network::Statics::default(),
        instances: announced,
    };
    writer.write(&head).unwrap();
    for name in names {
        let mut instance = instance(&["192.0.2.10/24"]);
        instance.name.clone_from(name);
        writer.write(&instance).unwrap();
    }
    let fd = writer.finish().unwrap();
    memfd::seal(fd.as_fd()).unwrap();
    Preparation::start(Generation::new(2), fd).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("VI_{number}")).collect()
}

#[test]
fn a_hundred_instances_take_four_turns() {
    let mut preparation = preparation(100, &names(100));
    for _ in 0..3 {
        assert!(!preparation.read_slice().unwrap());
    }
    assert!(preparation.read_slice().unwrap());
    assert_eq!(preparation.finish().unwrap().instances.len(), 100);
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let mut preparation = preparation(2, &["VI_1".to_owned(), "VI_1".to_owned()]);
    assert!(matches!(preparation.read_slice(), Err(PrepareError::Twice(name)) if name == "VI_1"));
}

#[test]
fn a_count_that_does_not_add_up_is_refused() {
    for announced in [2, 4] {
        let outcome = preparation(announced, &names(3)).read_slice();
        assert!(matches!(outcome, Err(PrepareError::Count { .. })), "{announced}");
    }
}

#[test]
fn no_instances_are_a_configuration_too() {
    let mut preparation = preparation(0, &[]);
    assert!(preparation.read_slice().unwrap());
    assert!(preparation.finish().unwrap().instances.is_empty());
}
