//! What parses to what, what is refused and where.

use super::*;

fn printed(query: &str) -> String {
    parse(query).map_or_else(|error| error.to_string(), |expr| expr.to_string())
}

#[test]
fn precedence_and_associativity() {
    // Each query means the same as the one with parentheses.
    for (query, explicit) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("a - b - c", "(a - b) - c"),
        ("-a ^ 2", "-(a ^ 2)"),
        ("-a * b", "(-a) * b"),
        ("2 ^ -a * 3", "(2 ^ (-a)) * 3"),
        ("a or b and c", "a or (b and c)"),
        ("a == b + 1", "a == (b + 1)"),
        ("a offset 2 ^ 2", "(a offset 2) ^ 2"),
    ] {
        let shape = |query: &str| shape(&parse(query).expect("query parses"));
        assert_eq!(shape(query), shape(explicit), "{query}");
    }
}

/// The tree without spans and parentheses.
fn shape(expr: &Expr) -> String {
    let expr = expr.without_parens();
    match &expr.kind {
        ExprKind::Binary(binary) => {
            format!("[{} {} {}]", shape(&binary.lhs), binary.op.as_str(), shape(&binary.rhs))
        }
        ExprKind::Unary(unary) => format!("[{:?} {}]", unary.op, shape(&unary.expr)),
        _ => expr.to_string(),
    }
}

/// A sign binds weaker than `^`: an infinite base is printed without one.
#[test]
fn an_infinite_base_prints_to_the_same_tree() {
    for query in ["Inf ^ 2", "2 - 5E777 ^ 3", "2 ^ 1e999 ^ 3", "-Inf ^ 2", "(-Inf) ^ 2", "+Inf * 2"]
    {
        let expr = parse(query).expect("query parses");
        let again = parse(&expr.to_string()).expect("what is printed parses");
        assert_eq!(shape(&expr), shape(&again), "{query}: {expr}");
    }
}

