//! What patterns match, as PCRE2 has it.

use super::*;
use crate::model::check::RegexOptions;

const PLAIN: fn(&mut RegexOptions) = |_| {};
const UTF: fn(&mut RegexOptions) = |options| options.unicode = true;
const EMPTY_CLASS: fn(&mut RegexOptions) = |options| options.allow_empty_class = true;
const BSUX: fn(&mut RegexOptions) = |options| options.alt_bsux = true;
const MULTI_LINE: fn(&mut RegexOptions) = |options| options.multi_line = true;
const CIRCUMFLEX: fn(&mut RegexOptions) = |options| {
    options.multi_line = true;
    options.alt_circumflex = true;
};
const DUP_NAMES: fn(&mut RegexOptions) = |options| options.dup_names = true;
const NO_CAPTURE: fn(&mut RegexOptions) = |options| options.no_auto_capture = true;
const UNSET: fn(&mut RegexOptions) = |options| options.match_unset_backref = true;
const CASELESS: fn(&mut RegexOptions) = |options| options.caseless = true;
const EXTENDED: fn(&mut RegexOptions) = |options| options.extended = true;

fn regex(pattern: &str, set: fn(&mut RegexOptions)) -> BodyRegex {
    let mut options = RegexOptions::default();
    set(&mut options);
    BodyRegex { pattern: pattern.to_owned(), inverted: false, options, min_offset: 0, max_offset: None }
}

/// What of a body is matched, by its place.
fn found(pattern: &str, set: fn(&mut RegexOptions), body: &[u8]) -> Option<(usize, usize)> {
    let compiled = compile(&regex(pattern, set)).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    compiled.find(body).unwrap().map(|found| (found.start(), found.end()))
}

