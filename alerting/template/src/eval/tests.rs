use proptest::prelude::*;

use super::*;

fn render(text: &str, dot: &Value) -> Result<String, String> {
    let mut set = Set::new();
    set.add("main", text, &["$value"], &NoFunctions).map_err(|error| error.to_string())?;
    let variables = [("$value", Value::Float(2048.0))];
    set.render("main", dot, &variables, &NoFunctions, &Limits::default())
        .map_err(|error| error.to_string())
}

fn dot() -> Value {
    Value::map([
        ("Status", Value::str("firing")),
        ("Labels", Value::str_map([("alertname", "Down"), ("job", "node")])),
        ("Items", Value::list([Value::Int(1), Value::Int(2), Value::Int(3)])),
        ("When", Value::Time(crate::GoTime::from_millis(0))),
    ])
}

#[test]
fn templates_render_as_in_go() {
    for (text, expected) in [
        ("plain", "plain"),
        ("{{ .Status }} {{ .Labels.job }}[{{ .Labels.nope }}]", "firing node[]"),
        ("{{ $value }} {{ $.Status }}", "2048 firing"),
        ("  {{- \"trim\" -}}   x {{- /* note */ -}}  y", "trimxy"),
        (
            "{{ if eq .Status \"x\" }}a{{ else if eq .Status \"firing\" \"y\" }}b{{ else }}c{{ end }}",
            "b",
        ),
        ("{{ range $i, $x := .Items }}{{ $i }}={{ $x }};{{ end }}", "0=1;1=2;2=3;"),
        ("{{ range .Items }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "13"),
        ("{{ range .Items }}{{ . }}{{ break }}{{ end }}", "1"),
        ("{{ range $k, $v := .Labels }}{{ $k }}:{{ $v }} {{ end }}", "alertname:Down job:node "),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ range .Missing }}x{{ else }}none{{ end }}", "none"),
        ("{{ with .Labels.zzz }}A{{ else with .Status }}B={{ . }}{{ end }}", "B=firing"),
        ("{{ $n := 1 }}{{ if true }}{{ $n = 2 }}{{ end }}{{ $n }}", "2"),
        ("{{ $n := 1 }}{{ if true }}{{ $n := 2 }}{{ end }}{{ $n }}", "1"),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .Status }}", "<firing>"),
        ("{{ block \"b\" .Status }}B:{{ . }}{{ end }}", "B:firing"),
        (
            "{{ 0x1F }} {{ 1_000 }} {{ 'a' }} {{ 1e3 }} {{ .5 }} {{ -3 }} {{ 0b101 }} {{ 0o17 }}",
            "31 1000 97 1000 0.5 -3 5 15",
        ),
        ("{{ (printf \"%s-%d\" .Status (len .Items)) | printf \"%s!\" }}", "firing-3!"),
        ("{{ index .Items 1 }} {{ index .Labels \"job\" }} {{ slice .Status 2 }}", "2 node ring"),
        ("{{ .When.Add 28800e9 }}", "1970-01-01 08:00:00 +0000 UTC"),
        ("{{ (.When.Add 90000000000).Sub .When }}", "1m30s"),
        (
            "{{ html \"<a&'\\\">\" }} {{ js \"it's <y>\" }}",
            "&lt;a&amp;&#39;&#34;&gt; it\\'s \\u003Cy\\u003E",
        ),
        ("{{ and .Status 0 }} {{ or 0 .Status }} {{ not .Status }}", "0 firing false"),
        ("{{ .Missing }}", "<no value>"),
    ] {
        assert_eq!(render(text, &dot()).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn faults_name_the_line_and_the_cause() {
    for (text, part) in [
        ("{{ if }}x{{ end }}", "missing value for if"),
        ("a\n{{ $label.x }}", "line 2: undefined variable \"$label\""),
        ("{{ nope .Status }}", "function \"nope\" not defined"),
        ("{{ range .Items }}unclosed", "{{end}} is missing"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ .Status", "unclosed action"),
        ("{{ /* x }}", "unclosed comment"),
        ("{{ true }} {{ nil }}", "nil is not a command"),
        ("{{ template \"none\" . }}", "template \"none\" not defined"),
        ("{{ eq 1 1.0 }}", "incompatible types"),
        ("{{ .Status.NoSuch }}", "can't evaluate field NoSuch in type string"),
        ("{{ call .Status }}", "non-function"),
        ("{{ and }}", "wrong number of args for and"),
        ("\n\n{{ index .Items 7 }}", "line 3: error calling index: index out of range: 7"),
        ("{{ break }}", "outside {{range}}"),
        ("{{ 1 | 2 }}", "non executable command"),
        ("{{ \"x\" 1 }}", "can't give argument to non-function"),
        (
            "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}",
            "nesting of templates",
        ),
        ("{{ range 900000 }}{{ range 900000 }}x{{ end }}{{ end }}", "is more than"),
    ] {
        let error = render(text, &dot()).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn an_empty_definition_does_not_replace_a_full_one() {
    let mut set = Set::new();
    set.add("t", "full", &[], &NoFunctions).expect("parses");
    set.add("t", " \n", &[], &NoFunctions).expect("parses");
    let text = set.render("t", &Value::Nil, &[], &NoFunctions, &Limits::default());
    assert_eq!(text.as_deref(), Ok("full"));
}

/// Writes texts in angle brackets.
struct Bracketing;

impl Functions for Bracketing {
    fn knows(&self, name: &str) -> bool {
        name == "again"
    }

    fn call(&self, _: &str, arguments: &[Value], host: &mut Host<'_>) -> Result<Value, String> {
        host.render_text("{{ . }}", &Value::list(arguments.iter().cloned())).map(Value::str)
    }

    fn shown(&self, value: &Value) -> Option<String> {
        matches!(value, Value::Str(_)).then(|| format!("<{value}>"))
    }
}

#[test]
fn functions_say_how_values_stand_in_the_text() {
    let mut set = Set::new();
    let text = "a{{ .Status }}{{ 1 }}{{ define \"t\" }}{{ . }}{{ end }}{{ template \"t\" \"b\" }}{{ $x := \"c\" }}{{ again 2 }}";
    set.add("main", text, &[], &Bracketing).expect("parses");
    let text = set.render("main", &dot(), &[], &Bracketing, &Limits::default());
    assert_eq!(text.as_deref(), Ok("a<firing>1<b><[2]>"));
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in r#"(\{\{|\}\}|-| |\.|\$|x|if|end|range|define|"|`|\(|\)|\||:=|=|é|1|\n|/\*|\*/){0,40}"#) {
        // The property is that neither parsing nor running panics, and that refusals say something.
        if let Err(message) = render(&text, &dot()) {
            prop_assert!(!message.is_empty());
        }
    }
}
