//! Scripts and interfaces that weigh or are faults, keyword by keyword: one director with an instance for each way to
//! track them, whose priorities and states are asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::lab::failure::require;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// `answer.sh NAME [ANSWER...]` answers in turn, 0 without answers, and 1 while `bad/NAME` exists.
const ANSWER: &str = "#!/bin/sh
name=$1; shift
echo run >>/run/lab/runs/$name
[ -e /run/lab/bad/$name ] && exit 1
[ $# = 0 ] && exit 0
shift $(( ($(wc -l </run/lab/runs/$name) - 1) % $# ))
exit $1
";
/// Never answers, and says when it is asked to end.
const STUCK: &str = "#!/bin/sh
trap 'echo ended >>/run/lab/runs/$1.ended; exit 1' TERM
echo run >>/run/lab/runs/$1
while :; do sleep 0.1; done
";

/// Name, script and further lines of each `vrrp_script`.
const SCRIPTS: &[(&str, &str)] = &[
    ("steady", "script \"/run/lab/answer.sh steady\"\ninterval 0.2\nweight 20"),
    ("turned", "script \"/run/lab/answer.sh turned\"\nweight 20 reverse"),
    ("zero", "script \"/run/lab/answer.sh zero\"\ninterval 0.2"),
    ("rare", "script \"/run/lab/answer.sh rare\"\ninterval 60\nweight 20"),
    ("forgiven", "script \"/run/lab/answer.sh forgiven 0 1 1\"\ninterval 0.2\nfall 3\nweight 20"),
    ("mistrusted", "script \"/run/lab/answer.sh mistrusted 1 0 0\"\ninterval 0.2\nrise 3\nweight 20"),
    ("stuck", "script \"/run/lab/stuck.sh stuck\"\ninterval 60\ntimeout 1\nweight -30"),
    ("pending", "script \"/run/lab/stuck.sh pending\"\ninterval 60\ntimeout 60\nweight -30\ninit_fail"),
    ("unknown", "script \"/run/lab/stuck.sh unknown\"\ninterval 60\ntimeout 60\nweight -30"),
];

fn write(path: &str, text: &str) -> Result<(), Failure> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/run"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(|cause| Failure::instrument(path, cause))
}

fn lines(file: &str) -> usize {
    fs::read_to_string(format!("/run/lab/runs/{file}")).unwrap_or_default().lines().count()
}

/// Base priority 100; `interface eth0` and an address on it unless these lines say else.
fn instance(name: &str, vrid: usize, extra: &str) -> String {
    let or = |word: &str, line: String| if extra.contains(word) { String::new() } else { line };
    let interface = or("interface prim0", "interface eth0".to_owned());
    let addresses = or("virtual_ipaddress", format!("virtual_ipaddress {{\n10.77.1.{vrid}/32 dev eth0\n}}"));
    format!(
        "vrrp_instance {name} {{\n{interface}\nvirtual_router_id {vrid}\nadvert_int 0.2\npriority 100\nversion 3\n{extra}\n\
         {addresses}\n}}\n"
    )
}

fn tracking(kind: &str, line: &str) -> String {
    format!("track_{kind} {{\n{line}\n}}")
}

/// Starts a director with these instances (name and lines) after what stands `before` them.
fn start(lab: &Lab, host: &Host, before: &str, instances: &[(&str, String)]) -> Result<Director, Failure> {
    let each = instances.iter().enumerate();
    let all: String = each.map(|(number, (name, extra))| instance(name, number + 1, extra)).collect();
    let globals = "global_defs {\nrouter_id lab\nscript_user root\nenable_script_security\n}\n";
    Director::start(lab, host, Subject::Ours, &(globals.to_owned() + before + &all), &[])
}

/// Waits until all of these have this priority and state.
fn wait_all(director: &Director, expected: &[(&str, u64, &str)]) -> Result<(), Failure> {
    let differs = || -> Vec<String> {
        let status = director.status().unwrap_or_default();
        let none = Vec::new();
        let all = status["instances"].as_array().unwrap_or(&none);
        let seen = |name: &str| all.iter().find(|instance| instance["name"] == name).unwrap_or(&Value::Null);
        let is_as = |(name, priority, state): &&(&str, u64, &str)| {
            let instance = seen(name);
            instance["priority"] == *priority && instance["state"] == *state
        };
        let wrong = expected.iter().filter(|one| !is_as(one));
        wrong.map(|one| format!("{one:?} expected: {}", seen(one.0))).collect()
    };
    wait_until("every priority and state", SOON, || differs().is_empty())
        .map(|_| ())
        .map_err(|failure| Failure::new(format!("{failure}\n{}\n{}", differs().join("\n"), director.log())))
}

fn prepare() -> Result<String, Failure> {
    write("/run/lab/answer.sh", ANSWER)?;
    write("/run/lab/stuck.sh", STUCK)?;
    for folder in ["runs", "bad"] {
        fs::create_dir_all(format!("/run/lab/{folder}"))
            .map_err(|cause| Failure::instrument(folder, cause))?;
    }
    Ok(SCRIPTS.iter().map(|(name, lines)| format!("vrrp_script {name} {{\n{lines}\n}}\n")).collect())
}

#[test]
fn scripts_weigh_and_are_believed_as_their_keywords_say() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let script = |line: &str| tracking("script", line);
        let instances = [
            ("PLAIN", script("steady")),
            ("OWN", script("steady weight 35")),
            ("REVERSED", script("steady weight 40 reverse")),
            ("INHERITS", script("turned weight 15")),
            ("NOT_REVERSED", script("turned weight 15 noreverse")),
            ("ZERO", script("zero")),
            ("WHILE_GOOD", script("steady weight 0 reverse")),
            ("RARE", script("rare")),
            ("FORGIVEN", script("forgiven")),
            ("MISTRUSTED", script("mistrusted")),
            ("STUCK", script("stuck")),
            ("PENDING", script("pending")),
            ("UNKNOWN", script("unknown")),
            ("MEMBER_1", String::new()),
            ("MEMBER_2", String::new()),
        ];
        let group = "vrrp_sync_group GROUP {\ngroup {\nMEMBER_1\nMEMBER_2\n}\ntrack_script {\nzero\n}\n}\n";
        let director = start(lab, d1, &(prepare()? + group), &instances)?;
        wait_all(
            &director,
            &[
                ("PLAIN", 120, "Master"),
                ("OWN", 135, "Master"),
                ("REVERSED", 60, "Master"),
                ("INHERITS", 85, "Master"),
                ("NOT_REVERSED", 115, "Master"),
                ("ZERO", 100, "Master"),
                ("WHILE_GOOD", 100, "Fault"),
                ("RARE", 120, "Master"),
                ("FORGIVEN", 120, "Master"),
                ("MISTRUSTED", 100, "Master"),
                ("STUCK", 70, "Master"),
                ("PENDING", 70, "Master"),
                ("UNKNOWN", 100, "Master"),
                ("MEMBER_1", 100, "Master"),
                ("MEMBER_2", 100, "Master"),
            ],
        )?;
        wait_until("the script that hangs is ended", SOON, || lines("stuck.ended") == 1)?;
        require(lines("pending.ended") == 0, || "its time isn't over".to_owned())?;
        for name in ["steady", "zero"] {
            write(&format!("/run/lab/bad/{name}"), "")?;
        }
        wait_all(
            &director,
            &[
                ("PLAIN", 100, "Master"),
                ("OWN", 100, "Master"),
                ("REVERSED", 100, "Master"),
                ("ZERO", 100, "Fault"),
                ("WHILE_GOOD", 100, "Master"),
                ("MEMBER_1", 100, "Fault"),
                ("MEMBER_2", 100, "Fault"),
            ],
        )?;
        let enough = || ["forgiven", "mistrusted"].iter().all(|name| lines(name) >= 9);
        wait_until("three rounds of answers", SOON, enough)?;
        let changes = |name: &str| director.logged(&format!("({name}) Changing effective priority"));
        let counts = (changes("FORGIVEN"), changes("MISTRUSTED"));
        require(counts == (1, 0), || format!("{counts:?} changes\n{}", director.log()))?;
        require(lines("rare") == 1, || format!("{} runs in a minute", lines("rare")))
    });
}

