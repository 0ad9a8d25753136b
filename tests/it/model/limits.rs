//! The bounds of a model, to the number: what is at the bound loads, what is one over is refused with
//! the bound in the message.

use bailiwick::model::limits::{
    CONDITION_BYTES_MAX, CONDITION_COST_MAX, CONDITION_DEPTH_MAX, EXPRESSION_DEPTH_MAX,
    EXPRESSION_EXPANDED_DEPTH_MAX, EXPRESSION_NODES_MAX, MATRIX_CELLS_MAX, MATRIX_COLUMNS_MAX,
    PARAMETER_DEPTH_MAX, PERMISSIONS_MAX, SUGGESTED_BYTES_MAX, YAML_DEPTH_MAX,
    YAML_INDENT_BYTES_MAX,
};

use super::support::problems;

const NONE: &str = "no problem";

/// The problems of a small model with these lines.
fn with(lines: &str) -> String {
    problems(&format!("model: m\ntypes: {{ user: {{}}, org: {{}} }}\n{lines}\n"), "")
}

#[track_caller]
fn assert_bound(at: &str, over: &str, words: &str) {
    assert_eq!(at, NONE, "at the bound");
    assert!(over.contains(words), "no `{words}` in: {over}");
}

fn listed(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_model_has_so_many_permissions_and_a_matrix_so_many_rows_and_columns() {
    let matrix = |rows: usize, columns: usize| {
        let yaml = format!(
            "model: m\ntypes: {{ user: {{}}, org: {{}} }}\n\
             roles: [ {{ at: [org], names: [{}] }} ]\n\
             matrices: [ {{ name: m, file: m.csv, at: [org], bound: org }} ]\n",
            listed(columns, |i| format!("r{i}"))
        );
        let header = listed(columns, |i| format!("r{i}")).replace(' ', "");
        let blank = ",".repeat(columns);
        let rows: String = (0..rows).map(|i| format!("p{i}{blank}\n")).collect();
        problems(&yaml, &format!("permission,{header}\n{rows}"))
    };
    let words = format!("a matrix has at most {PERMISSIONS_MAX} rows");
    assert_bound(&matrix(PERMISSIONS_MAX, 1), &matrix(PERMISSIONS_MAX + 1, 1), &words);
    let words = format!("a matrix has at most {MATRIX_COLUMNS_MAX} role columns");
    assert_bound(&matrix(1, MATRIX_COLUMNS_MAX), &matrix(1, MATRIX_COLUMNS_MAX + 1), &words);
    // Two matrices together.
    let yaml = "model: m\ntypes: { user: {}, org: {} }\nroles: [ { at: [org], names: [r] } ]\n\
        matrices:\n  - { name: a, file: m.csv, at: [org], bound: org }\n";
    let more = format!("{yaml}permissions: {{ one_more: {{ at: [org], is: r }} }}\n");
    let rows: String = (0..PERMISSIONS_MAX).map(|i| format!("p{i},\n")).collect();
    let rows = format!("permission,r\n{rows}");
    let words = format!("a model has at most {PERMISSIONS_MAX} permissions");
    assert_bound(&problems(yaml, &rows), &problems(&more, &rows), &words);
}

#[test]
fn a_matrix_file_writes_so_many_cells() {
    let yaml = "model: m\ntypes: { user: {}, org: {} }\n\
        matrices: [ { name: m, file: m.csv, at: [org], bound: org } ]\n";
    let header = listed(MATRIX_COLUMNS_MAX, |i| format!("r{i}")).replace(' ', "");
    // The fields are left out, which is a problem too; they count nonetheless.
    let matrix = |rows: usize| {
        let rows: String = (0..rows).map(|i| format!("p{i}\n")).collect();
        problems(yaml, &format!("permission,{header}\n{rows}"))
    };
    let words = format!("a matrix file has at most {MATRIX_CELLS_MAX} cells");
    let fit = MATRIX_CELLS_MAX / MATRIX_COLUMNS_MAX;
    assert!(!matrix(fit).contains(&words));
    assert!(matrix(fit + 1).contains(&words));
    // In the long form a line is a cell, however often its row was begun, and rows do not count twice.
    let lines: String = (0..PERMISSIONS_MAX + 9).map(|i| format!("p{},r{i}\n", i % 7)).collect();
    let long = problems(yaml, &format!("permission,role\n{lines}"));
    assert!(!long.contains("rows") && long.contains("at most 4096 roles"), "{}", &long[..200]);
}

#[test]
fn yaml_nests_so_deep_and_begins_its_lines_so_far_right() {
    // Unknown keys are problems too, but not for their depth.
    let nested = |levels: usize| with(&format!("x: {}{}", "[".repeat(levels), "]".repeat(levels)));
    let words = format!("nested deeper than {YAML_DEPTH_MAX} levels");
    let deepest = (1..100).find(|levels| nested(*levels).contains(&words)).unwrap();
    // The document itself is level 0, the value of `x` is level 1.
    assert_eq!(deepest, YAML_DEPTH_MAX + 1, "{}", nested(deepest));
    let indented = |bytes: usize| with(&format!("gates:\n{}g: \"no\"", " ".repeat(bytes)));
    let words = format!("over {YAML_INDENT_BYTES_MAX} bytes begin it");
    assert_bound(&indented(YAML_INDENT_BYTES_MAX), &indented(YAML_INDENT_BYTES_MAX + 1), &words);
}

#[test]
fn expressions_are_bounded_as_written_and_with_their_gates() {
    let gate = |text: &str| with(&format!("gates: {{ g: '{text}' }}"));
    let parens = |levels: usize| gate(&format!("{}no{}", "(".repeat(levels), ")".repeat(levels)));
    // What stands in the innermost ones is a level too.
    let words = format!("at most {} levels of parentheses", EXPRESSION_DEPTH_MAX - 1);
    assert_bound(&parens(EXPRESSION_DEPTH_MAX - 1), &parens(EXPRESSION_DEPTH_MAX), &words);

    let of =
        |levels: usize| gate(&format!("{}no{}", "of(target, ".repeat(levels), ")".repeat(levels)));
    assert_bound(&of(EXPRESSION_DEPTH_MAX - 1), &of(EXPRESSION_DEPTH_MAX), &words);
    // The deepest that can be written, four nodes a level, is no deeper than what gates expand to.
    let linked = |levels: usize| {
        let open = "self or self and as(kin, ".repeat(levels);
        let close = " except self)".repeat(levels);
        let types = "types: { user: {}, org: { relations: { kin: [user] } } }";
        problems(&format!("model: m\n{types}\ngates: {{ g: '{open}self{close}' }}\n"), "")
    };
    assert_bound(&linked(EXPRESSION_DEPTH_MAX - 1), &linked(EXPRESSION_DEPTH_MAX), &words);

    let wide = |terms: usize| gate(&vec!["self"; terms].join(" or "));
    let words = format!("over {EXPRESSION_NODES_MAX} terms");
    // The `or` is a node too.
    assert_bound(&wide(EXPRESSION_NODES_MAX - 1), &wide(EXPRESSION_NODES_MAX), &words);

    let chain = |length: usize| {
        let links = listed(length, |i| format!("g{i}: g{}", i + 1));
        with(&format!("gates: {{ {links}, g{length}: self }}"))
    };
    let words = format!("gates within gates, over {EXPRESSION_DEPTH_MAX} deep");
    // So many links join one gate more.
    assert_bound(&chain(EXPRESSION_DEPTH_MAX - 1), &chain(EXPRESSION_DEPTH_MAX), &words);

    // Each gate is itself as deep as it may be, and the next stands at its bottom.
    let tower = |floors: usize, levels: usize| {
        let (open, close) = ("(self or (self and ".repeat(levels), "))".repeat(levels));
        let floor = |i: usize| format!("g{i}: '{open}g{}{close}'", i + 1);
        with(&format!("gates: {{ {}, g{floors}: self }}", listed(floors, floor)))
    };
    let words = format!("over {EXPRESSION_EXPANDED_DEPTH_MAX} levels");
    // Each level of it has two parentheses.
    let levels = EXPRESSION_EXPANDED_DEPTH_MAX / 2 / 4 - 2;
    assert_bound(&tower(3, levels), &tower(5, levels), &words);
}

#[test]
fn conditions_are_bounded_in_bytes_depth_and_cost() {
    let condition = |parameters: &str, when: &str| {
        with(&format!(
            "conditions: {{ c: {{ parameters: {{ {parameters} }}, when: \"{when}\" }} }}"
        ))
    };
    let long = |bytes: usize| condition("h: int", &format!("h>1{}", " ".repeat(bytes - 3)));
    let words = format!("longer than {CONDITION_BYTES_MAX} bytes");
    assert_bound(&long(CONDITION_BYTES_MAX), &long(CONDITION_BYTES_MAX + 1), &words);

    let deep = |sums: usize| condition("h: int", &format!("h{} > 1", "+1".repeat(sums)));
    let words = format!("over {CONDITION_DEPTH_MAX} levels deep");
    let first = (1..2 * CONDITION_DEPTH_MAX).find(|sums| deep(*sums).contains(&words)).unwrap();
    // A sum is a level, and so is the comparison; the innermost `h` stands at depth 0.
    assert_eq!(first, CONDITION_DEPTH_MAX, "{}", deep(first));
    assert_eq!(deep(first - 1), NONE);

    let dear = |times: usize| {
        let scan = vec!["l.all(x, x.startsWith(s))"; times].join(" && ");
        condition("l: 'list<string>', s: string", &scan)
    };
    let words = format!("the limit is {CONDITION_COST_MAX}");
    let first = (1..100).find(|times| dear(*times) != NONE).unwrap();
    assert!(first > 1 && dear(first).contains(&words), "{first}: {}", dear(first));

    let lists = |levels: usize| {
        let (open, close) = ("list<".repeat(levels), ">".repeat(levels));
        condition(&format!("l: '{open}int{close}'"), "size(l) > 0")
    };
    assert_bound(
        &lists(PARAMETER_DEPTH_MAX),
        &lists(PARAMETER_DEPTH_MAX + 1),
        "is no type of a parameter",
    );
}

#[test]
fn a_near_name_is_looked_for_up_to_a_length() {
    let gate = |bytes: usize| {
        let known = "k".repeat(100);
        with(&format!(
            "permissions: {{ {known}: {{ at: [org], is: \"no\" }} }}\ngates: {{ g: {} }}",
            "k".repeat(bytes)
        ))
    };
    // Names end at 128 bytes; a longer word is quoted, and quickly refused.
    assert!(gate(120).contains("did you mean"), "{}", gate(120));
    let far = gate(SUGGESTED_BYTES_MAX + 1);
    assert!(!far.contains("did you mean"), "{far}");
}
