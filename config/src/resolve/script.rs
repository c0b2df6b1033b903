//! Who runs a script, and whether that may be.
//!
//! An explicit user, else `script_user`, else the user `keepalived_script` if there is one, else root when
//! nobody but root could change what runs, told once. A check that may not run is an error here; what only tells of
//! changes may appear later.

use std::time::Duration;

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::process::{Identity, Purpose, Script};
use crate::model::units::ScriptId;
use crate::names::ScriptProblem;
use crate::schema::{Command, UserWords};
use crate::text::Span;

/// The script table while it grows.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    table: Vec<Script>,
    default: Option<Identity>,
    /// `script_user` doesn't exist, which was told.
    refused: bool,
    told: Told,
    told_path: std::collections::HashSet<String>,
}

/// What was told of the security of scripts; the later contains the former.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    #[default]
    Nothing,
    NoSecurity,
    RunsAsRoot,
}

impl Scripts {
    /// The table.
    pub(super) fn finish(self) -> Vec<Script> {
        self.table
    }
}

impl Context<'_> {
    /// Adds a script to the table; `user` is that of its block, the command's own comes first.
    pub(super) fn script(
        &mut self,
        name: &str,
        command: Command,
        user: Option<UserWords>,
        purpose: Purpose,
        timeout: Option<Duration>,
    ) -> Option<ScriptId> {
        let Command { mut argv, span, user: own } = command;
        let explicit = own.or(user);
        let identity = match &explicit {
            Some(words) => self.identity(words)?,
            None => self.default_runner(span)?,
        };
        let program = argv.first()?;
        if program.contains('/') && !program.starts_with('/') {
            let message = format!("{program} is not a full path: nobody can tell what it is relative to");
            self.report(Problem::error(code::BAD_COMMAND, span, message).help("write its full path"));
            return None;
        }
        if !program.contains('/') {
            let found = self.found_program(program, span)?;
            *argv.first_mut()? = found;
        }
        let program = argv.first()?.clone();
        if let Err(problem) = self.names.script(&program, &identity)
            && !self.unfit(name, span, purpose, &problem)
        {
            return None;
        }
        let by_default = identity.is_root() && explicit.is_none() && self.globals.script_user.is_none();
        self.tell_security(span, by_default);
        if !identity.is_root() {
            self.signal_test(&argv, span);
        }
        let id = ScriptId::new(u32::try_from(self.scripts.table.len()).ok()?);
        self.scripts.table.push(Script { name: name.to_owned(), argv, identity, purpose, timeout });
        Some(id)
    }

    /// Adds an optional script.
    pub(super) fn optional_script(
        &mut self,
        name: &str,
        command: Option<Command>,
        purpose: Purpose,
    ) -> Option<ScriptId> {
        self.script(name, command?, None, purpose, None)
    }

    /// Who a file belongs to: the user that is named, else the default of scripts.
    pub(super) fn owner(&mut self, words: Option<&UserWords>) -> Option<Identity> {
        match words {
            Some(words) => self.identity(words),
            None => self.default_identity(),
        }
    }

    fn identity(&mut self, words: &UserWords) -> Option<Identity> {
        let Some(user) = self.names.user(&words.user.text) else {
            let message = format!("there is no user {}", words.user.text);
            let problem = Problem::error(code::UNKNOWN_USER, words.user.span, message);
            self.report(match words.behind_command {
                true => problem.help("a command with arguments must stand in one pair of quotes"),
                false => problem,
            });
            return None;
        };
        let mut gid = user.gid;
        if let Some(group) = &words.group {
            let Some(id) = self.names.group(&group.text) else {
                let message = format!("there is no group {}", group.text);
                self.report(Problem::error(code::UNKNOWN_USER, group.span, message));
                return None;
            };
            gid = id;
        }
        let groups = if words.supplementary || self.supplementary_groups {
            self.names.supplementary(&user)
        } else {
            Vec::new()
        };
        Some(Identity { uid: user.uid, gid, groups })
    }

    /// Who runs a script that names nobody; with `enable_script_security` root has to be named.
    fn default_runner(&mut self, span: Span) -> Option<Identity> {
        let identity = self.default_identity()?;
        let is_nobodys_choice = identity.is_root() && self.globals.script_user.is_none();
        if !(is_nobodys_choice && self.globals.script_security) {
            return Some(identity);
        }
        if self.scripts.told < Told::RunsAsRoot {
            self.scripts.told = Told::RunsAsRoot;
            let message = "Unable to set default user keepalived_script for script: there is no such user, and \
                           enable_script_security lets root run only what names it";
            let problem = Problem::error(code::UNKNOWN_USER, span, message);
            self.report(problem.help("name the user behind the command or in script_user"));
        }
        None
    }

    /// Reports a `script_user` that doesn't exist, even when no script needs it.
    pub(super) fn check_default_user(&mut self) {
        if self.globals.script_user.is_some() {
            self.scripts.default = self.default_identity();
            self.scripts.refused = self.scripts.default.is_none();
        }
    }

    fn default_identity(&mut self) -> Option<Identity> {
        if self.scripts.refused {
            return None;
        }
        if let Some(identity) = &self.scripts.default {
            return Some(identity.clone());
        }
        let identity = match self.globals.script_user.clone() {
            Some(words) => self.identity(&words)?,
            None => match self.names.user("keepalived_script") {
                Some(user) => {
                    let groups =
                        if self.supplementary_groups { self.names.supplementary(&user) } else { Vec::new() };
                    Identity { uid: user.uid, gid: user.gid, groups }
                }
                None => Identity { uid: 0, gid: 0, groups: Vec::new() },
            },
        };
        self.scripts.default = Some(identity.clone());
        Some(identity)
    }

    fn found_program(&mut self, program: &str, span: Span) -> Option<String> {
        let Some(path) = self.names.find_in_path(program) else {
            let message = format!("there is no program {program} in the system's directories");
            self.report(Problem::error(code::SCRIPT_MISSING, span, message).help("write its full path"));
            return None;
        };
        if path != program && self.scripts.told_path.insert(program.to_owned()) {
            let message = format!("{program} has no full path; {path} will run");
            self.report(Problem::warning(code::SCRIPT_IN_PATH, span, message).help("write its full path"));
        }
        Some(path)
    }

    /// Reports a script that may not run. True when the configuration holds all the same: one that only tells of
    /// changes and isn't there yet is looked for again at every run, and no service hangs on it.
    fn unfit(&mut self, name: &str, span: Span, purpose: Purpose, problem: &ScriptProblem) -> bool {
        let only_tells = match purpose {
            Purpose::InstanceNotify | Purpose::ServerNotify | Purpose::FifoReader => true,
            Purpose::Suite | Purpose::Tracked | Purpose::MiscCheck => false,
        };
        let is_absent =
            matches!(problem, ScriptProblem::Missing { .. } | ScriptProblem::NotExecutable { .. });
        if only_tells && is_absent {
            let message = format!("script of {name} fails for now: {problem}");
            self.report(Problem::warning(code::SCRIPT_ABSENT, span, message));
            return true;
        }
        let says = format!("script of {name} may not run: {problem}");
        let (code, message, help) = match problem {
            ScriptProblem::Missing { .. } => (code::SCRIPT_MISSING, says, None),
            ScriptProblem::NotAFile { .. } | ScriptProblem::NotExecutable { .. } => {
                (code::SCRIPT_NOT_EXECUTABLE, says, None)
            }
            ScriptProblem::NotOwnedByRoot { .. } | ScriptProblem::Writable { .. } => {
                let help =
                    "name another user behind the command or in script_user, or give the path to root alone";
                let says = format!("Unsafe permissions found for script of {name}: {problem}");
                (code::SCRIPT_UNSAFE, says, Some(help))
            }
        };
        let report = Problem::error(code, span, message);
        self.report(match help {
            Some(help) => report.help(help),
            None => report,
        });
        false
    }

    /// Without `enable_script_security` one warning for all scripts; the first that runs as root because nobody is
    /// named says so, too.
    fn tell_security(&mut self, span: Span, by_default: bool) {
        let news = if by_default { Told::RunsAsRoot } else { Told::NoSecurity };
        if self.globals.script_security || self.scripts.told >= news {
            return;
        }
        self.scripts.told = news;
        let mut message =
            "SECURITY VIOLATION - scripts are being executed but script_security not enabled".to_owned();
        let help = match by_default {
            true => {
                message.push_str(
                    ": they run as root, as neither script_user nor a user keepalived_script exists",
                );
                "set script_user in global_defs, and enable_script_security"
            }
            false => "set enable_script_security in global_defs",
        };
        self.report(Problem::warning(code::SCRIPT_AS_ROOT, span, message).help(help));
    }

    /// `killall -0 NAME` needs the right to signal the process: as another user it fails for ever.
    fn signal_test(&mut self, argv: &[String], span: Span) {
        let line = argv.join(" ");
        let tests = ["killall -0", "kill -0", "killall -s 0", "kill -s 0", "pkill -0"];
        if tests.iter().any(|test| line.contains(test)) {
            let message = "a signal test fails for ever unless it runs as root or as the user of the process";
            let help = "count the process with track_process, or name the user behind the command";
            self.report(Problem::warning(code::SIGNAL_TEST, span, message).help(help));
        }
    }
}
