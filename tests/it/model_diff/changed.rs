//! What `model diff` tells of two models.

use bailiwick::model::diff::What;
use serde_json::Value;

use super::{Files, diff, dump, files, of, put, side, small, with};
use crate::cli::{assert_exit, run, stderr, stdout};

const PLATFORMS: [&str; 5] = [
    "models/powerhub",
    "models/energyhub",
    "models/chargeplatform",
    "models/zaptec",
    "models/virta",
];

#[test]
fn a_parameter_changes_the_cells_that_it_stands_in() {
    let old = files("models/zaptec");
    let new = with(&old, "model.yaml", "full_control_on_pro: false", "full_control_on_pro: true");
    let found = diff(&old, &new);
    let cells = [
        "~ owner@installation charger.access.manage",
        "~ owner@installation charger.access.view",
        "~ owner@installation charger.status.monitor",
        "~ owner@installation charger.user_data.view",
    ];
    assert_eq!(of(&found, What::Cell), cells);
    assert_eq!(of(&found, What::Parameter), ["~ full_control_on_pro"]);
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn each_tick_taken_is_just_this_cell_lost_and_given_back_just_it_gained() {
    let old = files("models/virta");
    let text = &old["permissions.csv"];
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let mut taken = 0;
    // Every seventh tick: each costs two compilations.
    for (row, line) in text.lines().enumerate().skip(1) {
        let mut cells: Vec<&str> = line.split(',').collect();
        let ticked: Vec<usize> = (2..8).filter(|at| cells[*at] == "x").collect();
        let Some(&column) = ticked.get(row % 7) else { continue };
        cells[column] = "";
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[row] = cells.join(",");
        let mut new = old.clone();
        new.insert("permissions.csv".to_owned(), lines.join("\n") + "\n");
        let name = format!("{}@org {}", header[column], cells[1]);
        let found = diff(&old, &new);
        assert_eq!(of(&found, What::Cell), [format!("- {name}")], "{found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(of(&diff(&new, &old), What::Cell), [format!("+ {name}")]);
        taken += 1;
    }
    assert!(taken > 20, "{taken}");
}

#[test]
fn order_labels_sections_comments_and_patterns_are_no_difference() {
    for platform in PLATFORMS {
        let old = files(platform);
        let mut new: Files = Files::new();
        for (name, text) in &old {
            let changed = match name.as_str() {
                "model.yaml" => format!("# A comment.\n{text}\n# Another.\n"),
                "tests.yaml" => "scenarios: []\n".to_owned(),
                _ => reversed(text),
            };
            new.insert(name.clone(), changed);
        }
        let found = diff(&old, &new);
        assert!(found.is_empty(), "{platform}: {found:?}");
    }
    let yaml = "roles:
  - { at: [org], names: [admin, owner], bound_by: [user, group] }
  - { at: [group], names: [member], bound_by: [user] }
permissions: { p.read: { at: [org], is: 'admin or owner' }, p.edit: { at: [org], is: 'owner' } }
asked: [ { rows: [p.read, p.edit], gate: 'self' } ]
matrices:
  - { name: m, file: m.csv, at: [doc], columns: { a: admin@org, o: owner@org } }
";
    let mut old = small(yaml);
    let table = "section,permission,label,a,o\nS,doc.read,Read,x,x\nS,doc.edit,Edit,,x\n";
    old.insert("m.csv".to_owned(), table.to_owned());
    let mut new = with(&old, "model.yaml", "names: [admin, owner]", "names: [owner, admin]");
    new = with(&new, "model.yaml", "bound_by: [user, group]", "bound_by: [group, user]");
    new = with(&new, "model.yaml", "'admin or owner'", "'(owner or admin) or admin'");
    new = with(&new, "model.yaml", "rows: [p.read, p.edit]", "rows: ['p.*']");
    new = with(
        &new,
        "model.yaml",
        "{ a: admin@org, o: owner@org }",
        "{ o: owner@org, a: admin@org }",
    );
    new = with(&new, "model.yaml", "  user: {}\n  group: {}\n", "  group: {}\n  user: {}\n");
    let table = "permission,label,o,a,section\ndoc.edit,Change,x,,\ndoc.read,,1,yes,Other\n";
    new.insert("m.csv".to_owned(), table.to_owned());
    assert_eq!(diff(&old, &new), []);
}

/// The rows of a table the other way round.
fn reversed(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    lines.join("\n") + "\n"
}

/// Every line of every model taken away, one at a time: where the model is still one and means something
/// else, the diff says so; where it means the same, nothing.
#[test]
fn a_line_that_means_something_is_never_missed() {
    let (mut tried, mut meant) = (0, 0);
    for platform in PLATFORMS.into_iter().chain(["tests/models/everything"]) {
        let old = files(platform);
        let before = dump(&old).unwrap();
        for (name, text) in old.iter().filter(|(name, _)| *name != "tests.yaml") {
            let lines: Vec<&str> = text.lines().collect();
            // The tables are long and all alike.
            let step = if name == "model.yaml" { 1 } else { 41 };
            for at in (1..lines.len()).step_by(step) {
                let mut fewer = lines.clone();
                fewer.remove(at);
                let mut new = old.clone();
                new.insert(name.clone(), fewer.join("\n") + "\n");
                let Some(after) = dump(&new) else { continue };
                tried += 1;
                let found = diff(&old, &new);
                if before != after {
                    meant += 1;
                    assert!(!found.is_empty(), "{platform}/{name}: {:?}", lines[at]);
                    assert_eq!(diff(&new, &old).len(), found.len(), "the same the other way");
                } else if lines[at].trim_start().starts_with('#') {
                    assert!(found.is_empty(), "{platform}/{name}: {:?}: {found:?}", lines[at]);
                }
            }
        }
    }
    assert!(tried > 200 && meant > 100, "{tried} tried, {meant} meant something");
}

#[test]
fn each_kind_of_definition_has_its_line() {
    let rest = "facts:
  org: { flags: [paid] }
parameters: { strict: false }
gates: { paid: 'fact(paid)' }
conditions:
  office: { parameters: { hour: int }, when: 'hour >= 8' }
roles:
  - { at: [group], names: [member], bound_by: [user] }
  - { at: [org], names: [admin, owner], bound_by: [user, 'group#member'] }
names: { staff: { at: [org], is: 'admin or owner' } }
permissions:
  read: { at: [org], is: 'staff' }
  edit: { at: [org], is: 'admin and paid' }
asked: [ { rows: [edit], gate: 'standing(paid) or parameter(strict)' } ]
constraints:
  - { name: few, at: [org], role: owner, at_most: 2 }
";
    let old = small(rest);
    let changed = |from: &str, to: &str| diff(&old, &with(&old, "model.yaml", from, to));
    let told = |from: &str, to: &str, what: What, line: &str| {
        let found = changed(from, to);
        assert!(of(&found, what).contains(&line.to_owned()), "{from} -> {to}: {found:?}");
    };
    told("model: base", "model: other", What::Model, "~ name");
    told("  group: {}", "  group: {}\n  team: {}", What::Type, "+ team");
    told("org: { parents: [org] }", "org: {}", What::Relation, "- org.parent");
    told("flags: [paid]", "flags: [paid, old]", What::Fact, "+ old");
    told("strict: false", "strict: true", What::Parameter, "~ strict");
    told("strict: false", "strict: true", What::Asked, "~ edit");
    told("paid: 'fact(paid)'", "paid: 'standing(paid)'", What::Gate, "~ paid");
    told(
        "paid: 'fact(paid)'",
        "paid: 'standing(paid)'",
        What::Definition,
        "~ permission edit at org",
    );
    told("hour >= 8", "hour >= 9", What::Condition, "~ office");
    told("bound_by: [user] }", "bound_by: ['user:*'] }", What::Role, "~ member@group");
    told("is: 'admin or owner'", "is: 'admin'", What::Name, "~ staff at org");
    told("at_most: 2", "at_most: 3", What::Constraint, "~ few at org");
    told("  read: { at: [org]", "  look: { at: [org]", What::Permission, "+ look");
    told("is: 'staff'", "is: 'owner'", What::Definition, "~ permission read at org");
    // What a name means is told where it is said, not wherever it is used.
    let found = changed("is: 'admin or owner'", "is: 'admin'");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(changed("is: 'admin or owner'", "is: 'owner or admin or owner'"), []);
}

#[test]
fn roles_that_pass_no_more_are_told() {
    let rest = "roles:
  - { at: [org], names: [admin], bound_by: [user] }
permissions: { read: { at: [doc], is: 'admin' } }
";
    let old = small(rest);
    let new = with(
        &old,
        "model.yaml",
        "doc: { parents: [org] }",
        "doc: { parents: { org: { roles_pass: false } } }",
    );
    let rest = "permissions: { read: { at: [doc], is: 'up(parent, admin)' } }\n";
    let new = with(&new, "model.yaml", "permissions: { read: { at: [doc], is: 'admin' } }\n", rest);
    let found = diff(&old, &new);
    assert_eq!(of(&found, What::Relation), ["~ doc.parent"]);
    let definitions = of(&found, What::Definition);
    assert_eq!(definitions, ["~ permission read at doc", "- role admin at doc"]);
}

#[test]
fn the_command_tells_it_to_people_and_to_programs() {
    let dir = tempfile::tempdir().unwrap();
    let old = files("models/virta");
    put(&old, &dir.path().join("old"));
    let row = "general/settings,general.settings.enable_mfa,x,x,x,x,x,x,";
    let new = with(
        &old,
        "permissions.csv",
        row,
        "general/settings,general.settings.enable_mfa,x,x,x,,x,x,",
    );
    put(&new, &dir.path().join("new"));
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (old_dir, new_dir) = (path("old"), path("new"));

    let same = run(&["model", "diff", &old_dir, &old_dir]);
    assert_exit(&same, 0);
    assert_eq!(stdout(&same), "the models have no difference\n");

    let output = run(&["model", "diff", &old_dir, &new_dir]);
    assert_exit(&output, 2);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    let name = "financial_support@org general.settings.enable_mfa";
    assert!(lines[0].starts_with(&format!("- cell {name}: at ")), "{text}");
    assert_eq!(lines[1..], ["1 change: added 0, removed 1, changed 0"]);
    assert_eq!(run(&["model", "diff", &old_dir, &new_dir]).stdout, output.stdout, "stable");

    let output = run(&["model", "diff", &old_dir, &new_dir, "--output", "json"]);
    assert_exit(&output, 2);
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let digest = |files: &Files| side(files).model.digest;
    assert_eq!(value["old"]["digest"], digest(&old));
    assert_eq!(value["new"]["digest"], digest(&new));
    let change = &value["changes"][0];
    assert_eq!((&change["change"], &change["what"]), (&"removed".into(), &"cell".into()));
    assert_eq!((&change["name"], &change["new"]), (&name.into(), &Value::Null));
    assert!(change["old"].as_str().unwrap().contains("reach"), "{change}");

    let broken = with(&new, "model.yaml", "model:", "modell:");
    put(&broken, &dir.path().join("broken"));
    let output = run(&["model", "diff", &old_dir, &path("broken")]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("broken/model.yaml:"), "{}", stderr(&output));
    assert_exit(&run(&["model", "diff", &old_dir, &path("nowhere")]), 1);
    assert_exit(&run(&["model", "diff", &old_dir]), 64);
}
