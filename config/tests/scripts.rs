//! Who runs a script, and which scripts may run.

use config::diagnostic::human;
use config::model::process::Identity;
use config::names::{KnownUser, Names, ScriptProblem};
use config::source::Memory;
use config::{LoadOptions, Loaded, load};

/// A machine with the users root, alice, bob and perhaps keepalived_script.
struct Machine {
    has_script_user: bool,
}

impl Names for Machine {
    fn user(&self, name: &str) -> Option<KnownUser> {
        let id = match name {
            "root" => 0,
            "alice" => 1_000,
            "bob" => 1_001,
            "keepalived_script" if self.has_script_user => 990,
            _ => return None,
        };
        Some(KnownUser { uid: id, gid: id, name: name.to_owned() })
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "staff").then_some(50)
    }

    fn supplementary(&self, _user: &KnownUser) -> Vec<u32> {
        vec![60, 61]
    }

    fn script(&self, path: &str, identity: &Identity) -> Result<(), ScriptProblem> {
        match path {
            "/missing" => Err(ScriptProblem::Missing { path: path.into() }),
            "/home/alice/x" if identity.is_root() => {
                Err(ScriptProblem::NotOwnedByRoot { component: "/home/alice".into(), owner: 1_000 })
            }
            _ => Ok(()),
        }
    }

    fn number(&self, table: config::numbers::NumberTable, name: &str, _: &[&str]) -> Option<u32> {
        table.standard(name)
    }

    fn interface(&self, _name: &str) -> bool {
        true
    }

    fn host(&self, _name: &str) -> Option<std::net::IpAddr> {
        None
    }

    fn find_in_path(&self, program: &str) -> Option<String> {
        (program == "killall").then(|| "/usr/bin/killall".to_owned())
    }
}

fn read(globals: &str, notify: &str, has_script_user: bool) -> Loaded {
    let text = format!(
        "global_defs {{\n{globals}\n}}\nvrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\n\
         virtual_ipaddress {{ 192.0.2.1 }}\nnotify {notify}\n}}\n"
    );
    let source = Memory::new().with("/k", text);
    load(&source, &Machine { has_script_user }, "/k", &LoadOptions::default())
}

/// User, group and supplementary groups of the one script, and the codes of the diagnostics but of the one that every
/// script draws without `enable_script_security`.
fn identity(globals: &str, notify: &str, has_script_user: bool) -> (u32, u32, Vec<u32>, Vec<&'static str>) {
    let loaded = read(globals, notify, has_script_user);
    let is_usual = |text: &str| text.ends_with("script_security not enabled");
    let telling = loaded.diagnostics.iter().filter(|diagnostic| !is_usual(&diagnostic.message));
    let codes = telling.map(|diagnostic| diagnostic.code.0).collect();
    let model = loaded.model.unwrap_or_default();
    let Some(script) = model.scripts.first() else { return (u32::MAX, u32::MAX, Vec::new(), codes) };
    let Identity { uid, gid, groups } = script.identity.clone();
    (uid, gid, groups, codes)
}

#[test]
fn the_user_behind_the_command_comes_first() {
    assert_eq!(identity("script_user bob", "/opt/x alice", true), (1_000, 1_000, vec![], vec![]));
    assert_eq!(identity("script_user bob", "/opt/x alice staff", true), (1_000, 50, vec![], vec![]));
    assert_eq!(identity("", "/opt/x alice :staff", true), (1_000, 50, vec![60, 61], vec![]));
}

#[test]
fn then_script_user_then_keepalived_script_then_root() {
    assert_eq!(identity("script_user bob", "/opt/x", true), (1_001, 1_001, vec![], vec![]));
    assert_eq!(identity("", "/opt/x", true), (990, 990, vec![], vec![]));
    assert_eq!(identity("", "/opt/x", false), (0, 0, vec![], vec!["W0405"]));
    assert_eq!(identity("script_user root", "/opt/x", true), (0, 0, vec![], vec![]));
}

#[test]
fn with_script_security_root_has_to_be_named() {
    assert_eq!(identity("enable_script_security", "/opt/x", false).3, ["E0401"]);
    assert_eq!(identity("enable_script_security", "/opt/x root", false), (0, 0, vec![], vec![]));
    assert_eq!(identity("enable_script_security\nscript_user root", "/opt/x", false), (0, 0, vec![], vec![]));
    assert_eq!(identity("enable_script_security", "/opt/x", true), (990, 990, vec![], vec![]));
}

#[test]
fn scripts_of_root_are_told_in_keepaliveds_words() {
    let loaded = read("", "/opt/x", false);
    let text = human(&loaded.diagnostics);
    assert!(
        text.contains("SECURITY VIOLATION - scripts are being executed but script_security not enabled"),
        "{text}"
    );
}

#[test]
fn without_script_security_all_scripts_together_draw_one_warning() {
    let loaded = read("", "/opt/x alice\nnotify_stop /opt/y bob", true);
    let told: Vec<&str> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(told, ["SECURITY VIOLATION - scripts are being executed but script_security not enabled"]);
    assert!(read("enable_script_security", "/opt/x alice", true).diagnostics.is_empty());
}

#[test]
fn unknown_users_and_groups_are_refused() {
    assert_eq!(identity("", "/opt/x carol", true).3, ["E0401"]);
    assert_eq!(identity("", "/opt/x alice wheel", true).3, ["E0401"]);
    assert_eq!(identity("script_user carol", "/opt/x", true).3, ["E0401"]);
    assert_eq!(identity("script_user carol", "/opt/x alice", true).3, ["E0401"]);
}

#[test]
fn root_runs_nothing_that_another_could_replace() {
    let loaded = read("", "/home/alice/x", false);
    let text = human(&loaded.diagnostics);
    assert!(loaded.model.is_none());
    assert!(text.contains("error[E0404]") && text.contains("/home/alice belongs to user id 1000"), "{text}");
    assert_eq!(identity("", "/home/alice/x alice", false).3, [""; 0]);
}

#[test]
fn a_missing_program_that_only_tells_is_kept_and_told() {
    assert_eq!(identity("", "/missing alice", true), (1_000, 1_000, vec![], vec!["W0410"]));
    assert_eq!(identity("", "nowhere alice", true).3, ["E0402"]);
    assert_eq!(identity("", "scripts/x alice", true).3, ["E0408"]);
}

#[test]
fn a_missing_program_that_checks_is_an_error_at_load() {
    let tracked = "/opt/x alice\ntrack_script { s }\n}\nvrrp_script s {\nscript /missing\nuser alice";
    assert_eq!(identity("", tracked, true).3, ["E0402"]);
}

#[test]
fn words_behind_a_command_without_quotes_are_explained() {
    let loaded = read("", "/opt/x MASTER now", true);
    assert_eq!(loaded.diagnostics[0].code.0, "E0401");
    let help = loaded.diagnostics[0].help.as_deref();
    assert_eq!(help, Some("a command with arguments must stand in one pair of quotes"));
}

#[test]
fn a_program_without_a_path_is_found_and_told() {
    let loaded = read("", "\"killall -9 x\" root", false);
    let model = loaded.model.unwrap_or_default();
    assert_eq!(model.scripts[0].argv, ["/usr/bin/killall", "-9", "x"]);
    assert_eq!(loaded.diagnostics[0].code.0, "W0406");
}

#[test]
fn a_signal_test_under_another_user_is_told() {
    assert_eq!(identity("", "\"/usr/bin/killall -0 apache2\" alice", true).3, ["W0407"]);
    assert_eq!(identity("", "\"/usr/bin/killall -0 apache2\"", false).3, ["W0405"]);
}
