//! Typed conditions: what does not fit is a problem of the model, with its place; what fits does not
//! fail at evaluation for want of a type; each type reads the JSON that is its own.

use bailiwick::model::form::{Model, ParameterType};
use bailiwick::model::values::{convert, standard_scope};
use cel::{ExecutionError, Value};
use serde_json::{Value as Json, json};

use super::support::{model, problems};

const PARAMETERS: [(&str, &str); 11] = [
    ("b", "bool"),
    ("i", "int"),
    ("u", "uint"),
    ("d", "double"),
    ("s", "string"),
    ("t", "timestamp"),
    ("p", "duration"),
    ("ip", "ipaddress"),
    ("l", "list<int>"),
    ("m", "map<string>"),
    ("ips", "list<ipaddress>"),
];

fn yaml(when: &str) -> String {
    let parameters = PARAMETERS.map(|(name, kind)| format!("{name}: '{kind}'")).join(", ");
    let when = when.replace('\'', "''");
    format!(
        "model: m\ntypes: {{ user: {{}} }}\nconditions:\n  c:\n    parameters: {{ {parameters} }}\n    when: '{when}'\n"
    )
}

fn values() -> Vec<Json> {
    vec![
        json!({ "b": true, "i": 3, "u": 4, "d": 0.5, "s": "10.0.0.0/8", "t": "2026-01-15T12:00:00Z",
            "p": "90s", "ip": "10.1.2.3", "l": [1, 2], "m": { "a": "x" }, "ips": ["10.0.0.1"] }),
        json!({ "b": false, "i": "-9223372036854775808", "u": 0, "d": -1e300, "s": "", "t":
            "0001-01-01T00:00:00Z", "p": "-1h30m", "ip": "2001:db8::1", "l": [], "m": {}, "ips": [] }),
    ]
}

fn evaluate(model: &Model, values: &Json) -> Result<Value, ExecutionError> {
    let condition = &model.conditions[0];
    let mut scope = standard_scope();
    for (name, kind) in &condition.parameters {
        let value = convert(&values[name], kind).unwrap_or_else(|| panic!("{name}: {values}"));
        scope.add_variable_from_value(name.clone(), value);
    }
    condition.program.execute(&scope)
}

/// What does not fit, in which column it is told, and with which words.
const MISFITS: &[(&str, usize, &str)] = &[
    (
        "ip.in_cidr('10.0.0.0')",
        23,
        "`10.0.0.0` is no range: expected ADDRESS/BITS such as `10.0.0.0/8` or `2001:db8::/32`",
    ),
    (
        "b && ip.in_cidr('10.1.2.3/8')",
        28,
        "`10.1.2.3/8` sets bits beyond its first 8: expected `10.0.0.0/8`",
    ),
    (
        "s.in_cidr('10.0.0.0/8')",
        21,
        "there is no string.in_cidr(string): expected ipaddress.in_cidr(string)",
    ),
    (
        "ip.in_cidr(ip)",
        22,
        "there is no ipaddress.in_cidr(ipaddress): expected ipaddress.in_cidr(string)",
    ),
    (
        "in_cidr(ip, '10.0.0.0/8')",
        19,
        "there is no in_cidr(ipaddress, string): expected ipaddress.in_cidr(string)",
    ),
    ("ip.in_cdir('10.0.0.0/8')", 22, "`in_cdir` is no function; did you mean `in_cidr`?"),
    (
        "ips.all(x, x.in_cidr('::/129'))",
        33,
        "`::/129` is no range: expected ADDRESS/BITS such as `10.0.0.0/8` or `2001:db8::/32`",
    ),
    ("ip == '10.0.0.1'", 15, "`==` between ipaddress and string, which are never equal"),
    ("'10.0.0.1' in ips", 23, "`in` between string and list<ipaddress>, which are never equal"),
    ("ip != s", 15, "`!=` between ipaddress and string, which are never equal"),
    ("ip < ip", 15, "`<` takes no ipaddress and ipaddress"),
    ("i == '3'", 14, "`==` between int and string, which are never equal"),
    ("i + u > 3", 14, "`+` takes no int and uint"),
    ("s > 3", 14, "`>` takes no string and int"),
    ("t > '2026-01-01T00:00:00Z'", 14, "`>` takes no timestamp and string"),
    ("t + t > t", 14, "`+` takes no timestamp and timestamp"),
    ("i && b", 14, "`&&` takes no int and bool"),
    ("!s", 12, "`!` takes no string"),
    ("-u < 0", 12, "`-` takes no uint"),
    ("i ? b : b", 14, "`? :` takes no int before its `?`"),
    ("i + 1", 14, "the condition is int: expected bool"),
    ("l.size()", 18, "the condition is int: expected bool"),
    ("i.x == 1", 13, "int has no fields"),
    ("l['a'] == 1", 13, "list<int> has no element at string"),
    ("m[1] == 'a'", 13, "map<string> has no element at int"),
    ("m.a == 1", 16, "`==` between string and int, which are never equal"),
    ("'a' in s", 16, "`in` takes no string and string"),
    ("1 in m", 14, "`in` between int and map<string>, which are never equal"),
    ("s.all(x, x == 'a')", 12, "string has no elements to go through"),
    ("l.all(x, x)", 17, "`&&` takes no bool and int"),
    ("l.exists(x, x == 'a')", 26, "`==` between int and string, which are never equal"),
    ("s.size(1) > 0", 18, "there is no string.size(int): expected string|bytes|list|map.size()"),
    (
        "s.getHours() > 8",
        22,
        "there is no string.getHours(): expected timestamp|duration.getHours() or timestamp.getHours(string)",
    ),
    (
        "int(ip) > 0",
        15,
        "there is no int(ipaddress): expected int(int|uint|double|string|timestamp)",
    ),
    ("s.matches('a(')", 22, "not a pattern: unclosed group"),
    ("s.matches(s)", 22, "the pattern of `matches` must be a literal"),
    ("i == null", 14, "`==` between int and null, which are never equal"),
];

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    for (when, column, message) in MISFITS {
        let found = problems(&yaml(when), "");
        assert_eq!(found, format!("model.yaml:6:{column}: {message}"), "{when}");
    }
}

