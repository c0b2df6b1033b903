//! Lines as they come out: comments, conditions, parameters, repetition, includes, and their limits.

use super::*;
use crate::source::Memory;

/// Lines of a configuration, and the codes of its diagnostics.
fn lines_with(source: &Memory, id: &str) -> (Vec<String>, Vec<&'static str>) {
    let mut problems = Collector::default();
    let settings = Settings { config_id: id, seed: 7, strict_includes: false };
    let out = preprocess(source, "/etc/k/main.conf", &settings, &mut problems);
    let lines = out.lines.iter().map(|span| out.texts.text(*span).to_owned()).collect();
    (lines, problems.finish(&out.texts).iter().map(|diagnostic| diagnostic.code.0).collect())
}

fn lines(text: &str) -> (Vec<String>, Vec<&'static str>) {
    lines_with(&Memory::new().with("/etc/k/main.conf", text), "node1")
}

/// Code, line and message of what stops the reading.
fn refusal(source: &Memory) -> String {
    let mut problems = Collector::default();
    let settings = Settings { config_id: "", seed: 7, strict_includes: false };
    let out = preprocess(source, "/etc/k/main.conf", &settings, &mut problems);
    let found = problems.finish(&out.texts);
    let shown = found.iter().map(|problem| {
        let line = problem.place.as_ref().map_or(0, |place| place.line);
        format!("{} line {line}: {}", problem.code.0, problem.message)
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn refused(text: &str) -> String {
    refusal(&Memory::new().with("/etc/k/main.conf", text))
}

fn good(text: &str) -> Vec<String> {
    let (lines, codes) = lines(text);
    assert_eq!(codes, [""; 0], "{lines:?}");
    lines
}

#[test]
fn comments_and_blank_lines_vanish() {
    assert_eq!(good("# x\n\n  a b ! c\r\n\td\n"), ["a b", "d"]);
}

#[test]
fn conditional_lines_follow_the_configuration_id() {
    assert_eq!(good("@node1 a\n@node2 b\n@^node2 c\n@^node1 d\n@node1\n@^x @^y e"), ["a", "c", "e"]);
}

#[test]
fn parameters_are_replaced_and_may_refer_to_each_other() {
    assert_eq!(good("$A=x\n$B= y $A\nk $B,z ${A}z $A"), ["k y x,z xz x"]);
}

#[test]
fn a_parameter_of_several_lines_becomes_several_lines() {
    assert_eq!(good("$L=one \\\n  two \\\n\n three\nhead $L\ntail"), ["head one", "two", "three", "tail"]);
}

#[test]
fn unknown_parameters_stay_and_are_told() {
    assert_eq!(lines("a $NO b"), (vec!["a $NO b".into()], vec!["W0014"]));
    assert_eq!(good("a \"$NO\" b"), ["a \"$NO\" b"]);
}

#[test]
fn built_ins_have_their_values() {
    let source = Memory::new()
        .with("/etc/k/main.conf", "a ${_ENV X} $_PWD $_INSTANCE $_HASH\nb ${_RANDOM 5 5}")
        .with_environment("X", "env");
    assert_eq!(lines_with(&source, "n1").0, ["a env /etc/k n1 #", "b 5"]);
}

#[test]
fn a_seed_makes_random_numbers_repeat() {
    let text = "global_defs {\nrandom_seed 5\n}\na ${_RANDOM} ${_RANDOM 1 6}\nrandom_seed 5\na ${_RANDOM} ${_RANDOM 1 6}";
    let lines = good(text);
    assert_eq!(lines[3], lines[5]);
}

#[test]
fn sequences_count_up_down_and_in_hexadecimal() {
    assert_eq!(good("~SEQ(X, 2) a $X"), ["a 1", "a 2"]);
    assert_eq!(good("~SEQ(X, 3, 1) a $X"), ["a 3", "a 2", "a 1"]);
    assert_eq!(good("~SEQx(X, 9, 1, 11) a${X}"), ["a9", "aa", "ab"]);
    assert_eq!(good("~SEQ(X, 2) ~SEQ(Y, 1, 2) ${X}-$Y"), ["1-1", "1-2", "2-1", "2-2"]);
}

#[test]
fn lists_set_one_or_several_parameters() {
    assert_eq!(good("~LST(X, a, b) k $X"), ["k a", "k b"]);
    assert_eq!(good("~LST({X,Y}, {a,1}, {b}) k ${X}-${Y}."), ["k a-1.", "k b-."]);
}

#[test]
fn a_sequence_that_never_ends_is_refused() {
    assert_eq!(lines("~SEQ(X, 1, -1, 5) a").1, ["E0008"]);
    assert_eq!(lines("~SEQ(X, 1, 0, 5) a").1, ["E0008"]);
    assert_eq!(lines("~SEQ a").1, ["E0008"]);
}

#[test]
fn repetitions_end_with_the_text_that_they_may_make() {
    assert_eq!(lines("~SEQ(X, 1000000000) ").1, ["E0007"]);
    assert_eq!(lines("~SEQ(X, 100000) ~SEQ(Y, 100000) a $X").1, ["E0007"]);
}

#[test]
fn the_work_the_lines_and_the_text_of_repetitions_have_limits() {
    assert_eq!(good("~SEQ(X, 250000) a").len(), 250_000);
    assert_eq!(
        refused("~SEQ(X, 250001) a\nb"),
        "E0007 line 1: substitution and repetition made more than 250000 lines"
    );
    assert_eq!(
        refused("a\n~SEQ(X, 1000000000) "),
        "E0007 line 2: substitution and repetition moved more than 67108864 bytes about"
    );
    let long = "x".repeat(8_000);
    assert_eq!(
        refused(&format!("~SEQ(X, 1000000000) {long}")),
        "E0007 line 1: substitution and repetition made more than 16777216 bytes of text"
    );
}

#[test]
fn repetitions_inside_each_other_have_a_limit() {
    let nested = |depth: usize| "~SEQ(X, 1) ".repeat(depth) + "a";
    assert_eq!(good(&nested(32)), ["a"]);
    assert_eq!(refused(&nested(33)), "E0009 line 1: parameters and repetitions are nested more than 32 deep");
}

#[test]
fn a_line_of_a_thousand_references_is_read_and_one_more_is_refused() {
    let line = |references: usize| format!("$A=x\nk{}", " $A".repeat(references));
    assert_eq!(good(&line(1_000)), [format!("k{}", " x".repeat(1_000))]);
    assert_eq!(
        refused(&line(1_001)),
        "E0009 line 2: more than 1000 references in one line; does a parameter refer to itself?"
    );
    let long = "x".repeat(8_000);
    assert_eq!(
        refused(&format!("$A={long}\nk $A $A $A")),
        "E0009 line 2: more than 8191 bytes in one line; does a parameter refer to itself?"
    );
}

#[test]
fn a_parameter_of_256_kib_is_read_and_one_more_byte_is_refused() {
    // Lines of 1 023 bytes and the newline between them.
    let lines = |count: usize, last: usize| {
        let more = format!("{} \\\n", "x".repeat(1_023)).repeat(count);
        format!("a\n$LONG=\\\n{more}{}\n", "y".repeat(last))
    };
    assert_eq!(good(&lines(255, 1_024)), ["a"]);
    assert_eq!(refused(&lines(255, 1_025)), "E0009 line 2: parameter LONG holds more than 262144 bytes");
}

#[test]
fn parameters_that_refer_to_themselves_are_refused() {
    assert_eq!(lines("$A=$A\n$A").1, ["E0009"]);
    assert_eq!(lines("$A=$A $A\nk $A").1, ["E0009"]);
    assert_eq!(lines("$A=x \\\n$A\n$A").1, ["E0009"]);
    assert_eq!(lines("$A=$B\n$B=$A\nk $A").1, ["E0009"]);
}

#[test]
fn a_line_of_64_kib_is_refused_and_the_longest_is_not() {
    assert_eq!(lines(&"x".repeat(65_536)).1, ["E0005"]);
    assert_eq!(lines(&"x".repeat(8_192)).1, ["E0005"]);
    assert_eq!(good(&"x".repeat(8_191)).len(), 1);
}

#[test]
fn a_line_with_a_nul_byte_is_refused() {
    assert_eq!(lines("a\0b").1, ["E0006"]);
}

#[test]
fn files_of_more_than_64_mib_are_refused() {
    assert_eq!(lines(&"#\n".repeat(33 * 1024 * 1024)).1, ["E0011"]);
}

#[test]
fn the_seventeenth_file_inside_another_is_refused() {
    let chain = |length: usize| {
        let start = Memory::new().with("/etc/k/main.conf", "include f0");
        let link = |source: Memory, number: usize| {
            let next =
                if number + 1 < length { format!("include f{}", number + 1) } else { "end".to_owned() };
            source.with(&format!("/etc/k/f{number}"), next)
        };
        lines_with(&(0..length).fold(start, link), "")
    };
    assert_eq!(chain(16), (vec!["end".to_owned()], vec![]));
    assert_eq!(chain(17).1, ["E0004"]);
}

#[test]
fn the_4097th_file_is_refused() {
    let folder = |files: usize| {
        let start = Memory::new().with("/etc/k/main.conf", "include d/*\ninclude e/*");
        (1..files).fold(start, |source, number| {
            let folder = if number % 2 == 0 { 'd' } else { 'e' };
            source.with(&format!("/etc/k/{folder}/f{number:04}"), "a")
        })
    };
    assert_eq!(lines_with(&folder(4_096), "").0.len(), 4_095);
    assert_eq!(refusal(&folder(4_096)), "");
    assert_eq!(refusal(&folder(4_097)), "E0004 line 2: /etc/k/e/f4095 is one more than 4096 files together");
}

#[test]
fn a_pattern_of_more_than_4096_names_is_refused() {
    let start = Memory::new().with("/etc/k/main.conf", "include */f");
    let source = (0..4_097).fold(start, |source, number| source.with(&format!("/etc/k/{number}/f"), "a"));
    assert_eq!(refusal(&source), "E0004 line 1: include /etc/k/*/f: more than 4096 names match");
}

#[test]
fn an_include_of_256_alternatives_is_read_and_one_more_is_refused() {
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let include = |count: usize| format!("include {{{}}}", names(count));
    assert_eq!(lines(&include(256)).1, ["W0003"; 256]);
    let excess = refused(&include(257));
    assert!(excess.starts_with("E0004 line 1: include /etc/k/{0,1,2,"), "{excess}");
    assert!(excess.ends_with(",256}: more than 256 alternatives"), "{excess}");
    let product = refused("include {a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}");
    assert!(product.ends_with(": more than 256 alternatives"), "{product}");
}

#[test]
fn includes_are_relative_to_their_file_and_sorted() {
    let source = Memory::new()
        .with("/etc/k/main.conf", "include d/*.conf\ninclude one.{x,y}")
        .with("/etc/k/d/b.conf", "b\ninclude ../k2")
        .with("/etc/k/d/a.conf", "a")
        .with("/etc/k/d/../k2", "rel")
        .with("/etc/k/one.x", "x")
        .with("/etc/k/one.y", "y");
    assert_eq!(lines_with(&source, "").0, ["a", "b", "rel", "x", "y"]);
}

#[test]
fn strict_includes_are_errors_and_others_warnings() {
    assert_eq!(lines("include nothing").1, ["W0003"]);
    assert_eq!(lines("includer nothing").1, ["W0003"]);
    assert_eq!(lines("includem nothing").1, ["E0002"]);
    assert_eq!(lines("includem no*").1, ["W0003"]);
    assert_eq!(lines("includew no*").1, ["E0002"]);
    assert_eq!(lines("includeb n{1,2}").1, ["E0002", "E0002"]);
    assert_eq!(lines("include_check match\ninclude nothing").1, ["E0002"]);
    assert_eq!(lines("include_check match }\ninclude nothing").1, ["E0002"]);
    assert_eq!(lines("include_check\ninclude_check -match\ninclude nothing").1, ["W0003"]);
}

#[test]
fn files_that_include_each_other_are_refused() {
    assert_eq!(lines("include main.conf").1, ["E0004"]);
    let source = Memory::new().with("/etc/k/main.conf", "include b").with("/etc/k/b", "include main.conf");
    assert_eq!(lines_with(&source, "").1, ["E0004"]);
}