#[test]
fn interfaces_weigh_or_are_faults_as_their_keywords_say() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        d1.ip("link add trk0 type veth peer name trk1\nlink set trk0 up\nlink set trk1 up\n\
             link add prim0 type veth peer name prim1\nlink set prim0 up\nlink set prim1 up\n\
             addr add 10.78.9.1/24 dev prim0\n")?;
        let interface = |line: &str| tracking("interface", line);
        let on_trk0 = |line: &str| format!("virtual_ipaddress {{\n{line}\n}}");
        let instances = [
            ("FAULT", interface("trk0")),
            ("PLUS", interface("trk0 weight 25")),
            ("MINUS", interface("trk0 weight -25")),
            ("REVERSED", interface("trk0 weight 25 reverse")),
            ("WHILE_UP", interface("trk0 weight 0 reverse")),
            ("ADDRESS", on_trk0("10.77.2.1/32 dev trk0")),
            ("UNTRACKED", on_trk0("10.77.2.2/32 dev trk0 no_track")),
            ("PRIMARY", "interface prim0".to_owned()),
            ("NO_PRIMARY", "interface prim0\ndont_track_primary".to_owned()),
            ("TOGETHER_1", String::new()),
            ("TOGETHER_2", String::new()),
            ("WEIGHTY_1", interface("trk0 weight 25")),
            ("WEIGHTY_2", String::new()),
            ("OLD_1", interface("trk0 weight 25")),
            ("OLD_2", String::new()),
        ];
        let group = |name: &str, more: &str| {
            format!("vrrp_sync_group G_{name} {{\ngroup {{\n{name}_1\n{name}_2\n}}\n{more}\n}}\n")
        };
        let groups = group("TOGETHER", &interface("trk0"))
            + &group("WEIGHTY", "sync_group_tracking_weight")
            + &group("OLD", "global_tracking");
        let director = start(lab, d1, &groups, &instances)?;
        wait_all(
            &director,
            &[
                ("FAULT", 100, "Master"),
                ("PLUS", 125, "Master"),
                ("MINUS", 100, "Master"),
                ("REVERSED", 75, "Master"),
                ("WHILE_UP", 100, "Fault"),
                ("ADDRESS", 100, "Master"),
                ("UNTRACKED", 100, "Master"),
                ("PRIMARY", 100, "Master"),
                ("NO_PRIMARY", 100, "Master"),
                ("TOGETHER_1", 100, "Master"),
                ("TOGETHER_2", 100, "Master"),
                ("WEIGHTY_1", 125, "Master"),
                ("WEIGHTY_2", 100, "Master"),
                ("OLD_1", 125, "Master"),
                ("OLD_2", 100, "Master"),
            ],
        )?;
        d1.ip("link set trk0 down\nlink set prim0 down\n")?;
        wait_all(
            &director,
            &[
                ("FAULT", 100, "Fault"),
                ("PLUS", 100, "Master"),
                ("MINUS", 75, "Master"),
                ("REVERSED", 100, "Master"),
                ("WHILE_UP", 100, "Master"),
                ("ADDRESS", 100, "Fault"),
                ("UNTRACKED", 100, "Master"),
                ("PRIMARY", 100, "Fault"),
                ("NO_PRIMARY", 100, "Master"),
                ("TOGETHER_1", 100, "Fault"),
                ("TOGETHER_2", 100, "Fault"),
                ("WEIGHTY_1", 100, "Master"),
                ("WEIGHTY_2", 100, "Master"),
                ("OLD_1", 100, "Master"),
                ("OLD_2", 100, "Master"),
            ],
        )
    });
}