fn refused(pattern: &str, set: fn(&mut RegexOptions)) -> String {
    compile(&regex(pattern, set)).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn characters_by_number_are_bytes_unless_utf_makes_them_code_points() {
    for (pattern, body, expected) in [
        (r"x\xa9y", &b".x\xa9y"[..], Some((1, 4))),
        (r"x\xa9y", "x\u{a9}y".as_bytes(), None),
        (r"x\x{a9}y", b"x\xa9y", Some((0, 3))),
        (r"x\251y", b"x\xa9y", Some((0, 3))),
        (r"x\o{251}y", b"x\xa9y", Some((0, 3))),
        (r"x[\x80-\xff]y", b"x\xa9y", Some((0, 3))),
        (r"x[^\xa9]y", b"x\xa9y", None),
        (r"x[\251]y", b"x\xa9y", Some((0, 3))),
        (r"\x4", b"\x04", Some((0, 1))),
        (r"a\xg", b"a\x00g", Some((0, 3))),
        (r"\0\08", b"\x00\x008", Some((0, 3))),
        (r"\e\a\cA\t", b"\x1b\x07\x01\t", Some((0, 4))),
        ("x\u{a9}+y", b"x\xc2\xa9\xa9y", Some((0, 5))),
        ("x[\u{a9}]y", b"x\xc2y", Some((0, 3))),
    ] {
        assert_eq!(found(pattern, PLAIN, body), expected, "{pattern}");
    }
    assert_eq!(found(r"x\xa9y", UTF, "x\u{a9}y".as_bytes()), Some((0, 4)));
    assert_eq!(found(r"x\xa9y", UTF, b"x\xa9y"), None);
    assert_eq!(found("x[\u{a9}]y", UTF, "x\u{a9}y".as_bytes()), Some((0, 4)));
    assert!(refused(r"\x{100}", PLAIN).contains("0x100"));
    assert_eq!(found(r"\x{100}", UTF, "\u{100}".as_bytes()), Some((0, 2)));
}

#[test]
fn quoted_text_and_odd_characters_are_what_they_look_like() {
    for (pattern, body, expected) in [
        (r"a\Q.*\E.", &b"a.*b"[..], Some((0, 4))),
        (r"a\Q.*", b"a.*", Some((0, 3))),
        (r"[\Q^]\E]+", b"]^", Some((0, 2))),
        (r"a\E*", b"aa", Some((0, 2))),
        (r"\<b\>", b"<b>", Some((0, 3))),
        ("a{,3}", b"a{,3}", Some((0, 5))),
        ("a{2}", b"aa", Some((0, 2))),
        ("{}]", b"{}]", Some((0, 3))),
        ("[]a]+", b"a]", Some((0, 2))),
        ("[^]a]", b"]ab", Some((2, 3))),
        ("[a[b]+", b"a[b", Some((0, 3))),
        ("[a&&b]+", b"a&b", Some((0, 3))),
        ("[+--]+", b"-,a", Some((0, 2))),
        (r"[\w.-]+", b"a-.", Some((0, 3))),
        (r"[\w-]+", b"a-.", Some((0, 2))),
        ("[[:digit:]x]+", b"1x", Some((0, 2))),
        ("[[:^digit:]]", b"1x", Some((1, 2))),
        ("[#]", b"#", Some((0, 1))),
    ] {
        assert_eq!(found(pattern, PLAIN, body), expected, "{pattern}");
    }
    assert!(refused("[z-a]", PLAIN).contains("out of order"));
    for pattern in [r"[\w-.]", r"[.-\w]", r"[\h-.]", r"[.-\v]", "[[:alpha:]-.]", "[.-[:alpha:]]"] {
        assert!(refused(pattern, PLAIN).contains("invalid range in a class"), "{pattern}");
    }
    assert!(refused("[[:digits:]]", PLAIN).contains("[:digits:]"));
    assert!(refused(r"\y", PLAIN).contains("\\y"));
    assert!(refused(r"\u0061", PLAIN).contains("\\u"));
}

#[test]
fn blanks_and_line_ends_have_classes_of_their_own() {
    for (pattern, body, expected) in [
        (r"a\hb", &b"a\xa0b"[..], Some((0, 3))),
        (r"a\hb", b"afb", None),
        (r"a\Hb", b"afb", Some((0, 3))),
        (r"[\h]", b"x\t", Some((1, 2))),
        (r"a\vb", b"a\nb", Some((0, 3))),
        (r"a\Vb", b"a\nb", None),
        (r"a\Rb", b"a\r\nb", Some((0, 4))),
        (r"a\Rb", b"a\x85b", Some((0, 3))),
        (r"a\Nb", b"a\nb", None),
        (r"a\Cb", b"a\nb", Some((0, 3))),
        (r"a\Z", b"a\n", Some((0, 1))),
        (r"a\Z", b"a\n\n", None),
    ] {
        assert_eq!(found(pattern, PLAIN, body), expected, "{pattern}");
    }
}

#[test]
fn groups_are_referred_to_by_number_distance_and_name() {
    for (pattern, body, expected) in [
        (r"(a|b)\1", &b"abb"[..], Some((1, 3))),
        (r"(a|b)\g1", b"abb", Some((1, 3))),
        (r"(a|b)\g{-1}", b"abb", Some((1, 3))),
        (r"(?<n>a|b)\k{n}", b"abb", Some((1, 3))),
        (r"(?'n'a|b)\k'n'", b"abb", Some((1, 3))),
        (r"(?P<n>a|b)(?P=n)\1", b"abbb", Some((1, 4))),
        (r"(?<n>a|b)\g{n}", b"abb", Some((1, 3))),
        (r"(a|b)(?1)", b"ab", Some((0, 2))),
        (r"(?<n>a|b)(?&n)\g<n>", b"aba", Some((0, 3))),
        (r"(a)?(?(1)b|c)", b"ab", Some((0, 2))),
        (r"(?<n>a)?(?(<n>)b|c)", b"c", Some((0, 1))),
        (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10", b"abcdefghijj", Some((0, 11))),
        (r"(a)\12", b"a\n", Some((0, 2))),
        (r"(?#(a)(?i)A", b"a", Some((0, 1))),
        (r"(?i:A)b", b"aB", None),
        (r"(?:x)(?x: a b #(\n )c", b"xabc", Some((0, 4))),
    ] {
        let pattern = pattern.replace("#(\\n", "#(\n");
        assert_eq!(found(&pattern, PLAIN, body), expected, "{pattern}");
    }
    assert_eq!(refused(r"(a)\2", PLAIN), "there is no group '2'");
    assert_eq!(refused(r"\k{n}", PLAIN), "there is no group 'n'");
}

#[test]
fn with_dupnames_a_name_stands_for_the_group_that_is_set() {
    let pattern = r"(?:(?<n>a)|(?<n>b))\k<n>";
    assert_eq!(found(pattern, DUP_NAMES, b"abb"), Some((1, 3)));
    assert_eq!(found(pattern, DUP_NAMES, b"aba"), None);
    assert_eq!(refused(pattern, PLAIN), "two groups have the name 'n', which takes the option dupnames");
}

#[test]
fn with_no_auto_capture_only_names_give_groups_numbers() {
    assert_eq!(found(r"(a)(?<n>b)\1", NO_CAPTURE, b"aba abb"), Some((4, 7)));
    assert_eq!(found(r"(a)(?<n>b)\1", PLAIN, b"abb aba"), Some((4, 7)));
    assert_eq!(found(r"(?n:(a))(b)\1", PLAIN, b"aba abb"), Some((4, 7)));
    assert_eq!(found(r"(?-n)(a)(b)\1", NO_CAPTURE, b"abb aba"), Some((4, 7)));
    assert_eq!(refused(r"(a)\1", NO_CAPTURE), "there is no group '1'");
}

#[test]
fn with_match_unset_backref_a_group_that_is_not_set_is_empty() {
    assert_eq!(found(r"(x)?o\1ne", PLAIN, b"one"), None);
    assert_eq!(found(r"(x)?o\1ne", UNSET, b"one"), Some((0, 3)));
    assert_eq!(found(r"(x)?o\1ne", UNSET, b"xone"), Some((1, 4)));
    assert_eq!(found(r"(x)?o\1ne", UNSET, b"xoxne"), Some((0, 5)));
}

#[test]
fn with_allow_empty_class_a_bracket_ends_a_class_at_once() {
    assert_eq!(found("x[]y]", PLAIN, b"x]"), Some((0, 2)));
    assert_eq!(found("x[]|b", EMPTY_CLASS, b"x]b"), Some((2, 3)));
    assert_eq!(found("x[^]y", EMPTY_CLASS, b"x\ny"), Some((0, 3)));
}

#[test]
fn with_alt_bsux_escapes_are_those_of_ecmascript() {
    assert_eq!(found(r"\u006f\x6e\U", BSUX, b"onU"), Some((0, 3)));
    assert_eq!(found(r"\u6f\x6", BSUX, b"u6fx6"), Some((0, 5)));
    assert_eq!(found(r"[\u006f]", BSUX, b"o"), Some((0, 1)));
}

#[test]
fn with_alt_circumflex_it_matches_behind_the_last_line_feed() {
    assert_eq!(found("b\n^", MULTI_LINE, b"a\nb\n"), None);
    assert_eq!(found("b\n^", CIRCUMFLEX, b"a\nb\n"), Some((2, 4)));
    assert_eq!(found("a|^b", MULTI_LINE, b"c\nb"), Some((2, 3)));
    assert_eq!(found("(?m)x|^b", PLAIN, b"c\nb"), Some((2, 3)));
    assert_eq!(found("a|^b", PLAIN, b"c\nb"), None);
}

#[test]
fn case_and_blanks_follow_their_options() {
    assert_eq!(found(r"[^\x61]b", CASELESS, b"abABcb"), Some((4, 6)));
    assert_eq!(found(r"\x61\Qb\E", CASELESS, b"AB"), Some((0, 2)));
    assert_eq!(found("a b # c (\n +d [ ]", EXTENDED, b"abbd "), Some((0, 5)));
}
