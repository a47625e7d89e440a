//! What patterns and templates mean in Go, case by case.

use super::*;

#[test]
fn patterns_mean_what_they_mean_in_re2() {
    for (pattern, matched, others) in [
        // Without a repetition behind them braces are literal.
        ("a{", &["a{"][..], &["a"][..]),
        ("{x}", &["{x}"], &["x"]),
        ("a{,3}", &["a{,3}"], &["aaa"]),
        ("a{2}", &["aa"], &["a{2}"]),
        ("a{1,}b", &["aab"], &["b"]),
        (r"\p{Greek}\x{62}[{]", &["αb{"], &["ab{"]),
        // Classes of ASCII.
        (r"\d", &["7"], &["٣", "\\d"]),
        (r"\w+", &["a_9"], &["é", "-"]),
        (r"\s", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
        (r"\D\W\S", &["é-é", "٣٣٣"], &["1-a", "aaa"]),
        (r"[\d_]+", &["1_2"], &["٣"]),
        (r"[\D]", &["a", "٣"], &["1"]),
        (r"[^\W]", &["a"], &["-", "é"]),
        (r"[\d-z]+", &["1-z"], &["y"]),
        (r"é\bé|a\b-", &["a-"], &["éé"]),
        (r"a\Bb|é\Bé", &["ab", "éé"], &["a-", "é"]),
        (r"a\Bé|-\Ba", &[], &["aé", "-a"]),
        // No operations between classes, and no classes within classes.
        ("[a&&b]+", &["a&b"], &["c"]),
        ("[a~~b]+", &["a~b"], &["c"]),
        ("[!--b]+", &["#-b"], &["a", "."]),
        ("[+--]", &[",", "-"], &["."]),
        ("[a-]+", &["a-"], &["b"]),
        ("[-a^]+", &["-a^"], &["b"]),
        ("[[:foo]+", &["[:o"], &["a"]),
        (r"\<init\>", &["<init>"], &["init"]),
        ("[[a]+", &["[a"], &["]"]),
        ("[^[]", &["a"], &["["]),
        ("[a[b]", &["a", "[", "b"], &["ab"]),
        ("[]a]", &["]", "a"], &["[]a]"]),
        ("[[:alpha:]_]+", &["a_"], &[":", "["]),
        ("[[:^alpha:]]", &["1"], &["a"]),
        // Quoted texts and octal characters.
        (r"\Qa.b\E.", &["a.bc"], &["axbc"]),
        (r"a\Q.*", &["a.*"], &["abc"]),
        (r"\101\07\0", &["A\u{7}\0"], &["101"]),
        (r"\.\[\{\\", &[r".[{\"], &["a"]),
        (r"[\x41\x{e9}\n]\a?", &["A", "é", "\n\u{7}"], &["x"]),
        (r"\p{^Greek}\PN\pL", &["aaα"], &["αaa", "a1a"]),
        // Flags, for a group or from there on; what is told twice counts once.
        ("(?i)a(?-i:b)c", &["AbC"], &["aBc"]),
        ("(?ii-i:a)(?)b", &["ab"], &["Ab"]),
        ("(?<n>a)(?P<m_1>b)", &["ab"], &["a"]),
        ("(?-s)a.b", &["axb"], &["a\nb"]),
        // Repetitions that are none, and those that may be.
        ("a{01}", &["a{01}"], &["a"]),
        ("a{2,}?b??", &["aa", "aaab"], &["a"]),
        ("(?:a{10}){100}|x{1000}", &[], &["x"]),
        ("(?:(?:a{1000}){0}b){2}", &["bb"], &["b"]),
        ("(?:a{2}|b{3}){333}", &[], &["aa"]),
    ] {
        let regex = anchored_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for text in matched {
            assert!(regex.is_match(text), "{pattern} {text:?}");
        }
        for text in others {
            assert!(!regex.is_match(text), "{pattern} {text:?}");
        }
    }
    for pattern in ["{", "[[", "[[:", r"\Q\E", r"\", "{1", "(", "(?<"] {
        let long = pattern.repeat(1 << 18);
        if let Ok(text) = translated(&long) {
            assert!(text.len() <= 2 * long.len(), "read once, whatever stands in it");
        }
    }
}

#[test]
fn what_re2_refuses_is_refused_in_the_words_of_go() {
    for (pattern, expected) in [
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"a\yb", r"invalid escape sequence: `\y`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\x4", r"invalid escape sequence: `\x4`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        ("x[a", "missing closing ]: `[a`"),
        ("[]", "missing closing ]: `[]`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
        (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
        ("(", "missing closing ): `(`"),
        ("a(b(c)", "missing closing ): `a(b(c)`"),
        ("a)|(b", "unexpected ): `a)|(b`"),
        (")|(", "unexpected ): `)|(`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("(+?)", "missing argument to repetition operator: `+?`"),
        ("a|{2}", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*+b", "invalid nested repetition operator: `*+`"),
        ("a??*?", "invalid nested repetition operator: `??*?`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("a{0,1001}?", "invalid repeat count: `{0,1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(?:a{100}|b){11}?", "invalid repeat count: `{11}?`"),
        ("((a{10,}){10}){11}", "invalid repeat count: `{11}`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?u:a)", "invalid or unsupported Perl syntax: `(?u`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
        ("(?<>c)", "invalid named capture: `(?<>`"),
    ] {
        let error = anchored_regex(pattern).expect_err(pattern);
        assert_eq!(error.to_string(), format!("error parsing regexp: {expected}"), "{pattern}");
        assert_eq!(searching_regex(pattern).expect_err(pattern), error, "{pattern}");
    }
    // What only the engine knows has its words.
    let error = anchored_regex(r"\p{NoSuchScript}").expect_err("no such script").to_string();
    assert!(error.starts_with("error parsing regexp: ") && !error.contains('\n'), "{error}");
    let error = anchored_regex(r"(?:\pL{1000}){1}\pL{1000}").expect_err("too large").to_string();
    assert!(error.starts_with("error parsing regexp: expression too large: `"), "{error}");
}

#[test]
fn texts_are_searched_and_replaced_as_by_go() {
    for (pattern, text, template, expected) in [
        ("a*", "baac", "x", "xbxcx"),
        ("b+", "abbabbbac", "x", "axaxac"),
        ("(?P<head>[^-]+)-(.*)", "web-7", "${2}_$head", "7_web"),
        ("(.)d(.)", "sda", "$2$1", "as"),
        ("(a)", "a-a", "$1x", "-"),
        (r"\d", "٣3", "n", "٣n"),
        (r"\pN+", "a٣12b", "<$0>", "a<٣12>b"),
        (r"\B", "é", "-", "-é-"),
        ("a.b", "a\nb axb", "", "a\nb "),
        ("^a|a$", "aba", "$$", "$b$"),
    ] {
        let regex = searching_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(replace_all(&regex, text, template), expected, "{pattern} in {text:?}");
    }
}

#[test]
fn templates_are_filled_as_by_go() {
    let regex = anchored_regex("(a+)(?P<name>b+)(c)?").expect("a pattern");
    let captures = regex.captures("aabbb").expect("matches");
    for (template, expected) in [
        ("$1-$2", "aa-bbb"),
        ("${1}x$name", "aaxbbb"),
        ("$0", "aabbb"),
        ("$1x", ""),
        ("$3$4$other", ""),
        ("$$1", "$1"),
        ("$01${01}", ""),
        ("${a-b}${}", "${a-b}${}"),
        ("x$é", "x"),
        ("$1é", ""),
        ("$1²", "aa²"),
        ("$-$", "$-$"),
        ("${1", "${1"),
    ] {
        assert_eq!(expand(&captures, template), expected, "{template}");
    }
}