#[test]
fn what_fits_is_a_condition() {
    for when in [
        "ip.in_cidr('10.0.0.0/8') || ip.in_cidr('2001:db8::/32')",
        "ip.in_cidr(s)",
        "ip == ip && ip in ips && !(ip in [ip])",
        "ips.exists(x, x == ip || x.in_cidr('10.0.0.1/32'))",
        "m.all(k, m[k].startsWith('x'))",
        "i == d || i == u || u < d && i in [1.0, 2u, 3]",
        "i + 1 > int(u) && double(i) / 2.0 < d && -d < 1.0 && i % 2 == 0",
        "t - timestamp('2026-01-01T00:00:00Z') > duration('1h') && t + p > t",
        "t.getHours('Europe/Helsinki') >= 8 && p.getMinutes() == 1 && t.getDayOfWeek() < 5",
        "has(m.a) && m.a == 'x' && 'a' in m && m['a'].matches('^x$')",
        "l.exists_one(x, x == 1) && [1, 2].map(x, x * 2).filter(x, x > 2) == [4]",
        "size(s) > 0 && s + 'x' != '' && s.contains('/') && string(i) == '3'",
        "type(i) == int && dyn(s) == 'x'",
        // Of two kinds: nothing is known, so nothing is said.
        "(b ? i : s) == 3",
        "b",
        "true",
    ] {
        assert_eq!(problems(&yaml(when), ""), "no problem", "{when}");
    }
}

#[test]
fn an_address_is_in_a_range_or_it_is_not_known() {
    let value = |when: &str, ip: &str, s: &str| {
        let mut values = values().remove(0);
        values["ip"] = ip.into();
        values["s"] = s.into();
        evaluate(&model(&yaml(when), ""), &values).ok()
    };
    let fixed = "ip.in_cidr('10.0.0.0/8')";
    assert_eq!(value(fixed, "10.1.2.3", ""), Some(Value::Bool(true)));
    assert_eq!(value(fixed, "::ffff:10.1.2.3", ""), Some(Value::Bool(true)));
    assert_eq!(value(fixed, "11.1.2.3", ""), Some(Value::Bool(false)));
    assert_eq!(value(fixed, "2001:db8::1", ""), Some(Value::Bool(false)));
    let given = "ip.in_cidr(s)";
    assert_eq!(value(given, "2001:db8::1", "2001:db8::/32"), Some(Value::Bool(true)));
    assert_eq!(value(given, "10.1.2.3", "::ffff:10.0.0.0/104"), Some(Value::Bool(true)));
    // What is no range is unknown, also where it is denied.
    for text in ["", "10.0.0.0", "10.1.2.3/8", "office"] {
        assert_eq!(value(given, "10.1.2.3", text), None, "{text}");
        assert_eq!(value("!ip.in_cidr(s)", "10.1.2.3", text), None, "{text}");
    }
    let same = "ip == ips[0] && ip in ips && [ip] == ips";
    assert_eq!(value(same, "::ffff:10.0.0.1", ""), Some(Value::Bool(true)));
}