#[test]
fn queries_print_in_their_normal_form() {
    for (query, expected) in [
        ("SUM(x) BY (job,)", "sum by (job) (x)"),
        ("rate( m{a='b',c!~\"d\"} [5m] )", r#"rate(m{a="b",c!~"d"}[5m])"#),
        (r#"{"my.metric", "a.b"="c"}"#, r#"{"my.metric","a.b"="c"}"#),
        ("m[1h:]", "m[1h:]"),
        (
            "m[-5m+35m:step()*2] @ 12.5 offset -(2*3m)",
            "m[-5m + 35m:step() * 2] @ 12.500 offset -(2 * 3m)",
        ),
        ("a / on(x) group_left(y) fill_right(-1) b", "a / on (x) group_left (y) fill_right (-1) b"),
        ("a + fill(0) fill", "a + fill (0) fill"),
        ("m[5m] smoothed offset 1m", "m[5m] smoothed offset 1m"),
        ("h </ 5", "h </ 5"),
        ("sum", "sum"),
        ("start", "start"),
        ("m @ end()", "m @ end()"),
        ("0x1F + 1e3 + inf + 5m", "31 + 1000 + +Inf + 5m"),
        ("# note\nup", "up"),
        (r#"{__name__="up"}"#, r#"{__name__="up"}"#),
        ("a:b:c", "a:b:c"),
    ] {
        assert_eq!(printed(query), expected, "{query}");
        assert_eq!(printed(expected), expected, "{query}");
    }
}

#[test]
fn a_selector_stands_alone_and_may_match_the_empty_text_where_that_is_asked_for() {
    for (text, strict, any) in [
        ("up{job=\"a\"}", true, true),
        ("{job=~\".*\"}", false, true),
        ("{}", false, true),
        ("", false, false),
        ("up offset 5m", false, false),
        ("up[5m]", false, false),
    ] {
        let found = (parse_selector(text).is_ok(), parse_any_selector(text).is_ok());
        assert_eq!(found, (strict, any), "{text}");
    }
}

#[test]
fn errors_tell_where_and_what_was_expected() {
    for (query, expected) in [
        ("", "1:1: parse error: no expression found in input"),
        ("sum(", "1:5: parse error: unexpected end of input"),
        (
            "sum by x (a)",
            "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\"",
        ),
        ("a +\n* b", "2:1: parse error: unexpected <op:*>"),
        ("a{b=}", "1:5: parse error: unexpected \"}\" in label matching, expected string"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("ratee(x[5m])", "1:1: parse error: unknown function with name \"ratee\""),
        ("1 == 1", "1:1: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "1 and x",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        ("x + bool y", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("1 + on(a) x", "1:5: parse error: vector matching only allowed between instant vectors"),
        (
            "a and on(x) group_left b",
            "1:13: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) group_left(x) b",
            "1:11: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        ("x[5m] offset 1m offset 2m", "1:17: parse error: offset may not be set multiple times"),
        (
            "sum(x) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("x offset 1m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("(x)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("x[5]m", "1:5: parse error: unexpected identifier \"m\""),
        ("x[0s]", "1:3: parse error: duration must be greater than 0"),
        ("x offset 1e10", "1:10: parse error: duration out of range"),
        ("x[5m:-1]", "1:6: parse error: duration must be greater than 0"),
        (
            "x[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        ("x @ foo", "1:5: parse error: unexpected identifier \"foo\" in @, expected timestamp"),
        ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `(`"),
        ("\"a", "1:1: parse error: unterminated quoted string: \"\\\"a\""),
        ("5x", "1:1: parse error: bad number or duration syntax: \"5x\""),
        ("a ; b", "1:3: parse error: unexpected character: \";\""),
        (
            "x[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "round(x, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "histogram_quantiles(x, \"q\")",
            "1:1: parse error: expected at least 3 argument(s) in call to \"histogram_quantiles\", got 2",
        ),
        (
            "histogram_quantiles(x, \"q\", 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0)",
            "1:1: parse error: expected at most 12 argument(s) in call to \"histogram_quantiles\", got 13",
        ),
        (
            "topk(x)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "foo{__name__=\"bar\"}",
            "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
        ),
        (
            "foo{__name__=~\"x\"}",
            "1:1: parse error: metric name must not be set twice: \"foo\" or \"x\"",
        ),
        ("foo{\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        (
            "x + fill(0) 1",
            "1:5: parse error: filling in missing series only allowed between instant vectors",
        ),
        ("x + fill(0) fill(1) y", "1:13: parse error: unexpected <fill>"),
        ("x + fill_left(0) fill(1) y", "1:18: parse error: unexpected <fill>"),
        ("nan{a=\"b\"}", "1:4: parse error: unexpected \"{\""),
        (
            "info(x, y{a=\"b\"})",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        ("info(x, ({a=\"b\"}))", "1:9: parse error: expected label selectors only"),
        (
            "info(x, 1)",
            "1:1: parse error: expected type instant vector in call to function \"info\", got scalar",
        ),
        (
            "info(x, {a=\"b\"}[5m])",
            "1:1: parse error: expected type instant vector in call to function \"info\", got range vector",
        ),
        ("time(1,)", "1:7: parse error: trailing commas not allowed in function call args"),
    ] {
        assert_eq!(printed(query), expected, "{query}");
    }
}

#[test]
fn words_that_look_like_others() {
    for (query, expected) in [
        // Only these two words are numbers.
        ("Inf + nan", "+Inf + NaN"),
        ("infinity", "{\"infinity\"}"),
        // An empty list of labels says nothing.
        ("x + on() 5", "x + 5"),
        ("1 + ignoring() 2", "1 + 2"),
        // Several names in braces all have to hold.
        ("{\"foo\",\"bar\"}", "{__name__=\"foo\",__name__=\"bar\"}"),
        ("{\"foo\",__name__=\"bar\"}", "{__name__=\"foo\",__name__=\"bar\"}"),
        ("{\"foo\",a=\"b\"}", "foo{a=\"b\"}"),
        ("x + fill_left(0) fill_right(1) y", "x + fill_left (0) fill_right (1) y"),
        // What info() takes need not select anything, and may have a time, which has no effect.
        ("info(x, {})", "info(x, {})"),
        ("info(x, {\"b_info\"})", "info(x, {__name__=\"b_info\"})"),
        ("info(x, {a=~\".*\"} @ 60 offset 5m)", "info(x, {a=~\".*\"} @ 60.000 offset 5m)"),
    ] {
        assert_eq!(printed(query), expected, "{query}");
        assert_eq!(printed(expected), expected);
    }
}

#[test]
fn every_node_has_its_place() {
    let query = "sum by (a) (rate(x[5m] offset 1m)) / 2";
    let expr = parse(query).expect("query parses");
    let mut texts = Vec::new();
    expr.walk(&mut |node| texts.push(node.span.text(query).to_owned()));
    assert_eq!(
        texts,
        [
            query,
            "sum by (a) (rate(x[5m] offset 1m))",
            "rate(x[5m] offset 1m)",
            "x[5m] offset 1m",
            "2"
        ]
    );
}

#[test]
fn hostile_texts_are_refused_with_bounded_effort() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for query in [
        deep("(", ")"),
        deep("-", ""),
        deep("abs(", ")"),
        deep("sum(", ")"),
        format!("x[{}5m]", "(".repeat(100_000)),
        format!("x[{}5m]", "5m+".repeat(100_000)),
        "x+".repeat(100_000),
        "2^".repeat(100_000),
        format!("x{}", "[5m:]".repeat(10_000)),
    ] {
        let error = parse(&query).expect_err("too deep").to_string();
        assert!(error.len() < 300, "{error}");
    }
    let long = "x".repeat(10 << 20);
    assert!(parse(&long).expect_err("too long").message.contains("longer than the limit"));
}

mod generated {
    use super::*;
    use proptest::prelude::*;

    fn duration() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("5m".to_owned()),
            Just("1h30m".to_owned()),
            Just("300".to_owned()),
            Just("step()".to_owned())
        ];
        leaf.prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                (
                    inner.clone(),
                    inner.clone(),
                    prop_oneof![Just("+"), Just("-"), Just("*"), Just("^")]
                )
                    .prop_map(|(a, b, op)| format!("{a} {op} {b}")),
                inner.clone().prop_map(|a| format!("(-{a})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("max_of({a}, {b})")),
            ]
        })
    }

    fn selector() -> impl Strategy<Value = String> {
        let matchers = prop_oneof![
            Just(String::new()),
            Just(r#"{a="b"}"#.to_owned()),
            Just(r#"{a!~"x.*",  "b.c"='d"e'}"#.to_owned()),
        ];
        let name = prop_oneof![Just("up"), Just("a:b"), Just("sum"), Just("offset"), Just("by")];
        (name, matchers, prop::option::of(Just(" @ 10.5")), prop::option::of(duration())).prop_map(
            |(name, matchers, at, offset)| {
                let offset = offset.map_or(String::new(), |offset| format!(" offset ({offset})"));
                format!("{name}{matchers}{}{offset}", at.unwrap_or(""))
            },
        )
    }

    fn vector() -> impl Strategy<Value = String> {
        selector().prop_recursive(4, 24, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone(), 0..9_usize).prop_map(|(a, b, op)| {
                    let op = [
                        "+",
                        "- on(x)",
                        "*",
                        "/ ignoring(y) group_left(z)",
                        "== bool",
                        "and",
                        "or",
                        "^",
                        "% fill(0)",
                    ][op];
                    format!("{a} {op} {b}")
                }),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("-{a}")),
                inner.clone().prop_map(|a| format!("sum without (a) ({a})")),
                inner.clone().prop_map(|a| format!("topk(5, {a}) by (b, \"c d\")")),
                (inner.clone(), duration()).prop_map(|(a, d)| format!("rate(({a})[{d}:1m])")),
                inner.prop_map(|a| format!("label_replace({a}, \"x\", `$1`, 'y', \"(.*)\")")),
            ]
        })
    }

    /// Equal trees but for positions.
    fn same(a: &Expr, b: &Expr) -> bool {
        a.to_string() == b.to_string() && shape(a) == shape(b)
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same_tree(query in vector()) {
            let expr = parse(&query).expect("generated queries parse");
            let again = parse(&expr.to_string()).expect("printed queries parse");
            prop_assert!(same(&expr, &again), "{query} -> {expr} -> {again}");
        }

        #[test]
        fn no_text_makes_the_parser_panic(query in "[a-z0-9{}()\\[\\]\"'`:@+*/^<>=!~,. \\\\#é-]{0,60}") {
            if let Ok(expr) = parse(&query) {
                prop_assert!(parse(&expr.to_string()).is_ok(), "{query} -> {expr}");
            }
        }
    }
}
