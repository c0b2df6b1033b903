//! Of which results letters are written.

use config::model::mail::Mailbox;

use super::*;

/// Letters about a server with these checkers after these outcomes: what it is said to be, and why.
fn letters(checks: Vec<Check>, servers_only: bool, steps: &[(usize, Outcome)]) -> Vec<String> {
    let checked = RealServer { mail: true, ..server(1, checks) };
    let mut roster = started(vec![service(80, vec![checked])]);
    let from = Mailbox::parse("a@x").unwrap();
    roster.mail = Some(Box::new(MailSettings {
        server: "192.0.2.9:25".parse().unwrap(),
        helo_name: String::new(),
        recipients: vec![from.clone()],
        from,
        timeout: Duration::from_secs(1),
        servers_only,
    }));
    let mut out = Vec::new();
    for (position, outcome) in steps {
        let (_, effects) = take(&mut roster, *position, *outcome);
        out.extend(effects.into_iter().filter_map(|effect| {
            let Effect::Mail(news) = effect else { return None };
            Some(format!("{} {}", news.subject.rsplit(' ').next().unwrap(), news.body))
        }));
    }
    out
}

#[test]
fn a_first_result_that_changes_nothing_is_mailed_of_scripts_alone() {
    let alpha = |kind: CheckKind| vec![Check { alpha: true, ..check(kind) }];
    let script = || CheckKind::Misc {
        script: ScriptId::new(7),
        command: "/bin/check".to_owned(),
        timeout: Duration::ZERO,
        dynamic: false,
    };
    assert!(letters(vec![check(tcp(80))], false, &[(0, PASS)]).is_empty());
    assert!(letters(alpha(tcp(80)), false, &[(0, FAIL), (0, FAIL)]).is_empty());
    let (passed, failed) =
        ("UP => MISC CHECK succeeded on service <=", "DOWN => MISC CHECK failed on service <=");
    assert_eq!(letters(vec![check(script())], false, &[(0, PASS), (0, PASS)]), [passed]);
    assert_eq!(letters(alpha(script()), false, &[(0, FAIL), (0, FAIL)]), [failed]);
    assert!(letters(vec![check(script())], true, &[(0, PASS)]).is_empty());
}

#[test]
fn mail_follows_each_checker_unless_only_servers_are_wanted() {
    let steps = [(0, PASS), (0, FAIL), (0, FAIL), (1, FAIL), (0, PASS), (1, PASS)];
    let mails = |servers_only| letters(vec![check(tcp(80)), check(tcp(81))], servers_only, &steps);
    let (failed, succeeded) = ("=> TCP CHECK failed on service <=", "=> TCP CHECK succeed on service <=");
    assert_eq!(
        mails(false),
        [
            format!("DOWN {failed}"),
            format!("DOWN {failed}"),
            format!("DOWN {succeeded}"),
            format!("UP {succeeded}")
        ]
    );
    assert_eq!(mails(true), [format!("DOWN {failed}"), format!("UP {succeeded}")]);
}

#[test]
fn nothing_is_mailed_of_files() {
    assert!(letters(vec![check(number(0))], false, &[(0, PASS), (0, FAIL), (0, PASS)]).is_empty());
}