/// Of each parameter, arrays of JSON that it reads and of JSON that it does not.
const READINGS: &[(&str, &str, &str)] = &[
    ("b", "[true, false]", r#"["true", 1, null]"#),
    (
        "i",
        r#"[9, -9, 9.0, "9", "-9223372036854775808", 9223372036854775807]"#,
        r#"[9.5, "9.0", "nine", "", 1e300, 18446744073709551615, true, null, [9], "9223372036854775808"]"#,
    ),
    (
        "u",
        r#"[0, 9.0, "18446744073709551615", 18446744073709551615]"#,
        r#"[-1, "-1", 0.5, false, "18446744073709551616"]"#,
    ),
    ("d", r#"[0.5, 1, -1e300, "0.5", "9007199254740993"]"#, r#"["half", "inf", "", true, null]"#),
    ("s", r#"["", "a"]"#, r#"[1, true, null, ["a"]]"#),
    (
        "t",
        r#"["2026-01-15T12:00:00Z", "2026-01-15T14:00:00.5+02:00"]"#,
        r#"["2026-01-15", "noon", 1768478400, "2026-01-15T12:00:00"]"#,
    ),
    ("p", r#"["90s", "1h30m", "-1.5h", "0"]"#, r#"["90", 90, "1 hour", ""]"#),
    (
        "ip",
        r#"["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"]"#,
        r#"["10.0.0", "10.0.0.1/8", "10.0.0.1:80", "[::1]", "host", 167772161]"#,
    ),
    ("l", r#"[[], [1, "2", 3.0]]"#, r#"[[1, "a"], {}, "1", 1]"#),
    ("m", r#"[{}, { "a": "x" }]"#, r#"[{ "a": 1 }, [], "a"]"#),
    ("ll", "[[[1], []]]", "[[1], [[-1]]]"),
];

#[test]
fn each_type_reads_the_json_that_is_its_own() {
    let of = |name: &str| {
        let source = yaml("b").replace("ips: 'list<ipaddress>'", "ll: 'list<list<uint>>'");
        model(&source, "").conditions[0].parameters[name].clone()
    };
    let values = |text: &str| serde_json::from_str::<Vec<Json>>(text).unwrap();
    for (name, good, bad) in READINGS {
        let kind = of(name);
        for value in values(good) {
            assert!(convert(&value, &kind).is_some(), "{value} is {kind}");
        }
        for value in values(bad) {
            assert!(convert(&value, &kind).is_none(), "{value} is no {kind}");
        }
    }
    assert_eq!(convert(&json!(9.0), &ParameterType::Int), Some(Value::Int(9)));
    assert_eq!(convert(&json!("9"), &ParameterType::Uint), Some(Value::UInt(9)));
    assert_eq!(convert(&json!(9), &ParameterType::Double), Some(Value::Float(9.0)));
}

/// A text that is probably CEL, and often of no type.
fn expression(rng: &mut fastrand::Rng, depth: u8) -> String {
    let leaves = [
        "b",
        "i",
        "u",
        "d",
        "s",
        "t",
        "p",
        "ip",
        "l",
        "m",
        "ips",
        "true",
        "1",
        "2u",
        "0.5",
        "'a'",
        "'10.0.0.0/8'",
        "duration('1h')",
        "timestamp('2026-01-01T00:00:00Z')",
        "[1, 2]",
        "{'a': 1}",
    ];
    let pairs = ["ii", "ll", "uu", "dd", "ss", "tt", "pp", "bb", "tp", "iu", "id"];
    if depth == 0 {
        return leaves[rng.usize(..leaves.len())].to_owned();
    }
    if rng.u8(..10) < 4 {
        // Mostly of one type, so that enough is let through.
        let pair = pairs[rng.usize(..pairs.len())];
        let signs = ["<", ">=", "==", "!=", "+", "-", "in"];
        return format!("({} {} {})", &pair[..1], signs[rng.usize(..signs.len())], &pair[1..]);
    }
    let one = |rng: &mut fastrand::Rng| expression(rng, depth - 1);
    let (x, y) = (one(rng), one(rng));
    match rng.u8(..12) {
        0..=4 => {
            let signs = ["+", "-", "*", "/", "%", "<", "<=", "==", "!=", "&&", "||", "in"];
            format!("({x} {} {y})", signs[rng.usize(..signs.len())])
        }
        5 => format!("{}({x})", ["!", "-"][rng.usize(..2)]),
        6 => format!("({x} ? {y} : {})", one(rng)),
        7 => format!("({x})[{y}]"),
        8 => {
            let names =
                ["size", "int", "uint", "double", "string", "bool", "timestamp", "duration"];
            format!("{}({x})", names[rng.usize(..names.len())])
        }
        9 => {
            let names = ["in_cidr", "contains", "startsWith", "endsWith", "getHours", "getDate"];
            format!("({x}).{}({y})", names[rng.usize(..names.len())])
        }
        10 => {
            let names = ["size", "getHours", "getMinutes", "getFullYear"];
            format!("({x}).{}()", names[rng.usize(..names.len())])
        }
        _ => {
            let names = ["all", "exists", "map", "filter"];
            let element = ["x > 1", "x == 'a'", "x.in_cidr('10.0.0.0/8')", "x + 1 > 2", "b"];
            format!("({x}).{}(x, {})", names[rng.usize(..names.len())], element[rng.usize(..5)])
        }
    }
}

fn is_of_type(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedIndex(..)
            | ExecutionError::UnsupportedTargetType { .. }
    )
}

/// The judgement when a model is loaded against what evaluation does: what is refused for its types never
/// has a value, and what is let through never fails for want of a type.
#[test]
fn types_are_judged_as_evaluation_would() {
    let seed = fastrand::u64(..);
    let (mut refused, mut taken, mut rng) = (0, 0, fastrand::Rng::with_seed(seed));
    let reference = model(&yaml("true"), "");
    for _ in 0..1_000 {
        let depth = rng.u8(1..4);
        let when = expression(&mut rng, depth);
        let found = problems(&yaml(&when), "");
        if found == "no problem" {
            taken += 1;
            let model = model(&yaml(&when), "");
            for values in values() {
                match evaluate(&model, &values) {
                    Ok(Value::Bool(_)) => {}
                    Ok(other) => assert!(when.contains('?'), "seed {seed}: {when} is {other:?}"),
                    Err(error) => {
                        let known = when.contains('?') || !is_of_type(&error);
                        assert!(known, "seed {seed}: {when}: {error}");
                    }
                }
            }
            continue;
        }
        // An operand that is of no type may never be looked at, and unequal is an answer.
        let may_have_a_value =
            ["never equal", "`&&` takes", "`||` takes", "`? :` takes", "no range"];
        let by_cost = found.contains("may cost") || found.contains("comprehension within");
        if by_cost || may_have_a_value.iter().any(|text| found.contains(text)) || short(&when) {
            continue;
        }
        refused += 1;
        let program =
            cel::Program::compile(&when).unwrap_or_else(|error| panic!("{when}: {error}"));
        let mut scope = standard_scope();
        for (name, kind) in &reference.conditions[0].parameters {
            let value = convert(&values()[0][name], kind).unwrap();
            scope.add_variable_from_value(name.clone(), value);
        }
        let outcome = program.execute(&scope);
        assert!(!matches!(outcome, Ok(Value::Bool(_))), "seed {seed}: {when} is refused: {found}");
    }
    assert!(taken > 20 && refused > 100, "seed {seed}: {taken} taken, {refused} refused");
}

/// Whether a part of it may go unlooked at.
fn short(when: &str) -> bool {
    ["&&", "||", "?", ".all(", ".exists(", ".map(", ".filter("]
        .iter()
        .any(|sign| when.contains(sign))
}
