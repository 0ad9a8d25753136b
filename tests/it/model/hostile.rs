//! No text is too strange: a model loads or is refused with problems, in bounded time and stack.

use std::collections::BTreeMap;

use bailiwick::model::limits::MODEL_TERMS_MAX;
use bailiwick::model::scenario::Scenarios;
use bailiwick::model::{SourceFiles, load};
use proptest::prelude::*;

use super::support::problems;

/// Loads whatever it is; a panic or an abort fails the test.
fn survives(yaml: &str, matrix: &str, tests: &str) {
    let files: SourceFiles =
        [("model.yaml", yaml), ("permissions.csv", matrix), ("tests.yaml", tests)]
            .into_iter()
            .collect();
    if let Err(problems) = load(&files, &BTreeMap::new()) {
        assert!(problems.count() > 0);
        for problem in problems.as_slice() {
            assert!(problem.at.line > 0 && problem.at.column > 0, "{problem}");
            assert!(problem.message.len() < 1_000, "{problem}");
        }
    }
    let _ = Scenarios::parse(&files);
}

fn documented() -> (String, String) {
    let page = include_str!("../../../docs/model.md");
    let fence = |i: usize| page.split("```yaml\n").nth(i).unwrap().split("```").next().unwrap();
    (fence(1).to_owned(), fence(2).to_owned())
}

const MATRIX: &str = "section,permission,label,engineer,site_owner,gate\n\
                      org,org.edit,Edit,yes,no,\n\
                      org,org.audit,Audit,,,\"module:stations/x & verified\"\n\
                      org,org.edit_child,Edit below,1,,not_blocked or (verified)\n";

/// A change of a text: where (in thousandths), how much goes, and what comes.
type Edit = (usize, usize, String);

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, gone, new) in edits {
        let at = at * chars.len() / 1_000;
        let end = (at + gone).min(chars.len());
        chars.splice(at..end, new.chars());
    }
    chars.into_iter().collect()
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let piece = prop_oneof![
        Just(String::new()),
        "[ -~\n]{0,3}",
        "\\PC{0,2}",
        proptest::sample::select(vec![
            "org", "site", "admin", "yes", "no", "*", "&a ", "*a", "[", "]", "{", "}", ": ", "\n",
            "  ", "- ", "\"", "'", "#", "|", "except", "(", ")", ",", "self", "\u{feff}", "\t",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec((0..1_000_usize, 0..8_usize, piece), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_is_refused_not_fatal(yaml in "\\PC{0,200}", matrix in "\\PC{0,100}") {
        survives(&yaml, &matrix, &yaml);
        survives(&format!("model: m\ntypes: {{ user: {{}} }}\ngates: {{ g: '{yaml}' }}\n"), &matrix, "");
    }

    #[test]
    fn random_bytes_are_refused_not_fatal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        survives(&text, &text, &text);
    }

    #[test]
    fn a_damaged_model_is_refused_not_fatal(yaml in edits(), matrix in edits(), tests in edits()) {
        let (model, scenarios) = documented();
        survives(&edited(&model, &yaml), MATRIX, &edited(&scenarios, &tests));
        survives(&model, &edited(MATRIX, &matrix), "");
    }

    #[test]
    fn random_expressions_are_refused_not_fatal(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "admin", "staff", "(", ")", "and", "or", "except", "&", "up(", "here(", ",", "fact(",
                "verified", "condition(", "office", "yes", "no", "self", "anywhere(", "site", "x",
            ]),
            0..20,
        )
    ) {
        let (model, _) = documented();
        let text = words.join(" ");
        survives(&model.replace("admin or engineer", &text), MATRIX, "");
    }
}

/// The one problem of a model with this line in it.
fn refusal(line: &str) -> String {
    let found = problems(&format!("model: m\ntypes: {{ user: {{}}, org: {{}} }}\n{line}\n"), "");
    assert_eq!(found.lines().count(), 1, "{found}");
    found
}

#[test]
fn nesting_without_end_is_refused() {
    let n = 100_000;
    let same_line = ["- ", "? ", "[", "{a: "];
    for piece in same_line {
        let found = problems(&piece.repeat(n), "");
        assert_eq!(found.lines().count(), 1, "{piece}: {found}");
    }
    let staircase: String = (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_eq!(
        problems(&staircase, ""),
        "model.yaml:162:1: the line is nested too deep: over 160 bytes begin it"
    );
    let mut chain = format!("a0: &a0 {}{}\n", "[".repeat(250), "]".repeat(250));
    for i in 1..26 {
        let (open, close) = ("[".repeat(250), "]".repeat(250));
        chain.push_str(&format!("a{i}: &a{i} {open}*a{}{close}\n", i - 1));
    }
    assert_eq!(problems(&chain, ""), "model.yaml:1:41: nested deeper than 32 levels");
    let gate = format!("gates: {{ g: '{}yes{}' }}", "(".repeat(n), ")".repeat(n));
    assert!(refusal(&gate).ends_with("expected at most 63 levels of parentheses, found `(`"));
}

#[test]
fn conditions_are_bounded() {
    let condition = |when: &str| {
        refusal(&format!("conditions: {{ c: {{ parameters: {{ h: int }}, when: \"{when}\" }} }}"))
    };
    let deep = "the syntax tree is over 64 levels deep";
    assert!(condition(&format!("h{} > 1", "+1".repeat(1_000))).ends_with(deep));
    assert!(condition(&format!("h{} == 1", "[0]".repeat(1_000))).ends_with(deep));
    assert!(condition(&format!("{}h{}", "(".repeat(1_000), ")".repeat(1_000))).contains("not CEL"));
    let long = condition(&format!("h > 1{}", " || h > 1".repeat(1_000)));
    assert!(long.ends_with("the expression is longer than 4096 bytes"), "{long}");
}

#[test]
fn what_a_condition_may_cost_is_bounded_when_the_model_is_loaded() {
    let with = |when: &str| {
        let parameters = "{ l: 'list<string>', n: 'list<int>', s: string, h: int, m: 'map<int>', a: 'list<ipaddress>', i: ipaddress }";
        let conditions =
            format!("conditions: {{ c: {{ parameters: {parameters}, when: \"{when}\" }} }}\n");
        problems(&format!("model: m\ntypes: {{ user: {{}} }}\n{conditions}"), "")
    };
    for dear in [
        "l.all(x, x in l)",
        "l.all(x, !(s + x).matches('(x+x+)+y'))",
        "l.all(x, s.contains(x))",
        "l.all(x, s.size() > 3)",
        "l.map(x, s + s).size() >= 0",
        "n.filter(x, x > h).size() > 0",
        "l.all(x, l.size() == (l + l + l).size())",
        "l.all(x, x.matches('a+b'))",
        "a.exists(x, x.in_cidr(s))",
    ] {
        let found = with(dear);
        assert!(found.contains("evaluating it may cost"), "{dear}: {found:?}");
    }
    for cheap in [
        "h >= 8 && h < 18",
        "s == 'a' || s.startsWith('b') || s.matches('^[a-z]+@example[.]com$')",
        "s in l && h in n",
        "l.exists(x, x == s)",
        "l.all(x, x.startsWith(s) || x.size() > 3)",
        "n.exists_one(x, x + 1 > h * 2)",
        "'k' in m && m['k'] > h",
        "a.all(x, x.in_cidr('10.0.0.0/8') || x.in_cidr('2001:db8::/32'))",
        "l.exists(x, i.in_cidr(x))",
    ] {
        assert_eq!(with(cheap), "no problem", "{cheap}");
    }
    // The place of the expression, and the figures.
    let found = with("l.all(x, x in l)");
    assert!(found.starts_with("model.yaml:3:"), "{found}");
    assert!(found.ends_with("on values of 65536 bytes, the limit is 4000000"), "{found}");
}

#[test]
fn what_a_pattern_may_cost_is_bounded_when_the_model_is_loaded() {
    let with = |pattern: &str| {
        let when = format!("'fixed'.matches('{pattern}')");
        problems(
            &format!(
                "model: m\ntypes: {{ user: {{}} }}\nconditions: {{ c: {{ when: \"{when}\" }} }}\n"
            ),
            "",
        )
    };
    // Few characters each, and up to 200 ms at every evaluation.
    for dear in [
        "((a{100}){100}){100}",
        r"\\\\pL{500}",
        r"\\\\w{200}",
        r"(\\\\w{10}){10}",
        r"[\\\\w-]{150}",
        "[^a]{200}",
        r"(?i)\\\\w{30}",
        "a{99999999999}",
    ] {
        let found = with(dear);
        assert!(
            found.contains("evaluating it may cost") || found.contains("not a pattern"),
            "{dear}: {found:?}"
        );
    }
    for cheap in [
        "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^[\\\\w.+-]+@[\\\\w-]+[.][\\\\w.-]+$",
        "(?i)^admin-.{1,64}$",
        "[^/]+/[^/]+",
    ] {
        assert_eq!(with(cheap), "no problem", "{cheap}");
    }
}

#[test]
fn gates_that_double_are_refused() {
    let mut gates = "gates:\n  g0: self or no\n".to_owned();
    for i in 1..60 {
        gates.push_str(&format!("  g{i}: g{0} and (g{0} or self)\n", i - 1));
    }
    let found = problems(&format!("model: m\ntypes: {{ user: {{}} }}\n{gates}"), "");
    assert_eq!(found, "model.yaml:14:16: with its gates the expression has over 2000 terms");
    let mut gates = "gates:\n".to_owned();
    for i in 0..200 {
        gates.push_str(&format!("  g{i}: g{}\n", i + 1));
    }
    gates.push_str("  g200: self\n");
    let found = problems(&format!("model: m\ntypes: {{ user: {{}} }}\n{gates}"), "");
    assert!(found.ends_with("gates within gates, over 64 deep"), "{found}");
}

#[test]
fn long_lists_that_multiply_are_refused() {
    let list = |prefix: &str, n: usize| {
        (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join(", ")
    };
    let types: String = (0..1_500).map(|i| format!("  t{i}: {{}}\n")).collect();
    // By default each role can be held by objects of every type.
    let found = problems(
        &format!(
            "model: m\ntypes:\n{types}roles: [ {{ at: [t0], names: [{}] }} ]\n",
            list("r", 1_500),
        ),
        "",
    );
    let words = format!("the model compiles into over {MODEL_TERMS_MAX} terms");
    assert!(found.ends_with(&words), "{found}");
    assert_eq!(found.lines().count(), 1);
}
